"""Schemas of requests as OpenAI's clients send them.

The server either honours a field that would change the answer, or refuses it by name. It accepts and ignores
fields that change nothing here (labels such as the user's name). Whether it refuses unknown fields (`unknown_fields`)
is up to who parses the request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

MAX_CHOICES = 16
MAX_STOPS = 16
MAX_TURNS = 512
MAX_PARTS = 1024
"""Parts of all contents of a request together; more than a client needs, and cheap to check."""
SEED = 2**63


def _whole(text: str) -> str:
    """Refuse lone surrogates, which JSON can spell but no text can contain."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError(
            "half_a_character", "half of a surrogate pair is not text; send both halves"
        ) from None
    return text


def _false(value: object) -> object:
    """Refuse 0, which `Literal[False]` alone accepts as false."""
    if value is not False:
        raise PydanticCustomError("not_false", "input should be false")
    return value


No = Annotated[Literal[False], BeforeValidator(_false)]


def _few_parts(messages: object) -> object:
    """Refuse more than `MAX_PARTS` parts before each of them is looked at."""
    if isinstance(messages, list):
        contents = [one.get("content") for one in cast(list[dict[str, Any]], messages) if type(one) is dict]
        if sum(len(cast(list[Any], content)) for content in contents if type(content) is list) > MAX_PARTS:
            raise PydanticCustomError(
                "too_many_parts", "at most {most} content parts in all; join their texts", {"most": MAX_PARTS}
            )
    return cast(object, messages)


Text = Annotated[str, AfterValidator(_whole)]
Stop = Annotated[str, Field(min_length=1, max_length=1000)]
Zero = Annotated[float, Field(ge=0, le=0)]
Nothing = Annotated[dict[str, Any], Field(max_length=0)]
NoItems = Annotated[list[Any], Field(max_length=0)]
Label = Annotated[str, Field(max_length=1000)]


class Body(BaseModel):
    """A strict schema: no type coercion, no NaN, no infinity. It keeps unknown fields apart, in `model_extra`."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, frozen=True)


class SpecsOptions(Body):
    """Options beyond OpenAI's fields (`extra_body={"specs": {...}}` in its client)."""

    method: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="a method that replaces the model's own"
    )
    n: Annotated[int, Field(ge=1)] | None = Field(None, description="candidates per step")
    beta: Annotated[float, Field(gt=0, le=1e6)] | None = Field(None, description="inverse temperature of verification")
    tau: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="threshold for a draft step to be accepted"
    )
    width: Annotated[int, Field(ge=1)] | None = Field(None, description="traces side by side (beam and dvts)")
    threshold: Annotated[float, Field(ge=-1e6, le=1e6)] | None = Field(None, description="acceptance threshold of gsi")
    max_steps: Annotated[int, Field(ge=1, le=10_000)] | None = Field(None, description="most accepted steps")
    max_step_tokens: Annotated[int, Field(ge=1)] | None = Field(None, description="most tokens of one step")
    deadline_s: Annotated[float, Field(gt=0, le=86_400)] | None = Field(
        None, description="seconds from the request's arrival until the server returns the best answer so far"
    )
    seed: Annotated[int, Field(ge=-SEED, lt=SEED)] | None = Field(
        None, description="sampling seed, like the outer seed"
    )
    trace: bool = Field(False, description="return every candidate of every step, and the full record at the end")


class StreamOptions(Body):
    include_usage: bool = False
    include_obfuscation: No | None = None


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class TemplateOptions(Body):
    """vLLM's `chat_template_kwargs`: the names that templates of models use for one switch."""

    enable_thinking: bool | None = None
    thinking: bool | None = None


class ReasoningOptions(Body):
    """OpenRouter's `reasoning`."""

    effort: Effort | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    enabled: bool | None = None
    exclude: bool | None = None


