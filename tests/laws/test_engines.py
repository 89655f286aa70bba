"""The laws that every in-process engine obeys (docs/engines.md), on tiny random models.

Every test runs on the light engine, on transformers and on llama.cpp.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from helpers import tiny, toy
from helpers.fitting import make_with
from helpers.rows import log_probabilities, outputs_of
from specs.config import Limits, SolveConfig
from specs.core.keys import Key
from specs.core.sampling import log_law
from specs.decoding.stream import astream, stream
from specs.engines.local.tree import TokenTree
from specs.engines.protocol import Models, never_stop
from specs.methods.beam import Beam
from specs.methods.registry import NAMES, make
from specs.methods.specs import Specs
from specs.types import Candidate, End, Finish, Judge, Role, SamplingParams, StepPolicy, Trace

LAW = SamplingParams(0.8, 0.9, StepPolicy(max_tokens=10))
FILTERED = SamplingParams(0.8, 0.9, StepPolicy(max_tokens=10), top_k=12, min_p=0.05)
LIMITS = Limits(max_steps=6, max_tokens=60)
QUESTION = "a b c"
JUDGE = Judge("abc", "{", tuple("0123456789"))  # letters of the tiny vocabulary, which all engines tokenise alike


def session(policy, question=QUESTION):
    return policy.open(policy.prompt(question), frozenset({policy.fingerprint}), never_stop)


def from_scratch(policy, ids, law):
    """Law of each token after the prompt, [len(ids) - prompt, V], by one causal pass over all tokens."""
    ids = np.asarray(ids, np.int64)
    rows = outputs_of(
        policy.backend, policy.backend.cache(), ids, np.arange(len(ids)), None, np.arange(len(ids), dtype=np.int64)
    )
    return log_law(rows.astype(np.float64), law)


def log_p(policy, prompt, path, law):
    rows = from_scratch(policy, [*prompt, *path[:-1]], law)[len(prompt) - 1 :]
    return float(rows[np.arange(len(path)), list(path)].sum())


def solve(models, method, law=LAW, seed=0, limits=LIMITS):
    return stream(QUESTION, models, SolveConfig(method, law, limits, seed=seed)).result


# 1. Same law ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "law",
    [
        SamplingParams(1.0),
        SamplingParams(0.6),
        SamplingParams(1.0, 0.7),
        SamplingParams(0.8, 0.9),
        SamplingParams(0.8, top_k=8),
        SamplingParams(1.2, min_p=0.2),
        FILTERED,
    ],
)
def test_first_tokens_follow_the_law(models, law):
    """Chi-square of 4,000 first tokens against softmax(logits / temperature) with filters at 5 sigma (odds 3e-7)."""
    policy, law = models.draft, replace(law, steps=StepPolicy.chunks(1))
    prompt = policy.prompt(QUESTION)
    exact = np.exp(from_scratch(policy, prompt, law)[-1])
    samples = session(policy).sample([Trace(QUESTION)], 4000, law, [Key.from_seed(1)])
    counts = Counter(sample.token_ids[0] for sample in samples)
    statistic, degrees = toy.chi_square([counts[t] for t in range(len(exact))], 4000 * exact)
    assert statistic < toy.chi_square_bound(max(degrees, 1))


def test_pairs_of_tokens_follow_the_law(models):
    """Candidates share rows, yet their later draws are independent: chi-square of pairs of tokens at 5 sigma (3e-7)."""
    policy, law = models.draft, SamplingParams(0.7, 1.0, StepPolicy.chunks(2))
    prompt = policy.prompt(QUESTION)
    first = np.exp(from_scratch(policy, prompt, law)[-1])
    top = int(first.argmax())
    second = np.exp(from_scratch(policy, [*prompt, top], law)[-1])
    samples = session(policy).sample([Trace(QUESTION)], 4000, law, [Key.from_seed(2)])
    after = Counter(s.token_ids[1] for s in samples if s.token_ids[0] == top and len(s.token_ids) == 2)
    statistic, degrees = toy.chi_square([after[t] for t in range(len(second))], sum(after.values()) * second)
    assert statistic < toy.chi_square_bound(max(degrees, 1))


@pytest.mark.parametrize("law", [LAW, SamplingParams(1.0, 1.0, StepPolicy(max_tokens=12)), FILTERED])
def test_sampled_log_probabilities_are_those_of_scoring_and_of_scratch(models, law):
    """The sampler's log-probability equals that of scoring and of one causal pass over the whole sequence."""
    policy = models.target
    writer, scorer = session(policy), session(policy)
    trace = Trace(QUESTION)
    for step_idx in range(3):
        samples = writer.sample([trace], 5, law, [Key.from_seed(step_idx)])
        candidates = [Candidate(s.token_ids, s.text, s.end) for s in samples]
        scored = log_probabilities(scorer, [(trace, candidates)], law)
        for sample, score in zip(samples, scored, strict=True):
            whole = [*trace.token_ids, *sample.token_ids]
            rows = from_scratch(policy, [*policy.prompt(QUESTION), *whole[:-1]], law)[-len(sample.token_ids) :]
            scratch = rows[np.arange(len(sample.token_ids)), list(sample.token_ids)].sum()
            assert sample.log_probability == pytest.approx(scratch, abs=1e-4)
            assert score == pytest.approx(scratch, abs=1e-4)
        trace = trace.extend(candidates[2], Role.TARGET)
        if candidates[2].end is End.END_OF_TEXT:
            break


