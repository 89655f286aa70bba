from specs.core.ledger import minimum


def test_one_writer_by_hand():
    # Prompt 5. Step one: candidates abc and abd share ab; c and d are last and not run. Then abc
    # wins: its last token is run with the next step, whose only candidate is x.
    queries = [[((), [(1, 2), (1, 2)])], [((1, 2, 3), [()])]]
    assert minimum(5, queries) == 5 + 2 + 1


def test_a_role_that_is_not_asked_pays_when_it_is_next_asked():
    assert minimum(5, [[((1, 2, 3, 4), [(7,)])]]) == 5 + 4 + 1
    assert minimum(5, []) == 0


def test_a_step_thrown_away_keeps_the_prefix():
    queries = [[((), [(1, 2), (3, 4)])], [((), [(5,)])]]
    assert minimum(5, queries) == 5 + 4 + 1


def test_but_not_its_branches():
    queries = [[((), [(1, 2), (3, 4)])], [((), [(1, 2)])]]
    assert minimum(5, queries) == 5 + 4 + 2


def test_unless_they_were_scored():
    # Scored: 1 2 and 3 4; then written behind the same trace: 1 2 and 3 5, so that 5 alone is new.
    queries = [[((9,), [(1, 2), (3, 4)])], [((9,), [(1, 2), (3, 5)])]]
    assert minimum(5, queries) == 5 + 5 + 4
    assert minimum(5, queries, scored={0}) == 5 + 5 + 1
    # A third time: what was written is gone, what was scored is still there.
    assert minimum(5, [*queries, [((9,), [(3, 4), (3, 5)])]], scored={0}) == 5 + 5 + 1 + 1
    # Behind another trace nothing is.
    assert minimum(5, [queries[0], [((9, 1), [(2,)])], queries[1]], scored={0}) == 5 + 5 + 0 + 4
    assert minimum(5, [queries[0], [((9, 3), [(2,)])], queries[1]], scored={0}) == 5 + 5 + 1 + 4


def test_a_reward_model_keeps_the_separator_of_a_finished_step():
    queries = [[((), [(1, 2, 0), (1, 3, 0)])], [((1, 2, 0), [(4, 0)])]]
    assert minimum(3, queries) == 3 + 5 + 2


def test_and_drops_the_separator_of_an_unfinished_one():
    queries = [[((), [(1, 2, 0)])], [((1, 2), [(4, 0)])]]
    assert minimum(3, queries) == 3 + 3 + 2


def test_what_was_thrown_away_still_serves_if_it_is_written_again():
    # The draft ran through 1 2; the target then wrote 1 2 3 and 4; only 3 and 4 are new to the draft.
    queries = [[((), [(1, 2), (8,)])], [((1, 2, 3, 4), [()])]]
    assert minimum(5, queries) == 5 + 3 + 2


def test_traces_side_by_side_share_what_they_begin_with():
    # Traces ab and ac, each with a candidate x-: the prefix a once, b and c, then bx and cx.
    first = [((), [(1, 2), (1, 3)])]
    queries = [first, [((1, 2, 4), [(8,)]), ((1, 3, 4), [(8,)])]]
    assert minimum(5, queries) == 5 + 3 + (2 + 2)
    # Going on with one of them alone keeps that one.
    assert minimum(5, [*queries, [((1, 2, 4, 8, 9), [()])]]) == 5 + 3 + 4 + 1
    # Two equal traces cost what one does.
    assert minimum(5, [first, [((1, 2, 4), [(8,)]), ((1, 2, 4), [(8,)])]]) == 5 + 3 + 2


def test_a_trace_that_is_kept_costs_nothing_and_is_there_later():
    # Traces ab and ac are run through; ab alone goes on, once with ac kept beside it and once without.
    first = [((), [(1, 2, 3), (1, 4, 5)])]
    both = [((1, 2, 3, 6), [()]), ((1, 4, 5, 7), [()])]
    assert minimum(5, [first, [((1, 2, 3), [(6,)]), ((1, 4, 5), ())], both]) == 5 + 5 + 1 + 1
    assert minimum(5, [first, [((1, 2, 3), [(6,)])], both]) == 5 + 5 + 1 + (1 + 2)
    # What was never run through is not counted by being kept.
    assert minimum(5, [first, [((1, 2, 3), [(6,)]), ((1, 8, 9), ())]]) == 5 + 5 + 1


def test_an_ask_about_nothing_costs_nothing_and_drops_nothing():
    first, second = [((), [(1, 2, 0)])], [((1, 2, 0), [(4, 0)])]
    assert minimum(3, [[], first, [], second, []]) == minimum(3, [first, second]) == 3 + 3 + 2
    assert minimum(3, [[], []]) == 0
