"""A chat server without log-probabilities, as `examples/07_own_classes.py` needs it: the bundled target behind HTTP.

It knows what vLLM's /v1/chat/completions does with the request of the example, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from specs.core.keys import Key
from specs.engines.protocol import LanguageModel, never_stop
from specs.types import Candidate, End, Role, SamplingParams, StepPolicy, Trace

KNOWN = {
    "model", "messages", "n", "seed", "temperature", "top_p", "top_k", "min_p", "stop", "max_tokens",
    "continue_final_message", "add_generation_prompt",
}  # fmt: skip


def chat(model: LanguageModel, asked: dict) -> dict:
    """The answer to a request."""
    assert set(asked) <= KNOWN
    question, *begun = (turn["content"] for turn in asked["messages"])
    assert asked["continue_final_message"] is bool(begun) is not asked["add_generation_prompt"]
    trace = Trace(question)
    if begun:
        ids = tuple(model.text.encode_plain(begun[0]))
        trace = trace.extend(Candidate(ids, begun[0], End.DELIMITER), Role.TARGET)
    prompt, vocabulary = model.prompt(question), frozenset({model.fingerprint})
    session = model.open(prompt, vocabulary, never_stop)
    stop = asked.get("stop")
    filters = {name: asked[name] for name in ("top_p", "top_k", "min_p")}
    law = SamplingParams(asked["temperature"], **filters, steps=StepPolicy(stop, max_tokens=asked["max_tokens"]))
    samples = session.sample([trace], asked["n"], law, [Key.from_seed(asked["seed"])])
    return {
        "id": "1", "object": "chat.completion", "created": 0, "model": asked["model"],
        "choices": [
            {
                "index": idx,
                "finish_reason": "length" if sample.end is End.CAP else "stop",
                # as servers do: the text stops before the delimiter
                "message": {"role": "assistant", "content": sample.text.removesuffix(stop or "\0")},
            }
            for idx, sample in enumerate(samples)
        ],
    }  # fmt: skip


@contextmanager
def chat_server(model: LanguageModel) -> Iterator[str]:
    """The address of a running server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/v1/models"
            self._answer({"object": "list", "data": [{"id": model.name, "object": "model"}]})

        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            self._answer(chat(model, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def _answer(self, value: dict) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
