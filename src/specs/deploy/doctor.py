"""Checks before a solve: whether models load, how they score, and whether together they solve a step.

Each model is loaded, or its server queried, separately, so that one failure does not hide others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from specs import api
from specs.deploy import thinking, trial
from specs.engines.event_loop import wait
from specs.engines.loading import different_vocabularies
from specs.engines.local.models import LocalPolicy, LocalReward
from specs.engines.protocol import LanguageModel, Models, never_stop
from specs.engines.vllm.reward import RemoteReward
from specs.engines.vllm.server import Facts, Server
from specs.engines.vllm.session import MOST_BIASES, RemotePolicy
from specs.errors import InputError
from specs.types import Role, SamplingParams

BLOCKS = 3
"""Length of the repeated prompt in cache blocks; a server recomputes part of the last block."""
LARGE = 1_000_000_000
"""Number of parameters from which a model is slow on a CPU."""


class Severity(StrEnum):
    OK = "ok"
    HINT = "hint"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `role` is None if it concerns several models."""

    role: Role | None
    state: Severity
    text: str


def diagnose(names: Mapping[Role, str], sampling: SamplingParams, **loading: Any) -> Iterator[Finding]:
    """Check the models of `names` and yield each finding at once.

    Args:
        sampling: the sampling parameters of steps.
        loading: options of `specs.api.load`.
    """
    loaded: dict[Role, Any] = {}
    sound = True
    for role, name in names.items():
        try:
            model = getattr(api.load(**dict.fromkeys(Role) | {role: name}, **loading), role)
            yield from (
                _local_findings(role, model)
                if isinstance(model, LocalPolicy | LocalReward)
                else _server_findings(role, model, sampling)
            )
        except Exception as error:  # whatever error one model raises, check the others
            sound = False
            said = trial.reason(error)
            # Errors start with the role, which has a column of its own.
            yield Finding(role, Severity.PROBLEM, said.removeprefix(f"{role}: ").removeprefix(f"{role} "))
        else:
            loaded[role] = model
    if Role.DRAFT in loaded and Role.TARGET in loaded:
        pair = loaded[Role.DRAFT], loaded[Role.TARGET]
        for finding in _pair_findings(*pair, sampling, loading.get("allow_text_scoring", False)):
            sound = sound and finding.state is not Severity.PROBLEM
            yield finding
    for role, model in loaded.items():
        if failure := trial.try_alone(role, model, sampling):
            sound = False
            yield Finding(role, Severity.PROBLEM, f"fails at its part of a step: {failure}")
    if sound:
        yield _joint_finding(loaded, sampling)


def _joint_finding(loaded: Mapping[Role, Any], sampling: SamplingParams) -> Finding:
    """Try a step with all models together, after each has done its part alone."""
    if len(loaded) == 1:
        return Finding(next(iter(loaded)), Severity.OK, "does its part of a step")
    if failure := trial.try_together(loaded, sampling):
        return Finding(None, Severity.PROBLEM, f"together they fail at a step: {failure}")
    return Finding(None, Severity.OK, "together they solve a step")


def _local_findings(role: Role, model: LocalPolicy | LocalReward) -> Iterator[Finding]:
    """Findings about a model in this process."""
    backend = model.backend
    yield Finding(
        role, Severity.OK, f"{model.name}: in this process ({backend.device}), {model.parameters:,} parameters, "
        f"context of {backend.context:,} tokens{_format_note(model)}",
    )  # fmt: skip
    if isinstance(model, LocalPolicy) and (said := thinking.about(model)):
        yield Finding(role, Severity.OK, said)
        if why := thinking.context_hint(backend.context, ""):
            yield Finding(role, Severity.HINT, why)
    if model.parameters >= LARGE and backend.device == "cpu":
        yield Finding(
            role, Severity.HINT, "large for a CPU: serve it on a GPU ('specs launch') or choose a smaller one"
        )


def _format_note(model: object) -> str:
    """The input format of a PRM; empty for other models."""
    return f", read as {model.prm_format.name}: {model.why}" if isinstance(model, LocalReward | RemoteReward) else ""


def _server_findings(role: Role, model: RemotePolicy | RemoteReward, sampling: SamplingParams) -> Iterator[Finding]:
    """Findings about a model on servers: what each reports, and how to make it faster or exact."""
    facts = model.replicas.facts
    for server in model.replicas.servers:
        yield Finding(
            role, Severity.OK, f"{server.client.url}: vLLM {facts.version}, {facts.model}, "
            f"context of {facts.context:,} tokens{_format_note(model)}",
        )  # fmt: skip
        if facts.generates:
            yield _cache_finding(role, server)
    if role is Role.TARGET:
        yield _scoring_finding(facts)
    if isinstance(model, RemotePolicy):
        if said := thinking.about(model):
            yield Finding(role, Severity.OK, said)
            if why := thinking.context_hint(facts.context, "start it with --max-model-len {}"):
                yield Finding(role, Severity.HINT, why)
        yield from (Finding(role, Severity.HINT, hint) for hint in thinking.deaf(model))
        for hint in (_sampling_hint(role, facts, sampling), _padding_hint(role, facts, model.text.size)):
            if hint:
                yield Finding(role, Severity.HINT, hint)


