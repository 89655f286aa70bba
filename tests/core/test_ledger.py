from specs.core.ledger import minimum


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
