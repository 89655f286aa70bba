"""Whole solves over HTTP on real servers: same law as in this process, cached prefixes, errors that name the server."""

import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from helpers.fitting import make_with
from helpers.rows import log_probabilities
from live.servers import PROCESSED
from live.solving import QUESTION, check_first_tokens, check_records, check_target, opened
from specs import api
from specs.config import Limits, SolveConfig
from specs.core.keys import Key
from specs.decoding.stream import stream
from specs.engines.event_loop import wait
from specs.engines.protocol import Models, never_stop
from specs.engines.vllm.client import Client
from specs.engines.vllm.server import Server, connect
from specs.errors import InputError
from specs.methods.registry import make
from specs.types import Candidate, End, Finish, Role, SamplingParams, StepPolicy, Trace

LAW = SamplingParams(0.7, 0.95, StepPolicy(max_tokens=64))


@pytest.fixture(scope="module")
def remote(servers):
    """The same trio on three servers with the plugin."""
    return api.load(*(servers[role].url for role in ("draft", "target", "prm")))


def test_first_tokens_follow_the_law(remote, local):
    """Chi-square of 3,000 first tokens against softmax(logits) at temperature 1 (false alarms 3e-7)."""
    check_first_tokens(remote.draft, local.draft, seeds=6)


def test_log_probabilities_are_those_of_the_law_and_of_this_process(remote, local):
    """Sampled and scored under temperature and top-p, step after step behind a cached prefix."""
    writer, scorer = opened(remote.draft), opened(remote.target)
    own_draft, own_target = opened(local.draft), opened(local.target)
    trace = Trace(QUESTION)
    for step_idx in range(4):
        samples = writer.sample([trace], 6, LAW, [Key.from_seed(step_idx)])
        groups = [(trace, [Candidate(s.token_ids, s.text, s.end) for s in samples])]
        reported = [sample.log_probability for sample in samples]
        assert reported == pytest.approx(log_probabilities(own_draft, groups, LAW), abs=1e-3)
        assert log_probabilities(scorer, groups, LAW) == pytest.approx(
            log_probabilities(own_target, groups, LAW), abs=1e-3
        )
        if samples[0].end is not End.DELIMITER:
            break
        trace = trace.extend(groups[0][1][0], Role.DRAFT)
    assert trace.steps


def test_steps_end_where_they_end_in_this_process(remote, local):
    """At the first delimiter after text, at end-of-text or at the cap; ids and text agree."""
    law, ends = SamplingParams(1.3, 1.0, StepPolicy(max_tokens=20)), Counter()
    for sample in opened(remote.draft).sample([Trace(QUESTION)], 200, law, [Key.from_seed(3)]):
        text = b"".join(local.draft.text.piece(token) for token in sample.token_ids).decode()
        assert text == sample.text
        ends[sample.end] += 1
        if sample.end is End.DELIMITER:
            assert "\n\n" in text.lstrip()
            assert "\n\n" not in text.lstrip()[:-2]
        elif sample.end is End.CAP:
            assert len(sample.token_ids) == 20
        else:
            assert sample.token_ids[-1] in local.draft.text.end_ids
    assert len(ends) > 1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("specs", {}),
        ("specs", {"verify": "drawn"}),
        *((name, {}) for name in ("beam", "gsi", "specreason", "ssr", "best-of-n")),
    ],
)
def test_what_a_solve_records_is_what_this_process_computes(remote, local, name, options):
    """Every log-probability and reward of the record equals that of the light engine."""
    method = make_with(name, {"n": 4, **options})
    result = stream(QUESTION, remote, SolveConfig(method, LAW, Limits(max_steps=12), seed=1)).result
    assert result.error is None
    assert not result.raw_scoring
    law = SamplingParams(0.7, 0.95, StepPolicy(delimiter=None, max_tokens=2048)) if name == "best-of-n" else LAW
    if name != "ssr":
        check_records(result, local, law)
    drafted = [one.log_q for record in result.steps if record.writer is Role.DRAFT for one in record.candidates]
    if name in ("specs", "gsi"):
        assert drafted
        assert None not in drafted
    assert all(use.processed > 0 and use.minimum is not None for use in result.usage.values())