def test_ratio_is_zero_when_draft_and_target_are_one(models):
    same = Models(models.target, models.target, models.prm)
    result = solve(same, Specs(n=4, tau=0.0, start="draft", verify="all"))
    for record in result.steps:
        for candidate in record.candidates:
            assert candidate.log_p == pytest.approx(candidate.log_q, abs=1e-4)


def test_with_filters_the_target_scores_at_the_temperature_alone(models):
    """And the draft under the law of its samples, which is never below that: their ratio is at most 0 for one model."""
    same = Models(models.target, models.target, models.prm)
    (record,) = solve(same, Specs(n=6, start="draft", verify="all"), FILTERED, limits=Limits(max_steps=1)).steps[:1]
    prompt, plain = models.target.prompt(QUESTION), SamplingParams(FILTERED.temperature)
    for candidate in record.candidates:
        assert candidate.log_q == pytest.approx(log_p(models.target, prompt, candidate.token_ids, FILTERED), abs=1e-4)
        assert candidate.log_p == pytest.approx(log_p(models.target, prompt, candidate.token_ids, plain), abs=1e-4)
        assert candidate.log_p < candidate.log_q - 1e-3


def test_target_scores_under_the_prompt_it_would_write_under(models):
    """A system prompt of the target alone changes its scores to exactly those under the prompt it writes with."""
    own = replace(models.target, system="b a")
    with_own = Models(models.draft, own, models.prm)
    law = SamplingParams(0.9, 1.0, StepPolicy(max_tokens=8))
    method = Specs(n=3, start="draft", deferral="next", verify="all")
    (record,) = solve(with_own, method, law=law, limits=Limits(max_steps=1)).steps
    for candidate in record.candidates:
        written_under = log_p(own, own.prompt(QUESTION), candidate.token_ids, law)
        wrong = log_p(own, models.target.prompt(QUESTION), candidate.token_ids, law)
        assert candidate.log_p == pytest.approx(written_under, abs=1e-4)
        assert abs(wrong - written_under) > 1e-3


@pytest.mark.parametrize("engine", ["torch", pytest.param("llama", marks=pytest.mark.slow)])
def test_engines_agree(trio, engine, request, device):
    """The same weights on two engines give log-probabilities and rewards equal within 1e-4."""
    from specs.engines.loading import Names, load_models

    paths = {role: trio[role] for role in Role}
    if engine == "llama":
        paths |= request.getfixturevalue("gguf_pair")
    else:
        pytest.importorskip("torch")
    light = load_models(Names(*(str(trio[role]) for role in Role)), engine="light")
    beside = "light" if engine == "llama" else "torch"
    compared = load_models(Names(*(str(paths[role]) for role in Role)), engine=beside, dtype="fp32", device=device)
    for seed in range(3):
        one, other = (solve(models, Specs(n=4, tau=0.3), seed=seed) for models in (light, compared))
        for a, b in zip(one.steps, other.steps, strict=True):
            assert [c.token_ids for c in a.candidates] == [c.token_ids for c in b.candidates]
            for x, y in zip(a.candidates, b.candidates, strict=True):
                assert x.reward == pytest.approx(y.reward, abs=1e-4)
                assert x.log_p == pytest.approx(y.log_p, abs=1e-4)
                assert x.log_q == pytest.approx(y.log_q, abs=1e-4)


