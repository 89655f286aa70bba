"""What Python clients see of a server: run by the clients' environment, which has neither specs nor pytest.

python client_programs.py CLIENT URL KEY QUESTION WHAT     WHAT: `all`, or `once` for a single answer

Prints one JSON object: the text of an answer and of a stream, both token counts, and how errors are raised.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # otherwise it looks for prices on the network
SEED = 1
Seen = dict[str, Any]


def raised(call: Callable[[], object]) -> str:
    """The class of the error that a call raises, and its message."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def see_openai(url: str, key: str, question: str, once: bool) -> Seen:
    import openai

    client = openai.OpenAI(base_url=url, api_key=key)
    messages: list[Any] = [{"role": "user", "content": question}]

    def ask(**fields: Any) -> Any:
        return client.chat.completions.create(**({"model": "specs", "messages": messages, "seed": SEED} | fields))

    answer = ask()
    if once:
        return {"text": answer.choices[0].message.content}
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    stranger = openai.OpenAI(base_url=url, api_key="wrong")
    back = [*messages, answer.choices[0].message.model_dump(), *messages]
    return {
        "text": answer.choices[0].message.content,
        "stream": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "usage": answer.usage.completion_tokens,
        "stream usage": chunks[-1].usage.completion_tokens,
        "sent back": ask(messages=back).choices[0].finish_reason,
        "wrong key": raised(lambda: stranger.models.list()),
        "wrong model": raised(lambda: ask(model="nothing")),
        "wrong field": raised(lambda: ask(extra_body={"repetition_penalty": 1.1})),
        "tools": raised(lambda: ask(tools=[{"type": "function", "function": {"name": "f"}}])),
    }


def see_litellm(url: str, key: str, question: str, once: bool) -> Seen:
    import litellm

    litellm.suppress_debug_info = True
    messages = [{"role": "user", "content": question}]

    def ask(**fields: Any) -> Any:
        usual: Seen = {"model": "openai/specs", "api_base": url, "api_key": key, "messages": messages, "seed": SEED}
        return litellm.completion(**(usual | fields))

    answer = ask()
    if once:
        return {"text": answer.choices[0].message.content}
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    return {
        "text": answer.choices[0].message.content,
        "stream": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "usage": answer.usage.completion_tokens,
        "stream usage": chunks[-1].usage.completion_tokens,
        "sent back": ask(messages=[*messages, answer.choices[0].message, *messages]).choices[0].finish_reason,
        "wrong key": raised(lambda: ask(api_key="wrong")),
        "wrong model": raised(lambda: ask(model="openai/nothing")),
        "wrong field": raised(lambda: ask(repetition_penalty=1.1)),
        "tools": raised(lambda: ask(tools=[{"type": "function", "function": {"name": "f"}}])),
    }


def see_langchain(url: str, key: str, question: str, once: bool) -> Seen:
    from langchain_core.messages import HumanMessage
    from langchain_openai import ChatOpenAI

    def model(**fields: Any) -> Any:
        return ChatOpenAI(**({"model": "specs", "base_url": url, "api_key": key, "seed": SEED} | fields))

    answer = model().invoke(question)
    if once:
        return {"text": answer.content}
    chunks = list(model(stream_usage=True).stream(question))
    back = [HumanMessage(question), answer, HumanMessage(question)]
    return {
        "text": answer.content,
        "stream": "".join(chunk.content for chunk in chunks),
        "usage": answer.usage_metadata["output_tokens"],
        "stream usage": next(chunk for chunk in chunks if chunk.usage_metadata).usage_metadata["output_tokens"],
        "sent back": model().invoke(back).response_metadata["finish_reason"],
        "wrong key": raised(lambda: model(api_key="wrong").invoke(question)),
        "wrong model": raised(lambda: model(model="nothing").invoke(question)),
        "wrong field": raised(lambda: model(extra_body={"repetition_penalty": 1.1}).invoke(question)),
        "tools": raised(lambda: model().bind_tools([{"type": "function", "function": {"name": "f"}}]).invoke(question)),
    }


SEE = {"openai": see_openai, "litellm": see_litellm, "langchain-openai": see_langchain}

if __name__ == "__main__":
    client, url, key, question, what = sys.argv[1:]
    print(json.dumps(SEE[client](url, key, question, what == "once")))