class Common(Body):
    """Fields of both chats and completions."""

    model: Annotated[str, Field(max_length=1000)] | None = Field(
        None, description="without one, specreason if the models think, else the first of GET /v1/models"
    )
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = Field(None, description="number of answers")
    seed: Annotated[int, Field(ge=-SEED, lt=SEED)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None,
        description="temperature of sampling; 0 takes the best candidate at the model's own temperature, seed 0",
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    # Extensions of vLLM, with its names and its values for "off".
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = Field(
        None, description="sample from this many most likely tokens; 0 or -1 for all"
    )
    min_p: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="sample from tokens at least this many times as likely as the most likely one; 0 for all"
    )
    reasoning_effort: Effort | None = Field(None, description="how long the models think before they answer")
    include_reasoning: bool | None = Field(None, description="whether the answer has the thinking; default true")
    chat_template_kwargs: TemplateOptions | None = None
    reasoning: ReasoningOptions | None = None
    specs: SpecsOptions | None = None
    # Labels, which change no answer.
    user: Label | None = None
    metadata: Annotated[dict[str, Label], Field(max_length=16)] | None = None
    # Accepted only with values that have no effect.
    frequency_penalty: Zero | None = None
    presence_penalty: Zero | None = None
    logit_bias: Nothing | None = None


class TextPart(Body):
    type: Literal["text"]
    text: Text


class Message(Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(max_length=MAX_TURNS)]
    name: Label | None = None
    refusal: None = None
    tool_calls: NoItems | None = None
    function_call: None = None
    audio: None = None
    annotations: NoItems | None = None
    # Thinking of an answer that the client sends back; it is not part of the conversation.
    reasoning: Text | None = None
    reasoning_content: Text | None = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ResponseFormat(Body):
    type: Literal["text"]


class ChatRequest(Common):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_TURNS), BeforeValidator(_few_parts)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    logprobs: No | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=0)] | None = None
    tools: NoItems | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    functions: NoItems | None = None
    function_call: Literal["none", "auto"] | None = None
    response_format: ResponseFormat | None = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    audio: None = None
    prediction: None = None
    web_search_options: None = None
    verbosity: Literal["medium"] | None = None
    service_tier: Literal["auto", "default"] | None = None
    store: No | None = None


class CompletionRequest(Common):
    """`POST /v1/completions`: the models continue the text of the prompt, without a chat template."""

    prompt: (
        Annotated[Text, Field(min_length=1)]
        | Annotated[list[Annotated[Text, Field(min_length=1)]], Field(min_length=1, max_length=MAX_CHOICES)]
    )
    best_of: Annotated[int, Field(ge=1, le=1)] | None = None
    echo: No | None = None
    logprobs: None = None
    suffix: None = None

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


def unknown_fields(body: Body) -> Iterator[str]:
    """The fields of a request that no schema has, as paths with dots (`messages.0.cache_control`).

    Those that are null do not count: they ask for nothing, and clients write them when they send an answer back.
    """
    yield from (name for name, value in (body.model_extra or {}).items() if value is not None)
    for name in type(body).model_fields:
        value = getattr(body, name)
        parts = [(name, value)]
        if isinstance(value, list):
            parts = [(f"{name}.{index}", part) for index, part in enumerate(cast(list[Any], value))]
        for path, part in parts:
            if isinstance(part, Body):
                yield from (f"{path}.{unknown}" for unknown in unknown_fields(part))


_CHOSEN = "the answer is chosen among candidates and has no log-probability of its own; set specs.trace instead"

UNSUPPORTED = {
    "tools": "the server makes no tool calls",
    "tool_choice": "the server makes no tool calls",
    "functions": "the server makes no tool calls",
    "function_call": "the server makes no tool calls",
    "tool_calls": "the server makes no tool calls",
    "logprobs": _CHOSEN,
    "top_logprobs": _CHOSEN,
    "frequency_penalty": "draft and target share one sampling law, which has no penalties",
    "presence_penalty": "draft and target share one sampling law, which has no penalties",
    "logit_bias": "draft and target share one sampling law, which has no bias",
    "response_format": "answers are text",
    "modalities": "answers are text",
    "audio": "answers are text",
    "echo": "answers do not repeat their prompts",
    "suffix": "models write answers from left to right",
    "best_of": "request the model best-of-n instead",
    "store": "the server stores nothing",
}
"""For each unsupported OpenAI field, the reason that the refusal gives."""
