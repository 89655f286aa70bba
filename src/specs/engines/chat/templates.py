"""Finds the chat template of a tokenizer folder, and renders it.

Files, environment and arguments are those of transformers (`utils/chat_template_utils.py` and
`tokenization_utils_base.py`), but transformers is not needed; `tests/engines/test_templates.py` compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from jinja2 import TemplateError, nodes, pass_eval_context
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import sync_do_join
from jinja2.nodes import EvalContext
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from specs.engines.chat.provenance import Written, concat
from specs.engines.files import read_text
from specs.errors import ModelError
from specs.types import Turn


def source_of(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The chat template of a tokenizer folder; None if it has none.

    The template is in `chat_template.jinja`. If there is none, it is `chat_template` in `config`
    (tokenizer_config.json): a text, or a list of named texts. If there are several templates, the one called `default`
    counts. `chat_template.jinja` is called `default`, a file in `additional_chat_templates` by its own name.

    Raises:
        ModelError: there are several templates and none is called `default`, `chat_template` is neither a text
            nor a list of named texts, or a file cannot be read.
    """
    files = {"default": folder / "chat_template.jinja"}
    files |= {path.stem: path for path in sorted((folder / "additional_chat_templates").glob("*.jinja"))}
    texts = {name: read_text(path) for name, path in files.items() if path.is_file()}
    found: Any = texts or config.get("chat_template")
    if isinstance(found, list):
        entries = cast(list[Any], found)
        try:
            found = {entry["name"]: entry["template"] for entry in entries}
        except (TypeError, KeyError):
            raise ModelError(
                f"{folder}: chat_template is a list of something other than named templates; "
                "save the one to use as chat_template.jinja"
            ) from None
    if isinstance(found, dict):
        named = cast(dict[Any, Any], found)
        if "default" not in named:
            raise ModelError(
                f"{folder} has the chat templates {', '.join(map(str, named)) or '(an empty list)'} and none called "
                "default; save the one to use as chat_template.jinja"
            )
        found = named["default"]
    if found is not None and not isinstance(found, str):
        raise ModelError(f"{folder}: chat_template is not a text; save the template as chat_template.jinja")
    return found


def named_tokens(config: Mapping[str, Any], special_map: Mapping[str, Any]) -> dict[str, str]:
    """Spelling by name (`bos_token`, ...) of the special tokens that tokenizer files name.

    special_tokens_map.json is an older format. It counts only if tokenizer_config.json has no
    `added_tokens_decoder`; then a null in it removes a name.
    """
    if "added_tokens_decoder" in config:
        special_map = {}
    found = {name: value for name, value in {**config, **special_map}.items() if name.endswith("_token")}
    for file in (config, special_map):
        for named in ("model_specific_special_tokens", "extra_special_tokens"):
            more = file.get(named)
            found |= more if isinstance(more, dict) else {}
    spellings = {name: _spelling(value) for name, value in found.items()}
    return {name: spelling for name, spelling in spellings.items() if isinstance(spelling, str)}


def _spelling(value: Any) -> Any:
    """The spelling in an entry that is a text or an object with `content`."""
    return cast(dict[str, Any], value).get("content") if isinstance(value, dict) else value


class ChatTemplate:
    """A template with the special tokens of its tokenizer."""

    def __init__(self, source: str, tokens: Mapping[str, str]) -> None:
        """`tokens` are the special tokens that the template may name, by name.

        Raises:
            ModelError: `source` is not a valid template.
        """
        self.source, self._tokens = source, tokens
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise ModelError(
                f"the chat template cannot be read: {error}; give one that transformers can read"
            ) from None

    def render(
        self,
        turns: Sequence[Turn],
        generation: bool,
        typed: frozenset[str],
        now: datetime,
        switches: Mapping[str, bool] | None = None,
    ) -> str:
        """The conversation as text.

        Args:
            generation: whether to open the assistant's turn.
            typed: roles whose content is given as a list of typed parts.
            now: the date and time that the template may write.
            switches: variables that switch thinking on or off; without them, `enable_thinking` is false.

        Raises:
            ModelError: the template refuses the conversation, or fails on it.
        """
        messages = [
            {"role": one.role, "content": [{"type": "text", "text": one.content}] if one.role in typed else one.content}
            for one in turns
        ]
        return self._render(messages, generation, now, self._tokens, switches)

    def answered(self, turns: Sequence[Turn], reasoning: str, answer: str, switches: Mapping[str, bool]) -> str:
        """The conversation with an answer whose reasoning is in the field that templates read.

        Raises:
            ModelError: the template refuses the conversation, or fails on it.
        """
        messages: list[dict[str, Any]] = [{"role": one.role, "content": one.content} for one in turns]
        messages.append({"role": "assistant", "content": answer, "reasoning_content": reasoning})
        return self._render(messages, False, datetime.now(), self._tokens, switches)

    @cached_property
    def writes_bos(self) -> bool:
        """Whether the template begins a conversation with the variable `bos_token`."""
        tokens = {**self._tokens, "bos_token": "{bos}"}
        try:
            text = self._render([{"role": "user", "content": "a"}], True, datetime.now(), tokens)
        except ModelError:
            return False
        return text.startswith(tokens["bos_token"])

    def _render(
        self,
        messages: Sequence[Mapping[str, Any]],
        generation: bool,
        now: datetime,
        tokens: Mapping[str, str],
        switches: Mapping[str, bool] | None = None,
    ) -> str:
        arguments = {
            **tokens,
            "messages": messages,
            "add_generation_prompt": generation,
            "tools": None,
            "documents": None,
            **(switches or {"enable_thinking": False}),
            "strftime_now": now.strftime,
        }
        try:
            return self._template.render(arguments)
        except Exception as error:  # a template is foreign code and may raise anything
            reason = " ".join(str(error).split())
            raise ModelError(
                f"the chat template refuses this conversation: {reason}; change the conversation or the template"
            ) from None


class _Generation(Extension):
    """`{% generation %}...{% endgeneration %}` marks what a model is trained on; it renders its content."""

    tags = {"generation"}  # noqa: RUF012  (jinja's own way)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        # A call block has its own scope, as in transformers: variables set inside are not visible outside.
        return nodes.CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

    def _inside(self, caller: Callable[[], str]) -> str:
        return caller()


class _Generator(CodeGenerator):
    """Compiles `a ~ b` to the environment's `concat`."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802  (jinja's own way)
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            super().visit_Concat(node, frame)
            return
        self.write("environment.concat(map(str, (")
        for one in node.nodes:
            self.visit(one, frame)
            self.write(", ")
        self.write(")))")


class _Environment(ImmutableSandboxedEnvironment):
    """An environment that keeps marked text marked (`specs.engines.chat.provenance`)."""

    code_generator_class = _Generator
    concat = staticmethod(concat)


@pass_eval_context
def _join(context: EvalContext, value: Any, d: str = "", attribute: str | int | None = None) -> str:
    return sync_do_join(context, value, d if context.autoescape else Written(str(d), str(d)), attribute)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    filters = cast(dict[str, Any], environment.filters)  # pyright: ignore[reportUnknownMemberType]
    filters |= {"join": _join, "tojson": _to_json}
    variables = cast(dict[str, Any], environment.globals)  # pyright: ignore[reportUnknownMemberType]
    variables["raise_exception"] = _refuse
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> str:
    raise TemplateError(message)
