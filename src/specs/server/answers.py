"""Answers as OpenAI's clients read them, whole and in parts; what is ours stands under `specs`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from specs import __version__
from specs.core.votes import boxed
from specs.server.jobs import Ended, Step
from specs.server.request_parsing import Asked
from specs.traces.schema import result_json, step_json
from specs.types import End, Finish, Result, Role

FINGERPRINT = f"specs-{__version__}"


class Answer:
    """One response: its id, its time, and how its parts are laid out."""

    def __init__(self, asked: Sequence[Asked], chat: bool, trace: bool) -> None:
        self._asked, self._chat, self._trace = asked, chat, trace
        self._chunk = "chat.completion.chunk" if chat else "text_completion"
        self._texts = [""] * len(asked)
        self.id = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"
        self._created = int(time.time())

    def whole(self, ended: Sequence[Ended]) -> dict[str, Any]:
        """The response that does not stream."""
        choices = []
        for k, one in enumerate(ended):
            self._texts[k] += one.text
            text = self._texts[k]
            content = (
                {"message": {"role": "assistant", "content": text, "refusal": None}} if self._chat else {"text": text}
            )
            choices.append(
                {"index": k, **content, "logprobs": None, "finish_reason": reason(one), "specs": self._ours(k, one)}
            )
        return {
            **self._head("chat.completion" if self._chat else self._chunk),
            "choices": choices,
            "usage": usage(ended),
        }

    def note(self, k: int, step: Step) -> None:
        """A step of choice `k` of a response that does not stream."""
        self._texts[k] += step.text

    def opening(self) -> list[dict[str, Any]]:
        """The first parts of a stream: who speaks."""
        return [self._part(k, "", None, opening=True) for k in range(len(self._asked))] if self._chat else []

    def step(self, k: int, step: Step) -> dict[str, Any] | None:
        """The part for one step of choice `k`; None where there is nothing to say."""
        self._texts[k] += step.text
        if not step.text and not self._trace:
            return None
        part = self._part(k, step.text, None)
        return part | {"specs": {"step": step_json(step.record, candidates=True)}} if self._trace else part

    def closing(self, k: int, ended: Ended) -> list[dict[str, Any]]:
        """The last parts of choice `k`."""
        self._texts[k] += ended.text
        parts = [self._part(k, ended.text, None)] if ended.text else []
        return [*parts, self._part(k, "", reason(ended)) | {"specs": self._ours(k, ended)}]

    def spent(self, ended: Sequence[Ended]) -> dict[str, Any]:
        """The part with the usage, after all others."""
        return self._head(self._chunk) | {
            "choices": [],
            "usage": usage(ended),
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self._created,
            "model": self._asked[0].model,
            "system_fingerprint": FINGERPRINT,
        }

    def _part(self, k: int, text: str, finish: str | None, opening: bool = False) -> dict[str, Any]:
        delta: dict[str, Any] = {"role": "assistant", "content": ""} if opening else {"content": text} if text else {}
        content = {"delta": delta} if self._chat else {"text": text}
        choice = {"index": k, **content, "logprobs": None, "finish_reason": finish}
        return {**self._head(self._chunk), "choices": [choice]}

    def _ours(self, k: int, ended: Ended) -> dict[str, Any]:
        result, asked = ended.result, self._asked[k]
        ours: dict[str, Any] = {
            "finish_reason": "stop_string" if ended.stopped else str(result.finish_reason),
            "answer": boxed(self._texts[k]),
            "method": result.method,
            "seed": result.seed,
            "latency_s": result.latency_s,
            "queue_s": ended.queue_s,
            "time_to_first_step_s": result.time_to_first_step_s,
            "steps": len(result.accepted),
            "draft_share": result.draft_share,
            "notes": list(asked.notes),
        }
        return ours | ({"result": result_json(result, candidates=True)} if self._trace else {})


def reason(ended: Ended) -> str:
    """OpenAI's finish reason: `stop` for an answer that is complete, else `length`."""
    result = ended.result
    if ended.stopped or result.finish_reason in (Finish.ANSWER, Finish.END_OF_TEXT) or result.answer is not None:
        return "stop"
    steps = result.accepted
    complete = bool(steps) and steps[-1].step is not None and steps[-1].step.end is End.END_OF_TEXT
    return "stop" if complete else "length"


def usage(ended: Sequence[Ended]) -> dict[str, Any]:
    """Tokens of a response: those of prompts once each, those of answers, and all that each role computed."""
    results = [one.result for one in ended]
    prompts = {result.question: _prompt_tokens(result) for result in results}
    answers = sum(len(record.step.token_ids) for one in results for record in one.accepted if record.step is not None)
    by_role: dict[str, dict[str, Any]] = {}
    for result in results:
        for role, use in result.usage.items():
            total = by_role.setdefault(str(role), {})
            for name, value in asdict(use).items():
                before = total.get(name, 0)
                total[name] = None if value is None or before is None else before + value
    prompt = sum(prompts.values())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answers,
        "total_tokens": prompt + answers,
        "by_role": by_role,
    }


def _prompt_tokens(result: Result) -> int:
    """Of the prompt as the target reads it, or who writes in its place."""
    role = Role.TARGET if Role.TARGET in result.prompt_token_ids else Role.DRAFT
    return len(result.prompt_token_ids.get(role, ()))
