import numpy as np

from specs.core.ledger import Minimum, minimum


def test_one_writer_worked_by_hand():
    # The prompt has 5 tokens. Step one: candidates abc and abd share ab; their last tokens, c and d, are not computed.
    # Then abc wins: its last token is computed with the next step, whose only candidate is x.
    queries = [[((), [(1, 2), (1, 2)])], [((1, 2, 3), [()])]]
    assert minimum(5, queries) == 5 + 2 + 1


def test_a_role_that_was_not_called_catches_up_at_its_next_call():
    assert minimum(5, [[((1, 2, 3, 4), [(7,)])]]) == 5 + 4 + 1
    assert minimum(5, []) == 0


def test_after_a_rewrite_the_prefix_is_still_cached():
    queries = [[((), [(1, 2), (3, 4)])], [((), [(5,)])]]
    assert minimum(5, queries) == 5 + 4 + 1


def test_after_a_rewrite_the_branches_are_no_longer_cached():
    queries = [[((), [(1, 2), (3, 4)])], [((), [(1, 2)])]]
    assert minimum(5, queries) == 5 + 4 + 2


def test_after_a_rewrite_scored_branches_are_still_cached():
    # Scored: 1 2 and 3 4. Then written behind the same trace: 1 2 and 3 5, so only 5 is new.
    queries = [[((9,), [(1, 2), (3, 4)])], [((9,), [(1, 2), (3, 5)])]]
    assert minimum(5, queries) == 5 + 5 + 4
    assert minimum(5, queries, scored={0}) == 5 + 5 + 1
    # The third time the written branches are gone and the scored ones are still cached.
    assert minimum(5, [*queries, [((9,), [(3, 4), (3, 5)])]], scored={0}) == 5 + 5 + 1 + 1
    # Behind another trace nothing is cached.
    assert minimum(5, [queries[0], [((9, 1), [(2,)])], queries[1]], scored={0}) == 5 + 5 + 0 + 4
    assert minimum(5, [queries[0], [((9, 3), [(2,)])], queries[1]], scored={0}) == 5 + 5 + 1 + 4


def test_a_reward_model_keeps_the_separator_of_a_finished_step():
    queries = [[((), [(1, 2, 0), (1, 3, 0)])], [((1, 2, 0), [(4, 0)])]]
    assert minimum(3, queries) == 3 + 5 + 2


def test_a_reward_model_drops_the_separator_of_an_unfinished_step():
    queries = [[((), [(1, 2, 0)])], [((1, 2), [(4, 0)])]]
    assert minimum(3, queries) == 3 + 3 + 2


def test_a_discarded_step_is_reused_if_the_target_writes_it_again():
    # The draft computed 1 2. The target then wrote 1 2 3 and 4, so only 3 and 4 are new to the draft.
    queries = [[((), [(1, 2), (8,)])], [((1, 2, 3, 4), [()])]]
    assert minimum(5, queries) == 5 + 3 + 2


def test_traces_side_by_side_share_their_common_prefix():
    # Traces ab and ac, each with a candidate x-: prefix a once, b and c, then x behind ab and behind ac.
    first = [((), [(1, 2), (1, 3)])]
    queries = [first, [((1, 2, 4), [(8,)]), ((1, 3, 4), [(8,)])]]
    assert minimum(5, queries) == 5 + 3 + (2 + 2)
    # If only one of them continues, that one stays cached.
    assert minimum(5, [*queries, [((1, 2, 4, 8, 9), [()])]]) == 5 + 3 + 4 + 1
    # Two equal traces cost as much as one.
    assert minimum(5, [first, [((1, 2, 4), [(8,)]), ((1, 2, 4), [(8,)])]]) == 5 + 3 + 2