# 2. No token twice ------------------------------------------------------------------------


SWITCHING = [
    Specs(n=5, tau=0.5, deferral="next"),
    Specs(n=5, tau=0.5, deferral="next", start="draft"),
    Specs(n=4, tau=0.6, deferral="rewrite"),
    Specs(n=3, draft_share=0.5),
    Beam(n=6, width=3),
    *(make_with(name, {"n": 4}) for name in NAMES if name not in ("specs", "random-switch")),
]


@pytest.mark.parametrize(
    "method", SWITCHING, ids=lambda m: f"{m.name}-{getattr(m, 'deferral', getattr(m, 'width', ''))}"
)
def test_no_token_twice(models, method):
    """Over whole solves in which the writer switches, positions computed equal the minimum exactly.

    Positions that were prefetched in vain are counted as speculated.
    """
    for seed in range(4):
        counting = {role: tiny.CountingBackend(getattr(models, role).backend) for role in Role}
        counted = Models(**{role: replace(getattr(models, role), backend=counting[role]) for role in Role})
        result = solve(counted, method, seed=seed)
        for role, use in result.usage.items():
            assert use.processed == use.minimum + use.speculated == counting[role].positions, (role, seed)
        drawn = dict.fromkeys(Role, 0)
        for record in result.steps:
            drawn[record.writer] += sum(len(c.token_ids) for c in record.candidates)
        assert {role: use.generated for role, use in result.usage.items()} == {r: drawn[r] for r in result.usage}
        kept = sum(len(r.step.token_ids) for r in result.accepted)
        assert sum(u.generated - u.discarded for u in result.usage.values()) == kept


def test_what_was_scored_is_sampled_for_free(models):
    """Behind a trace whose candidates were scored, sampling draws the usual tokens and computes only new positions."""
    trace, policy = Trace(QUESTION), models.target
    for seed in range(4):
        samples, others = (session(policy).sample([trace], 6, LAW, [Key.from_seed(k)]) for k in (seed, seed + 100))
        for known in (samples, samples[:2], others):
            counting = tiny.CountingBackend(policy.backend)
            scorer = session(replace(policy, backend=counting))
            scorer.score([(trace, [Candidate(s.token_ids, s.text, s.end) for s in known])], LAW)
            before = counting.positions
            again = scorer.sample([trace], 6, LAW, [Key.from_seed(seed)])
            assert [s.token_ids for s in again] == [s.token_ids for s in samples]
            for one, other in zip(again, samples, strict=True):
                assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)
            scored, needed = ({s.token_ids[:k] for s in found for k in range(1, len(s.token_ids))}
                              for found in (known, samples))  # fmt: skip
            assert counting.positions - before == len(needed - scored)


def test_a_solve_frees_its_memory_when_it_ends(models):
    """Without waiting for the garbage collector, because the next solve needs as much memory."""
    solve(models, Specs(n=2))
    gc.disable()
    try:
        before = sum(type(one) is TokenTree for one in gc.get_objects())
        solve(models, Specs(n=2))
        assert sum(type(one) is TokenTree for one in gc.get_objects()) == before
    finally:
        gc.enable()


def test_both_writers_take_part_in_the_switching_solves(models):
    writers = [r.writer for seed in range(4) for r in solve(models, SWITCHING[0], seed=seed).steps]
    assert {*writers} == {Role.DRAFT, Role.TARGET}


def test_equal_candidates_are_verified_once(models):
    """At a low temperature most candidates are equal; verification computes only the distinct ones."""
    cold = SamplingParams(0.05, 1.0, StepPolicy(max_tokens=6))
    (record,) = solve(models, Specs(n=16, start="draft", deferral="next"), law=cold, limits=Limits(max_steps=1)).steps
    firsts = [c for c in record.candidates if c.duplicates_of is None]
    assert len(firsts) < 8
    for candidate in record.candidates:
        if candidate.duplicates_of is not None:
            first = record.candidates[candidate.duplicates_of]
            assert first.duplicates_of is None
            assert (first.token_ids, first.reward, first.log_p) == (
                candidate.token_ids,
                candidate.reward,
                candidate.log_p,
            )


