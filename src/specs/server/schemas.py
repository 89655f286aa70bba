"""Requests as OpenAI's clients send them.

A field that would change the answer is honoured or refused by name. Those that change nothing here (who
asks, what the request is filed under) are taken as they are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

MAX_CHOICES = 16
MAX_STOPS = 16
MAX_TURNS = 512
SEED = 2**63


def _whole(text: str) -> str:
    """JSON can spell halves of surrogate pairs, which no text holds."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise PydanticCustomError("half_a_character", "half of a surrogate pair is no text; send both halves")
    return text


def _false(value: object) -> object:
    """`Literal[False]` by itself takes 0 for false."""
    if value is not False:
        raise PydanticCustomError("not_false", "input should be false")
    return value


No = Annotated[Literal[False], BeforeValidator(_false)]
Text = Annotated[str, AfterValidator(_whole)]
Stop = Annotated[str, Field(min_length=1, max_length=1000)]
Zero = Annotated[float, Field(ge=0, le=0)]
Nothing = Annotated[dict[str, Any], Field(max_length=0)]
NoItems = Annotated[list[Any], Field(max_length=0)]
Label = Annotated[str, Field(max_length=1000)]


class Body(BaseModel):
    """Values of just the stated kinds, no unknown fields, no NaN, no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class SpecsOptions(Body):
    """What `specs` can be asked beyond OpenAI's fields (`extra_body={"specs": {...}}` in its client)."""

    method: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="instead of the model's own method"
    )
    n: Annotated[int, Field(ge=1)] | None = Field(None, description="candidates a step")
    beta: Annotated[float, Field(gt=0, le=1e6)] | None = Field(None, description="inverse temperature of verification")
    tau: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="from where a draft step is good enough")
    width: Annotated[int, Field(ge=1)] | None = Field(None, description="traces side by side, of beam and dvts")
    threshold: Annotated[float, Field(ge=-1e6, le=1e6)] | None = Field(None, description="of gsi")
    max_steps: Annotated[int, Field(ge=1, le=10_000)] | None = Field(None, description="accepted steps at most")
    max_step_tokens: Annotated[int, Field(ge=1)] | None = Field(None, description="tokens of one step at most")
    deadline_s: Annotated[float, Field(gt=0, le=86_400)] | None = Field(
        None, description="seconds from the request's arrival until the best answer so far is given"
    )
    seed: Annotated[int, Field(ge=-SEED, lt=SEED)] | None = Field(None, description="of sampling, as the outer seed")
    trace: bool = Field(False, description="say every candidate of every step, and the whole record at the end")


class StreamOptions(Body):
    include_usage: bool = False
    include_obfuscation: No | None = None


class Common(Body):
    """What chats and completions have in common."""

    model: Annotated[str, Field(max_length=1000)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = Field(None, description="answers")
    seed: Annotated[int, Field(ge=-SEED, lt=SEED)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="of drawing steps; 0 takes the best candidate at the model's own temperature, seed 0"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    specs: SpecsOptions | None = None
    # These are labels, which change no answer.
    user: Label | None = None
    metadata: Annotated[dict[str, Label], Field(max_length=16)] | None = None
    # What follows is taken only where it asks for nothing.
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

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ResponseFormat(Body):
    type: Literal["text"]


class ChatRequest(Common):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_TURNS)]
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
    reasoning_effort: Literal["none"] | None = None
    verbosity: Literal["medium"] | None = None
    service_tier: Literal["auto", "default"] | None = None
    store: No | None = None


class CompletionRequest(Common):
    """`POST /v1/completions`: the models go on with the text of the prompt, without a chat template."""

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


_CHOSEN = "an answer is chosen among candidates and has no log-probability of its own; ask for specs.trace"

UNSUPPORTED = {
    "tools": "there are no tool calls",
    "tool_choice": "there are no tool calls",
    "functions": "there are no tool calls",
    "function_call": "there are no tool calls",
    "tool_calls": "there are no tool calls",
    "logprobs": _CHOSEN,
    "top_logprobs": _CHOSEN,
    "frequency_penalty": "draft and target score one law, which has no penalties",
    "presence_penalty": "draft and target score one law, which has no penalties",
    "logit_bias": "draft and target score one law, which has no bias",
    "response_format": "answers are text",
    "modalities": "answers are text",
    "audio": "answers are text",
    "reasoning_effort": "choose a model or specs.n instead",
    "echo": "answers come without their prompts",
    "suffix": "answers are written from front to back",
    "best_of": "choose the model best-of-n instead",
    "store": "nothing is stored",
}
"""Why a field of OpenAI's is refused where it asks for something."""
