"""A request a step, against a stand-in that samples, scores and caches like vLLM.

The rules are those of vLLM 0.32: sequence `i` of a request for `n` has the seed `seed + i`; the cache holds whole
blocks, and a sequence reads all blocks before its last token from it; `usage` has the cached tokens of one sequence.
"""

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from engines.test_client import FACTS
from helpers import tiny
from specs.core.keys import Key
from specs.engines.protocol import Models, never_stop
from specs.engines.text import HubText, to_text
from specs.engines.vllm.client import Refused
from specs.engines.vllm.replicas import Replicas
from specs.engines.vllm.reward import RemoteReward
from specs.engines.vllm.server import Server
from specs.engines.vllm.session import RemotePolicy
from specs.errors import InputError
from specs.rewards.families import TokenClassification
from specs.types import Candidate, End, Judge, Role, SamplingParams, StepPolicy, Thinking, Trace
from specs.vllm_plugins.counting import CACHED
from specs.vllm_plugins.scoring import START

BLOCK = 4
LAW = SamplingParams(0.8, 0.9, StepPolicy(max_tokens=9))


def log_probability(before, token):
    """Any deterministic function of the prefix."""
    return -float(np.random.default_rng([token, *before]).integers(1, 1000)) / 64


class Vllm:
    """The client of a stand-in server.

    Attributes:
        sent: the path of each request.
        positions: how many positions its sequences had.
        computed: how many of them it has computed.
        counts: whether it has the plugin that counts cached tokens.
    """

    url, failed_at = "http://server", None

    def __init__(self, text, counts=True, forgets=0.0):
        """`forgets` is the probability that it drops its cache before a request."""
        self.text, self.counts, self.forgets = text, counts, forgets
        self.sent, self.bodies, self.blocks = Counter(), [], set()
        self.positions = self.computed = 0
        self.rng = np.random.default_rng(0)

    async def post(self, path, body):
        self.sent[path] += 1
        self.bodies.append(body)
        if self.rng.random() < self.forgets:
            self.blocks.clear()
        return {"/v1/completions": self.complete, "/pooling": self.pool, "/inference/v1/generate": self.score_one}[
            path
        ](body)

    def read(self, ids, start=None, skip=False):
        """How many tokens a sequence reads from the cache, which then also holds those of this sequence."""
        ends = range(BLOCK, start or len(ids), BLOCK)
        cached = next((end - BLOCK for end in ends if tuple(ids[:end]) not in self.blocks), len(ends) * BLOCK)
        self.hold(ids)
        return 0 if skip else cached

    def note(self, positions, cached):
        self.positions += positions
        self.computed += positions - cached

    def hold(self, ids):
        self.blocks |= {tuple(ids[:end]) for end in range(BLOCK, len(ids) + 1, BLOCK)}

    def continuation(self, ids, body, seed):
        """Tokens up to the cap, end-of-text or a delimiter: another function of the prefix and the seed."""
        drawn = []
        while len(drawn) < body["max_tokens"]:
            pick = np.random.default_rng([seed, *ids, *drawn]).integers(6, self.text.size)
            drawn.append(int(pick) if body["temperature"] else 7)
            if any(stop in to_text([self.text.piece(token) for token in drawn]) for stop in body.get("stop", ())):
                break
        return drawn

    def complete(self, body):
        several = isinstance(body["prompt"][0], list)
        prompts = body["prompt"] if several else [body["prompt"]]
        start, scores = body.get("vllm_xargs", {}).get(START), "prompt_logprobs" in body
        choices, cached = [], []
        for ids in prompts:
            for idx in range(body.get("n", 1)):
                cached.append(self.read(ids, start, scores and start is None))
                drawn = self.continuation(ids, {"temperature": 1.0, **body}, body.get("seed", 0) + idx)
                self.note(len(ids) + len(drawn) - 1, cached[-1])
                self.hold([*ids, *drawn[:-1]])
                choices.append({"index": len(choices), "token_ids": drawn, **self.logs(ids, drawn, body)})
        # Of the sequences of one prompt, any may be the last to end.
        reported = cached[-1] if several else self.rng.choice(cached).item()
        usage = {"prompt_tokens": sum(map(len, prompts)), "prompt_tokens_details": {"cached_tokens": reported}}
        return {"choices": choices, "usage": usage | ({CACHED: sum(cached)} if self.counts else {})}

    def logs(self, ids, drawn, body):
        if "prompt_logprobs" in body:
            first = body.get("vllm_xargs", {}).get(START, 1)
            return {"prompt_logprobs": [None, *self.rows(ids, first)]}
        if "logprob_token_ids" in body:
            return {"logprobs": {"top_logprobs": [{f"token_id:{k}": -1.0 - k % 5 for k in body["logprob_token_ids"]}]}}
        if "logprobs" not in body:
            return {}
        places = range(len(drawn))
        return {"logprobs": {"token_logprobs": [log_probability([*ids, *drawn[:k]], drawn[k]) for k in places]}}

    def rows(self, ids, first):
        return [{str(ids[k]): {"logprob": log_probability(ids[:k], ids[k])}} for k in range(first, len(ids))]

    def score_one(self, body):
        """As the first version of the plugin: all rows, of which those of cached tokens mean nothing."""
        ids, params = body["token_ids"], body["sampling_params"]
        assert not params["skip_reading_prefix_cache"]
        cached = self.read(ids, params["extra_args"][START])
        self.note(len(ids), cached)
        rows = [None, *[{"0": {"logprob": 0.0}}] * cached, *self.rows(ids, cached + 1)]
        usage = {"prompt_tokens": len(ids), "prompt_tokens_details": {"cached_tokens": cached}}
        return {"prompt_logprobs": rows, "usage": usage}

    def pool(self, body):
        data = [{"index": k, "data": [(sum(ids) % 97) / 97]} for k, ids in enumerate(body["input"])]
        return {"data": data, "usage": {"prompt_tokens": sum(map(len, body["input"]))}}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    tiny.write_llama(folder, tiny.write_tokenizer(folder), seed=1)
    return HubText(folder)