def test_ratings_are_those_of_scratch(models):
    """The rating is the most likely token after the whole conversation, for several traces at once, on every engine."""
    policy = models.target
    asked, labels = policy.text.judgement(JUDGE)
    rater, trace, ratings = session(policy), Trace(QUESTION), Counter()
    for step_idx in range(4):
        samples = rater.sample([trace], 6, LAW, [Key.from_seed(step_idx)])
        candidates = [Candidate(s.token_ids, s.text, s.end) for s in samples]
        other = trace.extend(candidates[0], Role.DRAFT)
        groups = [(trace, candidates), *([(other, candidates)] if candidates[0].end is not End.END_OF_TEXT else [])]
        pairs = [(start, candidate) for start, group in groups for candidate in group]
        for (start, candidate), rating in zip(pairs, rater.judge(groups, JUDGE), strict=True):
            said = [t for t in (*start.token_ids, *candidate.token_ids) if t not in policy.text.end_ids]
            likely = int(
                from_scratch(policy, [*policy.prompt(QUESTION), *said, *asked], SamplingParams(1.0))[-1].argmax()
            )
            assert rating == (labels.index(likely) / 9 if likely in labels else 0)
            ratings[rating] += 1
        trace = trace.extend(candidates[1], Role.TARGET)
        if candidates[1].end is End.END_OF_TEXT:
            break
    assert len(ratings) > 1


@pytest.mark.parametrize("role", ["draft", "target", "prm"])
def test_tree_equals_scratch(models, role):
    """Random trees, commits and returns: every output equals that of one causal pass within 1e-4."""
    backend = getattr(models, role).backend
    rng = np.random.default_rng(7)
    vocabulary = len("x" * 30)
    ids = tuple(rng.integers(3, vocabulary, 9).tolist())
    tree = TokenTree(backend, ids)

    def scratch(sequence):
        n = len(sequence)
        return outputs_of(backend, backend.cache(), np.array(sequence), np.arange(n), None, np.array([n - 1]))[0]

    for _ in range(6):
        (tail,) = tree.rebase(ids, logits=True)
        assert tail == ()
        paths = [tuple(rng.integers(3, vocabulary, rng.integers(1, 7)).tolist()) for _ in range(4)]
        paths.append((*paths[0][:1], 5, 6))
        rows, walks = tree.prefix_logits([()] * len(paths), paths)
        for path, walk in zip(paths, walks, strict=True):
            for k, row in enumerate(walk):
                assert rows[row] == pytest.approx(scratch([*ids, *path[:k]]), abs=1e-4)
        winner = paths[int(rng.integers(len(paths)))]
        ids = (*ids, *winner, int(rng.integers(3, vocabulary)))
    tree.rebase(ids[:12], logits=True)  # back into the accepted prefix
    assert tree.tip_logits([()])[0][0] == pytest.approx(scratch(ids[:12]), abs=1e-4)


@pytest.mark.parametrize("role", ["draft", "target", "prm"])
def test_sequences_side_by_side_equal_scratch(models, role):
    """Traces branch, continue together and end: every output equals one causal pass, no position is computed twice."""
    counting = tiny.CountingBackend(getattr(models, role).backend)
    rng = np.random.default_rng(8)
    tree = TokenTree(counting, ids := tuple(rng.integers(3, 30, 9).tolist()))
    live = [ids]
    seen: set[tuple[int, ...]] = set()

    def scratch(sequence):
        backend, n = getattr(models, role).backend, len(sequence)
        return outputs_of(backend, backend.cache(), np.array(sequence), np.arange(n), None, np.array([n - 1]))[0]

    for width in (1, 3, 3, 2, 2, 1):
        live = live[:width]
        tails = tree.rebase(*live, logits=True)
        paths = [[tuple(rng.integers(3, 30, rng.integers(2, 5)).tolist()) for _ in range(3)] for _ in live]
        before = counting.positions
        rows, walks = tree.prefix_logits(
            [tail for tail in tails for _ in range(3)], [path for group in paths for path in group]
        )
        needed = {(*start, *path)[:k] for start, group in zip(live, paths, strict=True) for path in group
                  for k in range(1, len(start) + len(path) + 1)}  # fmt: skip
        held = {one for one in seen if any(start[: len(one)] == one for start in live)}
        assert counting.positions - before == len(needed - held)
        seen = needed
        if width < 3:  # the same traces again, with one candidate as before and one that begins like another
            again = [[group[0], (*group[1][:-1], 31)] for group in paths]
            tails = tree.rebase(*live, logits=True)
            tree.prefix_logits([tail for tail in tails for _ in range(2)], [path for group in again for path in group])
            new = {(*start, *path) for start, group in zip(live, again, strict=True) for path in group[1:]}
            assert counting.positions - before == len(needed - held) + len(new - seen)
            seen |= new
        walk_of = iter(walks)
        for start, group in zip(live, paths, strict=True):
            for path in group:
                for k, row in enumerate(next(walk_of)):
                    assert rows[row] == pytest.approx(scratch([*start, *path[:k]]), abs=1e-4)
        live = [(*start, *path, int(rng.integers(3, 30))) for start, group in zip(live, paths, strict=True)
                for path in group[:2]]  # fmt: skip


