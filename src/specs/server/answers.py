"""Responses in OpenAI's format, whole or in chunks; what OpenAI's format lacks is under the key `specs`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from specs import __version__
from specs.core.votes import boxed
from specs.server.jobs import SolveEnded, StepDone
from specs.server.request_parsing import SolveRequest
from specs.traces.schema import result_json, step_json
from specs.types import End, Finish, Result, Role

FINGERPRINT = f"specs-{__version__}"


class ResponseBuilder:
    """Builds one response, which has one choice per solve.

    Attributes:
        id: the response's id.
    """

    def __init__(self, requests: Sequence[SolveRequest], chat: bool, trace: bool) -> None:
        """`trace` adds every step, and each full result, to the response."""
        self._requests, self._chat, self._trace = requests, chat, trace
        self._chunk_kind = "chat.completion.chunk" if chat else "text_completion"
        self._texts = [""] * len(requests)
        self._thinking = [""] * len(requests)
        self.id = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"
        self._created = int(time.time())

    def complete(self, ended: Sequence[SolveEnded]) -> dict[str, Any]:
        """The response that does not stream."""
        choices: list[dict[str, Any]] = []
        for choice_idx, solve in enumerate(ended):
            self._texts[choice_idx] += solve.text
            self._thinking[choice_idx] += solve.thinking
            text = self._texts[choice_idx]
            message = {"role": "assistant", "content": text, "refusal": None}
            if self._shows_thinking(choice_idx):
                message |= _thinking_fields(self._thinking[choice_idx])
            content = {"message": message} if self._chat else {"text": text}
            choices.append({
                "index": choice_idx,
                **content,
                "logprobs": None,
                "finish_reason": openai_finish_reason(solve),
                "specs": self._specs_fields(choice_idx, solve),
            })  # fmt: skip
        return {
            **self._head("chat.completion" if self._chat else self._chunk_kind),
            "choices": choices,
            "usage": usage(ended),
        }

    def record_step(self, choice_idx: int, step: StepDone) -> None:
        """Add a step to a response that does not stream."""
        self._texts[choice_idx] += step.text
        self._thinking[choice_idx] += step.thinking

    def opening_chunks(self) -> list[dict[str, Any]]:
        """The first chunks of a stream, which name the speaker of each choice."""
        if not self._chat:
            return []
        opening = {"role": "assistant", "content": ""}
        return [self._chunk(choice_idx, {"delta": opening}) for choice_idx in range(len(self._requests))]

    def step_chunk(self, choice_idx: int, step: StepDone) -> dict[str, Any] | None:
        """The chunk for one step; None if there is nothing to send."""
        self._texts[choice_idx] += step.text
        thinking = step.thinking if self._shows_thinking(choice_idx) else ""
        if not step.text and not thinking and not self._trace:
            return None
        chunk = self._chunk(choice_idx, self._part(step.text, thinking))
        return chunk | {"specs": {"step": step_json(step.record, candidates=True)}} if self._trace else chunk

    def closing_chunks(self, choice_idx: int, ended: SolveEnded) -> list[dict[str, Any]]:
        """The last chunks of one choice."""
        self._texts[choice_idx] += ended.text
        parts = [self._part(ended.text)] if ended.text else []
        if ended.thinking and self._shows_thinking(choice_idx):
            parts.insert(0, self._part("", ended.thinking))
        chunks = [self._chunk(choice_idx, part) for part in parts]
        last = self._chunk(choice_idx, self._part(""), openai_finish_reason(ended))
        return [*chunks, last | {"specs": self._specs_fields(choice_idx, ended)}]

    def usage_chunk(self, ended: Sequence[SolveEnded]) -> dict[str, Any]:
        """The chunk with the token counts, which follows all others."""
        return self._head(self._chunk_kind) | {
            "choices": [],
            "usage": usage(ended),
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self._created,
            "model": self._requests[0].model,
            "system_fingerprint": FINGERPRINT,
        }

    def _shows_thinking(self, choice_idx: int) -> bool:
        request = self._requests[choice_idx]
        return request.config.sampling.thinks and request.include_thinking

    def _part(self, text: str, thinking: str = "") -> dict[str, Any]:
        """A part of an answer, of its thinking, or of neither."""
        if not self._chat:
            return {"text": text}
        return {"delta": (_thinking_fields(thinking) if thinking else {}) | ({"content": text} if text else {})}

    def _chunk(self, choice_idx: int, part: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": choice_idx, **part, "logprobs": None, "finish_reason": finish}
        return {**self._head(self._chunk_kind), "choices": [choice]}

    def _specs_fields(self, choice_idx: int, ended: SolveEnded) -> dict[str, Any]:
        result, request = ended.result, self._requests[choice_idx]
        fields: dict[str, Any] = {
            "finish_reason": "stop_string" if ended.stopped else str(result.finish_reason),
            "answer": boxed(self._texts[choice_idx]),
            "method": result.method,
            "seed": result.seed,
            "latency_s": result.latency_s,
            "queue_s": ended.queue_s,
            "time_to_first_step_s": result.time_to_first_step_s,
            "steps": len(result.accepted),
            "draft_share": result.draft_share,
            "notes": [*request.notes, *result.notes],
        }
        if request.config.sampling.thinks:
            fields["thinking_end"] = result.thinking_end
        return fields | ({"result": result_json(result, candidates=True)} if self._trace else {})


def _thinking_fields(text: str) -> dict[str, str]:
    """The thinking under vLLM's name for it, and under the earlier one that many clients still read."""
    return {"reasoning": text, "reasoning_content": text}


def openai_finish_reason(ended: SolveEnded) -> str:
    """OpenAI's finish reason: `stop` for a complete answer, otherwise `length`."""
    result = ended.result
    if ended.stopped or result.finish_reason in (Finish.ANSWER, Finish.END_OF_TEXT) or result.answer is not None:
        return "stop"
    steps = result.accepted
    complete = bool(steps) and steps[-1].step is not None and steps[-1].step.end is End.END_OF_TEXT
    return "stop" if complete else "length"


def usage(ended: Sequence[SolveEnded]) -> dict[str, Any]:
    """Token counts of a response: of each distinct prompt once, of all answers, and under `by_role` all of `Usage`."""
    results = [solve.result for solve in ended]
    prompts = {result.question: _prompt_tokens(result) for result in results}
    answers = sum(
        len(record.step.token_ids) for result in results for record in result.accepted if record.step is not None
    )
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
        "completion_tokens_details": {"reasoning_tokens": sum(result.thinking_tokens for result in results)},
        "by_role": by_role,
    }


def _prompt_tokens(result: Result) -> int:
    """Tokens of the prompt as the target reads it, or as the draft reads it if the method has no target."""
    role = Role.TARGET if Role.TARGET in result.prompt_token_ids else Role.DRAFT
    return len(result.prompt_token_ids.get(role, ()))