def test_keeping_a_trace_costs_nothing_and_saves_computing_it_again():
    # Traces ab and ac are computed; then ab alone goes on, once with ac kept in the cache and once without.
    first = [((), [(1, 2, 3), (1, 4, 5)])]
    both = [((1, 2, 3, 6), [()]), ((1, 4, 5, 7), [()])]
    assert minimum(5, [first, [((1, 2, 3), [(6,)]), ((1, 4, 5), ())], both]) == 5 + 5 + 1 + 1
    assert minimum(5, [first, [((1, 2, 3), [(6,)])], both]) == 5 + 5 + 1 + (1 + 2)
    # Keeping a trace that was never computed costs nothing.
    assert minimum(5, [first, [((1, 2, 3), [(6,)]), ((1, 8, 9), ())]]) == 5 + 5 + 1


def test_an_empty_query_costs_nothing_and_drops_nothing():
    first, second = [((), [(1, 2, 0)])], [((1, 2, 0), [(4, 0)])]
    assert minimum(3, [[], first, [], second, []]) == minimum(3, [first, second]) == 3 + 3 + 2
    assert minimum(3, [[], []]) == 0


def by_definition(prompt, queries, scored):
    """The minimum with sets of whole prefixes, as the module's docstring defines it."""
    total, held, open_ = 0, None, set()
    for idx, query in enumerate(queries):
        if not query:
            continue
        if held is None:
            total, held = prompt, set()
        traces, needed, ends = set(), set(), {trace for trace, _ in query}
        for trace, paths in query:
            begun = {trace[:k] for k in range(1, len(trace) + 1)}
            traces |= begun if paths else begun & held
            needed |= {(*trace, *path[:k]) for path in paths for k in range(1, len(path) + 1)}
        needed |= traces
        kept = held & traces
        for node in sorted(open_, key=len):
            if node[:-1] in ends or (node[:-1] in kept and node[:-1] not in traces):
                kept.add(node)
        total += len(needed - kept)
        held = kept | needed
        open_ = ((open_ & kept) | (needed if idx in scored else set())) - traces
    return total


def random_solve(rng):
    """Queries of a role while traces grow, fork, are rewritten, fall back and are skipped; few tokens, so they meet."""
    queries, traces = [], [()]
    for _ in range(rng.integers(1, 12)):
        paths = [
            [tuple(rng.integers(1, 3, rng.integers(0, 4)).tolist()) for _ in range(rng.integers(0, 4))] for _ in traces
        ]
        queries.append([] if rng.random() < 0.1 else list(zip(traces, paths, strict=True)))
        grown = [(*trace, *path) for trace, some in zip(traces, paths, strict=True) for path in some]
        chance = rng.random()
        if grown and chance < 0.6:
            picked = rng.choice(len(grown), min(len(grown), int(rng.integers(1, 3))), replace=False)
            traces = [(*grown[k], *rng.integers(1, 3, rng.integers(0, 2)).tolist()) for k in picked]
        elif chance > 0.9:  # back to an earlier trace
            traces = [trace[: rng.integers(0, len(trace) + 1)] for trace in traces]
    return queries, {k for k in range(len(queries)) if rng.random() < 0.5}


def test_counting_query_by_query_is_the_definition():
    for seed in range(3000):
        queries, scored = random_solve(np.random.default_rng(seed))
        assert minimum(5, queries, scored) == by_definition(5, queries, scored), seed


def test_a_query_takes_work_for_its_candidates_whatever_the_length_of_the_trace():
    """Counted in nodes of the tree: every 500th step of a trace of 32,000 tokens costs as much as the first."""
    counted, trace, work = Minimum(5), (), []
    for step in range(500):
        paths = [(*range(10 * k, 10 * k + 60), step) for k in range(8)]
        before = counted._last
        counted.add([(trace, paths)], scored=step % 2 == 0)
        work.append(counted._last - before)
        assert len(counted._nodes) <= 2 * 8 * 61
        trace += paths[step % 8]
    assert max(work) <= 8 * 61 + 61
    assert len(trace) == 500 * 61