# 3. Token-exact ---------------------------------------------------------------------------


def test_steps_end_at_the_first_token_that_completes_the_delimiter(models):
    """Compared with a search over decoded prefixes; the vocabulary has tokens such as '.\\n\\n' and 'b.\\n'."""
    text = models.draft.text
    ends = Counter()
    law = SamplingParams(1.2, 1.0, StepPolicy(max_tokens=14))
    rounds = [session(models.draft).sample([Trace(QUESTION)], 200, law, [Key.from_seed(seed)]) for seed in range(3)]
    for sample in (sample for samples in rounds for sample in samples):
        ids = sample.token_ids
        written = [b"".join(text.piece(t) for t in ids[:k]) for k in range(1, len(ids) + 1)]
        closed = [b"\n\n" in w.lstrip() for w in written]
        ends[sample.end] += 1
        assert not any(closed[:-1])
        assert not any(token in text.end_ids for token in ids[:-1])
        if sample.end is End.DELIMITER:
            assert closed[-1]
        elif sample.end is End.END_OF_TEXT:
            assert ids[-1] in text.end_ids
        else:
            assert len(ids) == 14
            assert not closed[-1]
        assert sample.text.encode("utf-8", "surrogateescape") == written[-1]
    assert min(ends.values()) > 5
    assert len(ends) == 3


def test_a_character_that_spans_steps_comes_out_whole(models):
    """Steps of one token cut multi-byte characters; joined by ids, the text of the trace is right."""
    law = SamplingParams(3.0, 1.0, StepPolicy.chunks(1))
    seen = 0
    for seed in range(30):
        result = solve(models, make("draft"), law=law, seed=seed, limits=Limits(max_steps=12, max_tokens=12))
        ids = [t for r in result.steps for t in r.step.token_ids]
        data = b"".join(models.draft.text.piece(t) for t in ids)
        assert result.text == data.decode("utf-8", "replace")
        seen += any(ord(ch) > 127 and ch != "\ufffd" for ch in result.text)
    assert seen


def test_pieces_join_to_what_the_tokenizer_decodes(models):
    text = models.draft.text
    for sample in ("a b.\n\nc d.", "\u00e9 \u65e5\u672c a.\n\n", "12 {2}"):
        assert b"".join(text.piece(t) for t in text.encode(sample)).decode() == sample


# 4. Seeded --------------------------------------------------------------------------------


def test_a_seed_gives_one_trace_whatever_the_driver(models):
    one = solve(models, Specs(n=4), seed=3)
    two = solve(models, Specs(n=4), seed=3)

    async def run():
        running = astream(QUESTION, models, SolveConfig(Specs(n=4), LAW, LIMITS, seed=3))
        return [record async for record in running], running.result

    steps, three = asyncio.run(run())
    ids = [[c.token_ids for c in r.candidates] for r in one.steps]
    assert ids == [[c.token_ids for c in r.candidates] for r in two.steps]
    assert ids == [[c.token_ids for c in r.candidates] for r in three.steps]
    assert [r.step for r in steps] == [r.step for r in one.steps]
    assert ids != [[c.token_ids for c in r.candidates] for r in solve(models, Specs(n=4), seed=4).steps]


def test_a_candidate_is_the_same_whatever_n_is(models):
    few, many = (session(models.draft).sample([Trace(QUESTION)], n, LAW, [Key.from_seed(9)]) for n in (3, 11))
    assert [s.token_ids for s in few] == [s.token_ids for s in many[:3]]


# 5. Bounded -------------------------------------------------------------------------------