def test_scoring_reads_the_prefix_from_the_cache(remote, servers):
    """Eight candidates behind a long prefix cost little more than a block each, also by the server's own count."""
    scorer = opened(remote.target)
    text = remote.target.text
    step = tuple(text.encode("Tom has 12 + 30 = 42 nuts.\n\n"))
    trace = Trace(QUESTION)
    for _ in range(40):
        trace = trace.extend(Candidate(step, "", End.DELIMITER), Role.TARGET)
    candidates = [Candidate((*text.encode(f"That is {k}."), 5), "", End.CAP) for k in range(8)]
    scorer.score([(trace, candidates[:1])], LAW)
    before, counted = servers["target"].metrics(), scorer.counts.processed
    scorer.score([(trace, candidates)], LAW)
    after, computed = servers["target"].metrics(), scorer.counts.processed - counted
    longest = max(len(candidate.token_ids) for candidate in candidates)
    assert computed <= 8 * (32 + longest + 1)
    whole = len(remote.target.prompt(QUESTION)) + len(trace.token_ids)
    assert after["prefix_cache_hits_total"] - before["prefix_cache_hits_total"] >= 8 * (whole - 64)


def test_a_step_takes_a_request_of_each_model(remote, monkeypatch):
    """Apart from the target's prompt, and candidates that begin with a delimiter."""
    sent, post = Counter(), Client.post

    def counted(client, path, body):
        sent[client.url, path] += 1
        return post(client, path, body)

    monkeypatch.setattr(Client, "post", counted)
    result = stream(QUESTION, remote, SolveConfig(make("gsi", n=8), LAW, Limits(max_steps=6), seed=4)).result
    assert result.error is None
    steps, drafted = len(result.steps), [record for record in result.steps if record.writer is Role.DRAFT]
    more = sum(c.text.startswith("\n\n") for record in result.steps for c in record.candidates)
    assert len(drafted) > 1
    assert sent.total() <= 2 * steps + len(drafted) + 1 + more


def test_candidates_are_those_of_a_request_each(remote, servers):
    """The server gives candidate `i` of a request the seed of a request of its own with `seed + i`."""
    session, key, n = opened(remote.draft), Key.from_seed(11), 8
    trace = Trace(QUESTION)
    for law in (LAW, SamplingParams(1.3, 1.0, StepPolicy(max_tokens=20))):
        samples = session.sample([trace], n, law, [key])
        ids = session.trace_ids(trace)
        asked = {"model": "draft", "prompt": ids, "max_tokens": law.steps.max_tokens, "stop": ["\n\n"]}
        asked |= {"temperature": law.temperature, "top_p": law.top_p, "top_k": 0, "return_token_ids": True}
        for idx, sample in enumerate(samples):
            seed = key.fold("server", ids).integer() + idx
            answer = servers["draft"].post("/v1/completions", asked | {"seed": seed}).body
            alone = answer["choices"][0]["token_ids"]
            assert alone == list(sample.token_ids[: len(alone)])
        assert len({sample.token_ids for sample in samples}) > 1


@pytest.mark.parametrize("lists", [True, False], ids=["this plugin", "its first version"])
def test_positions_are_those_that_the_server_has_computed(remote, servers, lists):
    """By the server's own counters, whether it has the prompt in its cache or not."""
    server = wait(connect(servers["target"].url, None, 60.0), never_stop)
    server = Server(server.client, replace(server.facts, lists=lists))
    rng = np.random.default_rng(int(lists))
    prompt = rng.integers(6, 799, 150).tolist()
    paths = [rng.integers(6, 799, size).tolist() for size in (1, 5, 40, 40)]
    for sequences, work in (
        (6, lambda: server.sample(prompt, LAW, 20, 1, 6)),
        (4, lambda: server.score(prompt, paths, LAW)),
        (4, lambda: server.score(prompt, paths, LAW)),
        (4, lambda: server.next_tokens([[*prompt, *path] for path in paths])),
    ):
        before = servers["target"].metrics()
        _, tally = wait(work(), never_stop)
        spent = servers["target"].metrics() - before
        assert tally.cached == spent["prompt_tokens_cached_total"]
        written = spent["generation_tokens_total"] - sequences  # a sequence's last token is not processed
        assert tally.processed + tally.cached == spent["prompt_tokens_total"] + written
    assert tally.cached > tally.processed