def served(vllm, **facts):
    return Server(vllm, replace(FACTS, block_size=BLOCK, **facts))


def opened(vllm, **facts):
    policy = RemotePolicy(Replicas([served(vllm, **facts)]), vllm.text, False)
    return policy.open(policy.prompt("b c"), frozenset({policy.fingerprint}), never_stop)


def grown(trace, text):
    return trace.extend(Candidate(tuple(text.encode("a b.\n\n")), "a b.\n\n", End.DELIMITER), Role.TARGET)


def groups_of(traces, samples):
    n = len(samples) // len(traces)
    candidates = [Candidate(s.token_ids, s.text, s.end) for s in samples]
    return [(trace, candidates[k * n : (k + 1) * n]) for k, trace in enumerate(traces)]


# Counts of requests ------------------------------------------------------------------------


def test_a_step_takes_one_request_of_each_model(text):
    """Sampled, scored, rated and rewarded; only a candidate that the server stopped too early takes another."""
    early = 0
    for seed in range(8):
        vllm = Vllm(text)
        session, trace = opened(vllm), grown(Trace("b c"), text)
        samples = session.sample([trace], 8, LAW, [Key.from_seed(seed)])
        more = vllm.sent["/v1/completions"] - 1
        blank = [s for s in samples if not s.text.partition("\n\n")[0].strip() and "\n\n" in s.text]
        assert more >= len(blank)
        assert more == 0 or blank
        early += more
        groups = groups_of([trace], samples)
        for work in (
            lambda session=session, groups=groups: session.score(groups, LAW),
            lambda session=session, groups=groups: session.judge(groups, Judge("abc", "{", ("1", "2"))),
        ):
            before = vllm.sent.total()
            work()
            assert vllm.sent.total() == before + 1
        prm_vllm = Vllm(text)
        prm = RemoteReward(Replicas([served(prm_vllm)]), TokenClassification(text), "")
        prm.open(prm.prompt("b c"), never_stop).score(groups, "\n\n")
        assert prm_vllm.sent == {"/pooling": 1}
    assert early