def _cache_finding(role: Role, server: Server) -> Finding:
    """Send the same prompt twice: how much of the second comes from the cache, and how long it takes."""
    size = min(BLOCKS * (server.facts.block_size or 16), server.facts.context - 2)
    prompt = [(7 * token_idx) % 50 + 5 for token_idx in range(size)]  # ids that exist in every vocabulary
    wait(server.next_tokens([prompt]), never_stop)
    began = time.perf_counter()
    _, tally = wait(server.next_tokens([prompt]), never_stop)
    answer = f"a repeated prompt of {size} tokens answers in {1000 * (time.perf_counter() - began):.0f} ms"
    if tally.cached:
        return Finding(role, Severity.OK, f"{answer}, {tally.cached} of them from its cache")
    if why := _why_no_cache(server.facts):
        return Finding(role, Severity.HINT, f"{answer}, all recomputed: {why}")
    return Finding(
        role, Severity.HINT, f"{answer}, and the server reports none as cached: start it with "
        "--enable-prompt-tokens-details",
    )  # fmt: skip


def _why_no_cache(facts: Facts) -> str:
    """Why a server does not reuse cached prefixes, and the remedy; empty if it does."""
    if facts.prefix_cache:
        return ""
    if facts.recurrent:
        return (
            "no prefix reuse, because the model is recurrent and its server caches no states "
            "(--enable-prefix-caching, if vLLM supports it for this model)"
        )
    return "start it without --no-enable-prefix-caching"


def _scoring_finding(facts: Facts) -> Finding:
    if facts.suffix:
        how = "the plugin of specs-llm" if facts.plugin else "model runner V2"
        one = ", in a request for each candidate" if facts.scores_singly else ""
        return Finding(Role.TARGET, Severity.OK, f"scores candidates after a cached prefix ({how}{one})")
    missing = [why] if (why := _why_no_cache(facts)) else []
    if not (facts.lists or facts.v2):
        missing.append("install this version of specs-llm beside vLLM")
    return Finding(Role.TARGET, Severity.HINT, f"recomputes the whole trace for every score: {' and '.join(missing)}")


def _sampling_hint(role: Role, facts: Facts, sampling: SamplingParams) -> str:
    """How to make log-probabilities exact under `sampling`; empty if they are exact."""
    law = sampling.scored if role is Role.TARGET else sampling
    if law.neutral or not facts.raw(role):
        return ""
    plugin = ", with specs-llm beside vLLM" if role is Role.TARGET else ""
    flag = f"start it with --logprobs-mode processed_logprobs{plugin}"
    return f"log-probabilities are at temperature 1, steps are not: {flag}, or sample at temperature 1"


def _padding_hint(role: Role, facts: Facts, tokens: int) -> str:
    """A hint about padding rows that have a probability; empty if there are none."""
    mend = "install specs-llm beside vLLM, whose plugin gives them probability 0"
    if not facts.rows and not facts.cuts_padding:
        return f"does not report how many rows its model has; if some are padding rows, {mend}"
    padding = len(facts.padding(tokens))
    if padding > MOST_BIASES:
        return f"it has {padding} padding rows, too many to forbid: a step that samples one fails; {mend}"
    if padding and (role is Role.TARGET or not facts.processed):
        return f"its log-probabilities count {padding} padding rows: {mend}"
    return ""


def _pair_findings(
    draft: LanguageModel, target: LanguageModel, sampling: SamplingParams, through_text: bool
) -> Iterator[Finding]:
    if draft.fingerprint == target.fingerprint:
        yield Finding(None, Severity.OK, "draft and target share a vocabulary")
    elif through_text:
        yield Finding(
            None, Severity.HINT, "draft and target have different vocabularies: scores through text are inexact"
        )
    else:
        yield Finding(None, Severity.PROBLEM, str(different_vocabularies(draft.name, target.name)))
    models = Models(draft, target)
    try:
        models.check_law(sampling)
    except InputError as error:
        yield Finding(None, Severity.PROBLEM, str(error))
    else:
        inexact = models.inexact(sampling)
        said = "log p and log q are at temperature 1, unlike the steps: results have raw_scoring set"
        exact = "log p and log q follow the sampling law of the steps"
        yield Finding(None, Severity.HINT if inexact else Severity.OK, said if inexact else exact)