def test_caps_end_a_solve_by_name(models):
    long = SamplingParams(1.0, 1.0, StepPolicy.chunks(5))
    reasons = {}
    for name, limits in {
        Finish.MAX_STEPS: Limits(max_steps=2, max_tokens=500),
        Finish.MAX_TOKENS: Limits(max_steps=500, max_tokens=12),
        Finish.CONTEXT: Limits(max_steps=500, max_tokens=5000),
    }.items():
        for seed in range(40):
            result = solve(models, make("draft"), law=replace(long, temperature=0.3), seed=seed, limits=limits)
            if result.finish_reason is name:
                reasons[name] = result
                break
    assert set(reasons) == {Finish.MAX_STEPS, Finish.MAX_TOKENS, Finish.CONTEXT}
    assert len(reasons[Finish.MAX_STEPS].steps) == 2
    assert sum(len(r.step.token_ids) for r in reasons[Finish.MAX_TOKENS].steps) == 12
    full = reasons[Finish.CONTEXT]
    used = len(full.prompt_token_ids[Role.DRAFT]) + sum(len(r.step.token_ids) for r in full.steps)
    assert used == models.draft.backend.context


def slow(models, **seconds):
    return Models(
        **{
            r: replace(getattr(models, r), backend=tiny.SlowBackend(getattr(models, r).backend, seconds.get(r, 0.0)))
            for r in Role
        }
    )


def test_a_deadline_returns_the_best_trace_so_far(clocked):
    limits = Limits(max_steps=200, max_tokens=200, deadline_s=0.25)
    law = SamplingParams(1.0, 1.0, StepPolicy.chunks(4))
    paced = slow(clocked, target=0.01, draft=0.01, prm=0.01)
    results = [solve(paced, Specs(n=3), law=law, limits=limits, seed=seed) for seed in range(8)]
    result = next(r for r in results if r.finish_reason is Finish.DEADLINE)  # the others met end-of-text before
    assert result.steps
    assert result.text
    assert 0.25 <= result.latency_s < 0.25 + 0.1


def test_cancelling_ends_a_solve_within_a_token(clocked):
    running = stream(
        QUESTION,
        slow(clocked, target=0.02),
        SolveConfig(make("target"), SamplingParams(1.0, 1.0, StepPolicy.chunks(50)), LIMITS),
    )
    threading.Timer(0.15, running.cancel).start()
    start = time.perf_counter()
    result = running.result
    assert result.finish_reason in (Finish.CANCELLED, Finish.END_OF_TEXT)
    assert time.perf_counter() - start < 0.5


def test_too_long_a_question_is_refused_by_name(models):
    from specs.errors import InputError

    running = stream("a b " * 300, models, SolveConfig(make("target")))
    assert running.result.finish_reason is Finish.ERROR
    assert "shorten it" in (running.result.error or "")
    with pytest.raises(InputError, match="question is empty"):
        stream(" \n", models, SolveConfig(make("target")))


# 6. Honest clock --------------------------------------------------------------------------


def test_phases_add_up_and_overlap_is_seen(models):
    """The target scores while the PRM rates: the wall time shows the longer of the two, the phases both."""
    paced = slow(models, target=0.15, prm=0.15)
    law = SamplingParams(1.0, 1.0, StepPolicy(max_tokens=6))
    result = solve(paced, Specs(n=3, tau=0.0, start="draft", verify="all"), law=law, limits=Limits(max_steps=3))
    for record in result.steps:
        s = record.seconds
        assert s.target_score >= 0.15
        assert s.prm >= 0.15
        # The overlap is much longer than a busy machine may take to wake a thread.
        assert s.wall - s.orchestration < s.draft + s.target_score + s.prm - 0.02
        assert max(s.draft, s.target_score, s.prm) <= s.wall - s.orchestration + 1e-6
        assert s.orchestration >= 0
    assert result.latency_s >= sum(r.seconds.wall for r in result.steps) - 1e-6


def test_time_that_the_caller_takes_is_not_the_solves(clocked):
    running = stream(
        QUESTION, clocked, SolveConfig(make("target"), SamplingParams(0.3, 1.0, StepPolicy.chunks(2)), LIMITS)
    )
    steps = 0
    for _ in running:
        time.sleep(0.05)
        steps += 1
    assert running.result.latency_s < 0.05 * steps
