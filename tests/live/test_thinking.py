"""Thinking on real servers: random models with marker tokens, whose template behaves like Qwen3's."""

import pytest

from helpers.rows import log_probabilities
from helpers.tiny_thinkers import write_pair
from live.servers import PROCESSED
from specs import api
from specs.config import Limits, SolveConfig
from specs.core.keys import Key
from specs.core.selection import log_ratio
from specs.decoding.stream import stream
from specs.deploy import thinking
from specs.engines.loading import Names, load_models
from specs.engines.protocol import Models, never_stop
from specs.methods.early_exit import Deer, Dynasor
from specs.methods.registry import make
from specs.types import Candidate, Chat, End, Phase, Role, SamplingParams, StepPolicy, ThinkingEnd, Trace

LAW = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=10), StepPolicy(max_tokens=24), top_k=60)
LIMITS = Limits(max_steps=30, max_tokens=20, max_thinking_tokens=70)
QUESTION, CHAT = "How many?", Chat(think=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("thinkers"))


@pytest.fixture(scope="module")
def remote(folders, vllm, tmp_path_factory):
    """Draft and target, each on a server with the plugin."""
    from live.servers import Server

    logs = tmp_path_factory.mktemp("logs")
    running = [
        Server(str(folders[role]), logs / f"{role}.log", PROCESSED, "--max-model-len=512")
        for role in ("draft", "target")
    ]
    try:
        yield api.load(*(server.wait().url for server in running))
    finally:
        for server in running:
            server.stop()


@pytest.fixture(scope="module")
def local(folders):
    return load_models(Names(str(folders["draft"]), str(folders["target"])), engine="light")


def opened(model):
    return model.open(model.prompt(QUESTION, CHAT), frozenset({model.fingerprint}), never_stop)


def test_prompts_and_markers_are_those_of_this_process(remote, local):
    for role in ("draft", "target"):
        ours, theirs = getattr(local, role), getattr(remote, role)
        assert ours.thinking == theirs.thinking
        assert ours.prompt(QUESTION, CHAT) == theirs.prompt(QUESTION, CHAT)


def test_a_step_ends_with_the_token_that_closes_the_thinking(remote, local):
    """The server returns that token, and its log-probability is that of this process."""
    close, trace = local.draft.thinking.close_id, Trace.start(QUESTION, True)
    writer, own, closed = opened(remote.draft), opened(local.draft), 0
    steps = SamplingParams(0.9, 1.0, StepPolicy(delimiter=None, max_tokens=60), top_k=60)
    for seed in range(4):
        samples = writer.sample([trace], 64, steps, [Key.from_seed(seed)])
        group = [Candidate(s.token_ids, s.text, s.end) for s in samples]
        assert [s.log_probability for s in samples] == pytest.approx(
            log_probabilities(own, [(trace, group)], steps), abs=2e-3
        )
        for sample in samples:
            assert close not in sample.token_ids[:-1]
            assert (sample.token_ids[-1] == close) == (sample.end is End.CLOSE)
            closed += sample.end is End.CLOSE
    assert closed


def test_sampled_and_scored_log_probabilities_agree_across_the_close(remote, local):
    answered = 0
    for seed in range(8):
        config = SolveConfig(make("prm-free", n=4), LAW, LIMITS, seed)
        result = stream(QUESTION, remote, config).result
        assert result.error is None
        trace = Trace.start(QUESTION, True)
        draft, target = opened(local.draft), opened(local.target)
        for record in result.accepted:
            group = [(trace, list(record.candidates))]
            if record.writer is Role.DRAFT:
                assert record.phase is Phase.THINKING
                assert [c.log_q for c in record.candidates] == pytest.approx(
                    log_probabilities(draft, group, LAW), abs=2e-3
                )
                assert [c.log_p for c in record.candidates] == pytest.approx(
                    log_probabilities(target, group, LAW.scored), abs=2e-3
                )
            trace = trace.extend(record.step, record.writer)
        answered += trace.phase is Phase.ANSWER
        assert (trace.phase is Phase.ANSWER) == (result.thinking_end is not ThinkingEnd.CUT)
    assert answered


def test_the_doctor_finds_that_stops_are_heard(remote):
    for model in (remote.draft, remote.target):
        assert [*thinking.deaf(model)] == []


def test_equal_models_have_ratio_0_throughout(remote, local):
    """The target of two servers in both roles; without filters, so that both laws are the same."""
    equal, law = Models(remote.target, remote.target), SamplingParams(1.0, 1.0, LAW.steps, LAW.thinking)
    forced = 0
    for seed in range(3):
        result = stream(QUESTION, equal, SolveConfig(make("prm-free", n=4), law, LIMITS, seed)).result
        assert result.error is None
        for record in result.steps:
            for candidate in record.candidates if record.writer is Role.DRAFT else ():
                assert log_ratio(candidate) == pytest.approx(0, abs=2e-3)
                forced += candidate.forced > 0
    assert forced


def test_probes_say_what_they_say_in_this_process(remote, local):
    """Each trial answer in a solve on servers is that of the same trace here; a rule that always exits does so."""
    probes = exits = 0
    for rule in (Deer(threshold=2.0, word=""), Dynasor(every=1, agree=10**6), Deer(threshold=0.0, word="")):
        config = SolveConfig(make("specreason"), LAW, LIMITS, 1, rule)
        result = stream(QUESTION, remote, config).result
        assert result.error is None
        exits += result.thinking_end is ThinkingEnd.EXITED
        session, trace = opened(local.target), Trace.start(QUESTION, True)
        for record in result.steps:
            if record.probe is not None:
                ids = local.target.encode(rule.opening)
                extended = trace.extend(Candidate(ids, rule.opening, End.CAP, forced=len(ids)), Role.TARGET)
                law = SamplingParams(temperature=0.0, steps=rule.steps)
                (own,) = session.sample([extended], 1, law, [Key.from_seed(0)], (trace,), None, SamplingParams())
                assert record.probe.token_ids == own.token_ids
                assert record.probe.log_p == pytest.approx(own.log_p_by_token, abs=2e-3)
                probes += 1
            if record.accepted:
                trace = trace.extend(record.step, record.writer)
    assert probes > 2
    assert exits == 1
