from specs.core.ledger import Turn, minimum


def test_one_writer_by_hand():
    # Prompt 5. Step one: candidates abc and abd share ab; c and d are last and not run. Then abc
    # wins: its last token is run with the next step, whose only candidate is x.
    turns = [Turn([(1, 2), (1, 2)], (1, 2, 3)), Turn([()], (9,))]
    assert minimum(5, turns) == 5 + 2 + 1


def test_a_role_that_is_not_asked_pays_when_it_is_next_asked():
    turns = [Turn(None, (1, 2, 3)), Turn(None, (4,)), Turn([(7,)], (7, 8))]
    assert minimum(5, turns) == 5 + 4 + 1
    assert minimum(5, turns[:2]) == 0


def test_a_step_thrown_away_keeps_the_prefix():
    turns = [Turn([(1, 2), (3, 4)], None), Turn([(5,)], (5, 6))]
    assert minimum(5, turns) == 5 + 4 + 1


def test_a_reward_model_keeps_the_separator_of_a_finished_step():
    turns = [Turn([(1, 2, 0), (1, 3, 0)], (1, 2, 0)), Turn([(4, 0)], (4, 0))]
    assert minimum(3, turns) == 3 + 5 + 2


def test_and_drops_the_separator_of_an_unfinished_one():
    turns = [Turn([(1, 2, 0)], (1, 2)), Turn([(4, 0)], (4, 0))]
    assert minimum(3, turns) == 3 + 3 + 2


def test_what_was_thrown_away_still_serves_if_it_is_written_again():
    # The draft ran through 1 2; the target then wrote 1 2 3 and 4; only 3 and 4 are new to the draft.
    turns = [Turn([(1, 2), (8,)], None), Turn(None, (1, 2, 3)), Turn(None, (4,)), Turn([()], (5,))]
    assert minimum(5, turns) == 5 + 3 + 2