def test_a_step_whose_log_probabilities_nobody_needs_has_the_same_tokens_and_asks_for_none(text):
    for seed in range(4):
        asked, spared = Vllm(text), Vllm(text)
        key, trace = Key.from_seed(seed), grown(Trace("b c"), text)
        samples = opened(asked).sample([trace], 8, LAW, [key])
        found = opened(spared).sample([trace], 8, LAW, [key], log_probabilities=False)
        assert found == [replace(sample, log_probability=None) for sample in samples]
        drawing = [body for body in spared.bodies if "seed" in body]  # the others look for NaN
        assert [body.get("logprobs") for body in drawing] == [None] * len(asked.bodies)
        assert [body["logprobs"] for body in asked.bodies] == [0] * len(asked.bodies)


def test_several_traces_take_one_request_each_and_equal_ones_are_asked_about_once(text):
    vllm = Vllm(text)
    session, one = opened(vllm), Trace("b c")
    traces = [one, grown(one, text), one]
    samples = session.sample(traces, 3, replace(LAW, steps=StepPolicy.chunks(4)), [Key.from_seed(k) for k in (1, 2, 1)])
    assert vllm.sent.total() == 3
    assert samples[:3] == samples[6:]
    scores = session.score(groups_of(traces, samples), LAW)
    assert vllm.sent.total() == 3 + 2
    assert scores[:3] == scores[6:]
    assert sum(len(body["prompt"]) for body in vllm.bodies[3:]) == len(
        {(k // 3 % 2, s.token_ids) for k, s in enumerate(samples)}
    )


def test_a_list_longer_than_vllm_takes_is_split(text, monkeypatch):
    monkeypatch.setattr("specs.engines.vllm.in_flight.AT_ONCE", 3)
    vllm = Vllm(text)
    session, trace = opened(vllm), Trace("b c")
    candidates = [Candidate((k, k + 1), "", End.CAP) for k in range(8, 16)]
    found = session.score([(trace, candidates)], LAW)
    assert [len(body["prompt"]) for body in vllm.bodies] == [3, 3, 2]
    before = session.trace_ids(trace)
    assert found == [
        [log_probability(before, a), log_probability([*before, a], b)] for a, b in (c.token_ids for c in candidates)
    ]


# What the requests return ----------------------------------------------------------------


def test_candidates_are_those_of_a_request_each(text):
    """Candidate `i` has the seed `seed + i`: it depends neither on `n` nor on the others, continued or not."""
    trace, longer = Trace("b c"), 0
    laws = LAW, replace(LAW, steps=StepPolicy(max_tokens=30)), replace(LAW, temperature=0.0)
    for key, law in product(map(Key.from_seed, range(6)), laws):
        vllm = Vllm(text)
        session = opened(vllm)
        samples = session.sample([trace], 8, law, [key])
        assert samples[:3] == opened(Vllm(text)).sample([trace], 3, law, [key])
        ids = session.trace_ids(trace)
        asked = {"max_tokens": law.steps.max_tokens, "temperature": law.temperature, "stop": ["\n\n"]}
        for idx, sample in enumerate(samples):
            alone = tuple(vllm.continuation(ids, asked, key.fold("server", ids).integer() + idx))
            assert sample.token_ids[: len(alone)] == alone
            longer += len(sample.token_ids) > len(alone)
        different = 8 if law.temperature else 1
        assert len({sample.token_ids for sample in samples}) == vllm.bodies[0]["n"] == different
    assert longer


@pytest.mark.parametrize(
    "facts", [{}, {"prefix_cache": False}, {"lists": False}, {"plugin": False, "lists": False}], ids=str
)
def test_every_token_is_scored_after_all_before_it(text, facts):
    """With the plugin, with its first version (a request each) and without one; traces end anywhere in a block."""
    vllm = Vllm(text)
    session, rng = opened(vllm, **facts), np.random.default_rng(0)
    for length in range(6):
        trace = Trace("b c")
        if length:
            trace = trace.extend(Candidate(tuple(range(10, 10 + length)), "", End.CAP), Role.TARGET)
        candidates = [Candidate(tuple(rng.integers(6, 40, size).tolist()), "", End.CAP) for size in (1, 2, 5, 9)]
        before = vllm.sent.total()
        found = session.score([(trace, candidates)], LAW)
        assert vllm.sent.total() - before == (4 if facts == {"lists": False} else 1)
        ids = session.trace_ids(trace)
        for scores, candidate in zip(found, candidates, strict=True):
            path = candidate.token_ids
            assert scores == [log_probability([*ids, *path[:k]], token) for k, token in enumerate(path)]


FILTERED = replace(LAW, top_k=20, min_p=0.05)


@pytest.mark.parametrize("facts", [{}, {"lists": False}], ids=str)
def test_the_whole_law_goes_with_every_request_that_samples_or_scores(text, facts):
    """Also `top_k` and `min_p`, with their values for "off" too, which overrule a model's generation_config.json."""
    for law in (LAW, FILTERED):
        vllm = Vllm(text)
        session, trace = opened(vllm, filters=True, **facts), Trace("b c")
        samples = session.sample([trace], 3, law, [Key.from_seed(1)])
        session.score(groups_of([trace], samples), law)
        sent = [body.get("sampling_params", body) for body in vllm.bodies]
        wanted = {name: getattr(law, name) for name in ("temperature", "top_p", "top_k", "min_p")}
        assert [{name: one[name] for name in wanted} for one in sent] == [wanted] * len(sent)
        assert any("prompt_logprobs" in one for one in sent)


@pytest.mark.parametrize(
    "facts", [{"filters": False}, {"processed": False}, {"lists": False, "filters": False}], ids=str
)
def test_a_server_that_does_not_score_under_filters_is_not_asked_to(text, facts):
    """An earlier plugin would leave them out and answer with log-probabilities of another law."""
    vllm = Vllm(text)
    session, trace = opened(vllm, **{"filters": True, **facts}), Trace("b c")
    samples = session.sample([trace], 3, FILTERED, [Key.from_seed(1)])
    groups, asked = groups_of([trace], samples), vllm.sent.total()
    with pytest.raises(InputError, match=r"^http://server does not score under top_k or min_p; score under sampling"):
        session.score(groups, FILTERED)
    assert vllm.sent.total() == asked
    assert session.score(groups, FILTERED.scored) == opened(Vllm(text), filters=True).score(groups, FILTERED)


def test_a_target_at_temperature_1_is_exact_on_any_server_whatever_the_filters(text):
    """It scores without them. The draft's log-probabilities are of the filtered law, which a plain server lacks."""
    raw, exact = (RemotePolicy(Replicas([served(Vllm(text))]), text, raw) for raw in (True, False))
    plain, filtered = SamplingParams(), SamplingParams(top_k=20)
    assert [Models(exact, raw).inexact(law) for law in (plain, filtered, FILTERED, LAW)] == [False, False, True, True]
    assert [Models(raw, exact).inexact(law) for law in (plain, filtered)] == [False, True]
    assert [Models(raw, raw).inexact(law) for law in (plain, filtered)] == [False, True]
    for law in (plain, filtered):
        Models(exact, raw).check_law(law)
    for models, law in ((Models(exact, raw), FILTERED), (Models(raw, exact), filtered), (Models(raw, raw), filtered)):
        with pytest.raises(InputError, match="so their ratio means nothing; sample at temperature 1 without filters"):
            models.check_law(law)
    Models(raw, raw).check_law(FILTERED)  # both at temperature 1; results say so (raw_scoring)


# Counts of tokens --------------------------------------------------------------------------


@pytest.mark.parametrize("forgets", [0.0, 0.5])
@pytest.mark.parametrize("facts", [{}, {"lists": False}, {"plugin": False, "lists": False}], ids=str)
def test_positions_are_counted_exactly_with_the_plugin_and_never_too_low_without(text, facts, forgets):
    """Each position counts once, as computed or as cached. Without the plugin, one candidate's prompt may count as
    computed although it was cached, and a new block may count for each candidate."""
    for counts in (True, False):
        vllm = Vllm(text, counts, forgets)
        session, trace = opened(vllm, **facts), Trace("b c")
        for step_idx in range(6):
            traces = [trace, grown(trace, text)]
            before = session.counts.processed - vllm.computed
            samples = session.sample(traces, 4, LAW, [Key.from_seed(step_idx), Key.from_seed(step_idx + 100)])
            added = session.counts.processed - vllm.computed - before
            assert added == 0 if counts else added >= 0
            if step_idx and not forgets:
                assert added <= sum(len(session.trace_ids(one)) + 2 * BLOCK for one in traces)
            groups = groups_of(traces, samples)
            session.score(groups, LAW)
            session.judge(groups, Judge("abc", "{", ("1", "2")))
            added = session.counts.processed - vllm.computed
            assert added == 0 if counts else added >= 0
            assert session.counts.processed + session.counts.cached == vllm.positions
            trace = trace.extend(groups[0][1][0], Role.TARGET)


def test_the_end_of_a_solve_ends_its_background_request(text):
    """The future of a prefill is cancellable, and its tokens count once the session needs an answer."""
    vllm = Vllm(text)
    session, trace = opened(vllm), Trace("b c")
    session.overlap.prefill(trace).result()
    assert session.counts.processed == 0
    session.score([(trace, [Candidate((8,), "", End.CAP)])], LAW)
    assert session.counts.processed == vllm.computed
    assert session.counts.cached >= len(session.trace_ids(trace)) // BLOCK * BLOCK - BLOCK


class Thinker:
    """A vocabulary whose model thinks."""

    def __init__(self, text, thinking):
        self.text, self.thinking = text, thinking

    def __getattr__(self, name):
        return getattr(self.text, name)


def test_inside_the_thinking_a_server_stops_at_the_token_that_closes_it(text):
    """The token is the last of its step; outside the thinking it stops nothing."""
    close = text.encode("b")[0]
    stops = Counter()

    class Closing(Vllm):
        def continuation(self, ids, body, seed):
            drawn = super().continuation(ids, body, seed)
            stops[tuple(body["stop_token_ids"])] += 1
            for place, token in enumerate(drawn):
                if token in body["stop_token_ids"]:
                    return drawn[: place + 1]
            return drawn

    for thinks in (True, False):
        vllm = Closing(text)
        session = opened(vllm)
        session.text = Thinker(session.text, Thinking("<think>", close, "b", (close,), "b"))
        samples = session.sample([Trace.start("b c", thinks)], 40, LAW, [Key.from_seed(0)])
        ended = [sample for sample in samples if sample.end is End.CLOSE]
        assert all(sample.token_ids.index(close) == len(sample.token_ids) - 1 for sample in ended)
        assert bool(ended) == thinks
        assert any(close in sample.token_ids for sample in samples)
    assert set(stops) == {(close,), ()}


def test_an_entropy_is_that_of_the_most_likely_tokens_at_temperature_1(text):
    """One request a trace, without filters; the sampled token and padding rows, if reported, do not count."""

    class Tops(Vllm):
        def logs(self, ids, drawn, body):
            tops = {token: log_probability(ids, token) for token in range(40)}
            best = sorted(tops, key=tops.get)[-body["logprobs"] :]
            padding = {f"token_id:{self.text.size}": -0.1}
            return {"logprobs": {"top_logprobs": [padding | {f"token_id:{t}": tops[t] for t in (*drawn, *best)}]}}

        def continuation(self, ids, body, seed):
            return [min(range(40), key=lambda token: log_probability(ids, token))]

    vllm = Tops(text)
    session, one = opened(vllm), Trace("b c")
    traces = [one, grown(one, text)]
    for trace, found in zip(traces, session.entropies(traces, 20), strict=True):
        ids = session.trace_ids(trace)
        p = np.sort(np.exp([log_probability(ids, token) for token in range(40)]))[-20:]
        p /= p.sum()
        assert found == pytest.approx(-(p * np.log(p)).sum())
    assert len(vllm.bodies) == 2
    for body in vllm.bodies:
        assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (1.0, 1.0, 0, 0.0)
        assert (body["max_tokens"], body["logprobs"]) == (1, 20)
    assert session.counts.processed == vllm.computed


def test_another_replica_draws_and_scores_what_the_first_would_have(text):
    """Seeds come from the solve, not from the server."""

    class Dead(Vllm):
        async def post(self, path, body):
            raise Refused("its engine has died", 500)

    def solved(*clients):
        policy = RemotePolicy(Replicas([served(client) for client in clients]), text, False)
        session = policy.open(policy.prompt("b c"), frozenset({policy.fingerprint}), never_stop)
        samples = session.sample([Trace("b c")], 4, LAW, [Key.from_seed(5)])
        return samples, session.score(groups_of([Trace("b c")], samples), LAW)

    assert solved(Dead(text), Vllm(text)) == solved(Vllm(text))
