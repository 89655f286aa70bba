"""Checks before a solve: which models are there, how they score, whether they fit together and solve a step.

Every model is loaded, or its server asked, separately, so that one that fails does not hide problems of the others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from specs import api
from specs.deploy import trial
from specs.engines.loading import different_vocabularies
from specs.engines.local.models import LocalPolicy, LocalReward
from specs.engines.protocol import Models, Policy, never_stop
from specs.engines.vllm.client import wait
from specs.engines.vllm.server import Facts, Server
from specs.engines.vllm.session import MOST_BIASES, RemotePolicy, RemoteReward
from specs.errors import InputError
from specs.types import Law, Role

BLOCKS = 3
"""Blocks of cache that are asked for twice; of the last one a server computes a part again."""
LARGE = 1_000_000_000
"""Parameters from which a model is slow on a CPU."""


class State(StrEnum):
    OK = "ok"
    HINT = "hint"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `role` is None for what concerns several models."""

    role: Role | None
    state: State
    text: str


def diagnose(names: Mapping[Role, str], law: Law, **loading: Any) -> Iterator[Finding]:
    """Everything about the models of `names`, as it is found.

    Args:
        law: what steps will be sampled from.
        loading: as of `specs.api.load`.
    """
    loaded: dict[Role, Any] = {}
    sound = True
    for role, name in names.items():
        try:
            model = getattr(api.load(**dict.fromkeys(Role) | {role: name}, **loading), role)
            yield from (
                _here(role, model) if isinstance(model, LocalPolicy | LocalReward) else _of_server(role, model, law)
            )
        except Exception as error:  # whatever one model raises, check the others
            sound = False
            said = trial.reason(error)
            # The role, which errors begin with, has a column of its own.
            yield Finding(role, State.PROBLEM, said.removeprefix(f"{role}: ").removeprefix(f"{role} "))
        else:
            loaded[role] = model
    if Role.DRAFT in loaded and Role.TARGET in loaded:
        pair = loaded[Role.DRAFT], loaded[Role.TARGET]
        for finding in _pair(*pair, law, loading.get("allow_text_scoring", False)):
            sound = sound and finding.state is not State.PROBLEM
            yield finding
    for role, model in loaded.items():
        if failure := trial.alone(role, model, law):
            sound = False
            yield Finding(role, State.PROBLEM, f"fails at its part of a step: {failure}")
    if sound:
        yield _together(loaded, law)


def _together(loaded: Mapping[Role, Any], law: Law) -> Finding:
    """A step by all models, each of which can do its part."""
    if len(loaded) == 1:
        return Finding(next(iter(loaded)), State.OK, "does its part of a step")
    if failure := trial.together(loaded, law):
        return Finding(None, State.PROBLEM, f"together they fail at a step: {failure}")
    return Finding(None, State.OK, "together they solve a step")


def _here(role: Role, model: LocalPolicy | LocalReward) -> Iterator[Finding]:
    """A model in this process."""
    backend = model.backend
    yield Finding(
        role, State.OK, f"{model.name}: in this process ({backend.device}), {model.parameters:,} parameters, "
        f"room for {backend.context:,} tokens{_form(model)}",
    )  # fmt: skip
    if model.parameters >= LARGE and backend.device == "cpu":
        yield Finding(role, State.HINT, "large for a CPU: serve it on a GPU ('specs launch') or choose a smaller one")


def _form(model: object) -> str:
    """How a PRM reads; nothing of other models."""
    return f", read as {model.prm_format.name}: {model.why}" if isinstance(model, LocalReward | RemoteReward) else ""


def _of_server(role: Role, model: RemotePolicy | RemoteReward, law: Law) -> Iterator[Finding]:
    """A model on servers: what each answers, and what would make it faster or exact."""
    facts = model.replicas.facts
    for server in model.replicas.servers:
        yield Finding(
            role, State.OK, f"{server.client.url}: vLLM {facts.version}, {facts.model}, "
            f"room for {facts.context:,} tokens{_form(model)}",
        )  # fmt: skip
        if facts.generates:
            yield _cache(role, server)
    if role is Role.TARGET:
        yield _scoring(facts)
    if isinstance(model, RemotePolicy):
        for hint in (_law(role, facts, law), _padding(role, facts, model.text.size)):
            if hint:
                yield Finding(role, State.HINT, hint)