def test_a_deadline_also_ends_the_work_on_the_server(remote, servers):
    start = time.perf_counter()
    result = stream(QUESTION, remote, SolveConfig(make("beam", n=16), LAW, Limits(deadline_s=0.3), seed=1)).result
    assert result.finish_reason is Finish.DEADLINE
    assert time.perf_counter() - start < 3
    for _ in range(50):
        if servers["target"].metrics()["num_requests_running"] == 0:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the server still computes after the deadline")


@pytest.mark.parametrize("way", ["kill", "terminate"])
def test_a_server_that_ends_ends_the_solve_with_its_name_and_keeps_the_trace(start, local, way):
    server = start("target", PROCESSED)
    models = Models(local.draft, api.load(None, server.url, None).target, local.prm)
    running = stream(QUESTION, models, SolveConfig(make("beam", n=8), LAW, seed=2))
    steps = []
    for step in running:
        steps.append(step)
        threading.Thread(target=getattr(server, way)).start()
    begun = time.perf_counter()
    result = running.result
    assert result.finish_reason is Finish.ERROR
    assert server.url in result.error
    assert len(result.accepted) == len(steps) >= 1
    assert time.perf_counter() - begun < 60


def test_an_unmodified_server_is_exact_at_temperature_1_and_says_so_elsewhere(start, local):
    """Without plugin and flags: raw log-probabilities of whole prompts, which no solve mixes with exact ones."""
    server = start("target", VLLM_PLUGINS="none")
    target = api.load(None, server.url, None).target
    facts = target.replicas.facts
    assert (facts.plugin, facts.processed, facts.suffix) == (False, False, False)
    mixed = Models(local.draft, target, local.prm)
    with pytest.raises(InputError, match=r"gives log-probabilities at temperature 1 only and bundled:draft at 0\.7"):
        stream(QUESTION, mixed, SolveConfig(make("specs"), LAW))
    result = stream(
        QUESTION, mixed, SolveConfig(make("specs", n=4, start="draft"), SamplingParams(1.0, 1.0, LAW.steps), seed=1)
    ).result
    assert result.error is None
    assert not result.raw_scoring
    alone = stream(QUESTION, Models(target=target), SolveConfig(make("target"), LAW)).result
    assert alone.raw_scoring
    candidates = list(result.steps[0].candidates)
    plain = SamplingParams(1.0, 1.0, LAW.steps)
    check_target(candidates, log_probabilities(opened(local.target), [(Trace(QUESTION), candidates)], plain))
    assert any(candidate.log_p is not None for candidate in candidates)


def test_a_solve_moves_to_the_other_replica_and_loses_nothing(start, servers, local):
    """One of two draft servers is killed during a solve: the trace is that of an undisturbed solve."""
    other = start("draft", PROCESSED)
    draft = api.load(f"{other.url},{servers['draft'].url}", None, None).draft
    models = Models(draft, local.target, local.prm)
    method, limits = make("specs", n=4, start="draft", tau=0.0), Limits(max_steps=6)
    running = stream(QUESTION, models, SolveConfig(method, LAW, limits, seed=3))  # starts on the first replica
    for idx, _ in enumerate(running):
        if idx == 0:
            other.kill()
    result = running.result
    assert result.error is None
    alone = Models(api.load(servers["draft"].url, None, None).draft, local.target, local.prm)
    assert result.text == stream(QUESTION, alone, SolveConfig(method, LAW, limits, seed=3)).result.text


def test_servers_in_the_wrong_role_are_refused(servers):
    with pytest.raises(InputError, match="serves draft, not nothing"):
        api.load(f"{servers['draft'].url}#nothing", None, None)