def _cache(role: Role, server: Server) -> Finding:
    """Ask twice for the same: what the second answer read from the cache, and how long it took."""
    size = min(BLOCKS * (server.facts.block_size or 16), server.facts.context - 2)
    prompt = [(7 * k) % 50 + 5 for k in range(size)]  # ids that every vocabulary has
    wait(server.next_token(prompt), never_stop)
    began = time.perf_counter()
    _, tally = wait(server.next_token(prompt), never_stop)
    answer = f"a repeated prompt of {size} tokens answers in {1000 * (time.perf_counter() - began):.0f} ms"
    if tally.cached:
        return Finding(role, State.OK, f"{answer}, {tally.cached} of them from its cache")
    if why := _no_cache(server.facts):
        return Finding(role, State.HINT, f"{answer}, all computed again: {why}")
    return Finding(
        role, State.HINT, f"{answer} and says of none that they were cached: start it with "
        "--enable-prompt-tokens-details",
    )  # fmt: skip


def _no_cache(facts: Facts) -> str:
    """Why a server finds no beginning again, and what to do about it; empty if it does."""
    if facts.prefix_cache:
        return ""
    if facts.recurrent:
        return (
            "no prefix reuse, because the model is recurrent and its server keeps no states "
            "(--enable-prefix-caching, where vLLM has it for this model)"
        )
    return "start it without --no-enable-prefix-caching"


def _scoring(facts: Facts) -> Finding:
    if facts.suffix:
        how = "model runner V2" if facts.v2 else "our plugin"
        return Finding(Role.TARGET, State.OK, f"scores candidates behind a cached prefix ({how})")
    missing = [why] if (why := _no_cache(facts)) else []
    missing += [] if facts.scale_out else ["start it with --enable-scale-out"]
    if not (facts.plugin or facts.v2):
        missing.append("install specs-llm beside vLLM")
    return Finding(Role.TARGET, State.HINT, f"computes the whole trace again for every score: {' and '.join(missing)}")


def _law(role: Role, facts: Facts, law: Law) -> str:
    """What makes log-probabilities exact under this law; empty if they are."""
    if law.neutral or not facts.raw(role):
        return ""
    plugin = ", with specs-llm beside vLLM" if role is Role.TARGET else ""
    flag = f"start it with --logprobs-mode processed_logprobs{plugin}"
    return f"log-probabilities are at temperature 1, steps are not: {flag}, or sample at --temperature 1"


def _padding(role: Role, facts: Facts, tokens: int) -> str:
    """A hint about padding rows that still have a probability; empty if there are none."""
    mend = "install specs-llm beside vLLM, whose plugin leaves them out"
    if not facts.rows and not facts.cuts_padding:
        return f"does not say how many rows its model has; if some only pad its vocabulary, {mend}"
    padding = len(facts.padding(tokens))
    if padding > MOST_BIASES:
        return f"{padding} rows only pad its vocabulary, too many to forbid: a step that samples one fails; {mend}"
    if padding and (role is Role.TARGET or not facts.processed):
        return f"its log-probabilities count {padding} rows that only pad its vocabulary: {mend}"
    return ""


def _pair(draft: Policy, target: Policy, law: Law, through_text: bool) -> Iterator[Finding]:
    if draft.fingerprint == target.fingerprint:
        yield Finding(None, State.OK, "draft and target share a vocabulary")
    elif through_text:
        yield Finding(None, State.HINT, "draft and target have different vocabularies: scores through text are inexact")
    else:
        yield Finding(None, State.PROBLEM, str(different_vocabularies(draft.name, target.name)))
    models = Models(draft, target)
    try:
        models.check_law(law)
    except InputError as error:
        yield Finding(None, State.PROBLEM, str(error))
    else:
        inexact = models.inexact(law)
        said = "log p and log q are both at temperature 1, unlike the steps: results say raw_scoring"
        exact = "log p and log q are of the law that steps are sampled from"
        yield Finding(None, State.HINT if inexact else State.OK, said if inexact else exact)
