"""The loop of draft and target steps and its threshold rule, apart from any method's policy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.core.keys import Key
from specs.core.selection import choose_best
from specs.methods.accept import BY_REWARD, AcceptRule
from specs.methods.speculative import AsPlanned, Policy, speculative_steps
from specs.types import Accept, Candidate, End, Finish, Proposal, Propose, Role, SamplingParams

LAW, KEY = SamplingParams(), Key.from_seed(0)


@dataclass(frozen=True)
class Scripted(Policy):
    """Accepts draft steps whose token is in `kept`; the target writes after tokens in `then_target`."""

    kept: frozenset[int] = frozenset()
    then_target: frozenset[int] = frozenset()

    def propose(self, step):
        return Propose(step.writer, step.trace, 1, frozenset(), step.sampling, step.attempt)

    def choose(self, step, candidates):
        return choose_best([-math.inf if candidates[0].token_ids == (0,) else 0.0])

    def accepts(self, step, candidates, decision):
        return candidates[0].token_ids[0] in self.kept

    def next_writer(self, step, after):
        return Role.TARGET if after.token_ids[-1] in self.then_target else Role.DRAFT


def run(policy, drafted, written, ends=100, schedule=None):
    """Proposals of the loop when models write these tokens, as (writer, attempt, accepted), and the finish reason."""
    tokens = {Role.DRAFT: iter(drafted), Role.TARGET: iter(written)}
    flow = speculative_steps(policy, "q", LAW, KEY, schedule or AsPlanned())
    reply, seen, steps = None, [], 0
    try:
        while True:
            request = flow.send(reply)
            if isinstance(request, Propose):
                seen.append([request.writer, request.attempt, None])
                candidate = Candidate((next(tokens[request.writer]),), "a", End.DELIMITER)
                reply = Proposal((candidate,))
            else:
                assert isinstance(request, Accept)
                seen[-1][2] = request.keep
                steps += request.keep
                reply = Finish.ANSWER if steps == ends else None
    except StopIteration as stop:
        return [tuple(one) for one in seen], stop.value


D, T = Role.DRAFT, Role.TARGET


def test_a_rejected_step_is_rewritten_by_the_target_once():
    policy = Scripted(kept=frozenset({1}))
    found, finish = run(policy, [1, 2, 1], [3], ends=3)
    assert found == [(D, 0, True), (D, 0, False), (T, 1, True), (D, 0, True)]
    assert finish is Finish.ANSWER


def test_steps_by_the_target_are_always_accepted():
    policy = Scripted(kept=frozenset({1}), then_target=frozenset({1}))
    assert run(policy, [1, 1], [9], ends=3)[0] == [(D, 0, True), (T, 0, True), (D, 0, True)]


def test_without_support_a_draft_step_is_rewritten_and_a_target_step_ends_the_solve():
    found, finish = run(Scripted(), [0], [0])
    assert found == [(D, 0, False), (T, 1, False)]
    assert finish is Finish.NO_SUPPORT


def test_a_schedule_may_keep_a_step_change_the_writer_and_replace_the_finish_reason():
    replied = []

    class Hurry(AsPlanned):
        def plan(self, policy, step):
            return policy, (step if step.writer is D else type(step)(step.trace, D, step.sampling, step.key))

        def plan_rewrite(self, policy, step, decision):
            return None

        def replied(self, proposal):
            replied.append(proposal)

        def ends(self, finish):
            return Finish.DEADLINE

    found, finish = run(Scripted(then_target=frozenset({5})), [5, 6], [], ends=2, schedule=Hurry())
    assert found == [(D, 0, True), (D, 0, True)]
    assert finish is Finish.DEADLINE
    assert len(replied) == 2


def test_attempts_and_purposes_of_a_step_draw_independently():
    drawn = []

    class Drawing(Scripted):
        def choose(self, step, candidates):
            drawn.append((step.draw("select").uniform(), step.draw("accept").uniform()))
            return super().choose(step, candidates)

    run(Drawing(), [1, 1], [1, 1], ends=2)
    values = [value for pair in drawn for value in pair]
    assert len(set(values)) == len(values) == 8


rewards = st.floats(0.0, 1.0)


@given(
    rewards,
    st.floats(0.01, 1.0),
    st.floats(-20.0, 20.0),
    st.floats(-1.0, 2.0),
    st.floats(0.0, 2.0),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_a_step_is_good_enough_if_its_merit_reaches_tau(reward, before, ratio, tau, weight, power):
    """Calibration takes `merit` of recorded steps as threshold; it agrees with `good_enough` except for rounding."""
    step, rule = Candidate((1, 2), "a", End.DELIMITER, ratio, 0.0, reward), AcceptRule("step", weight, 20.0, power)
    value = rule.merit(step, before)
    assert value == pytest.approx(reward / before + weight * ratio / 2**power / 20.0)
    if abs(tau - value) > 1e-9:
        assert rule.good_enough(step, before, tau) == (value >= tau)


def test_a_step_without_a_reward_is_never_good_enough():
    assert not BY_REWARD.good_enough(Candidate((1,), "a", End.DELIMITER), 1.0, -math.inf)


def test_after_a_reward_of_0_any_step_is_good_enough():
    step = Candidate((1,), "a", End.DELIMITER, reward=0.0)
    assert BY_REWARD.merit(step, 0.0) == math.inf
    assert BY_REWARD.good_enough(step, 0.0, 0.99)


def test_an_impossible_step_has_no_merit_whatever_came_before():
    step, rule = Candidate((1,), "a", End.DELIMITER, -math.inf, -1.0, 0.5), AcceptRule("step", 1.0, 20.0)
    assert rule.merit(step, 0.0) == rule.merit(step, 0.5) == -math.inf
    assert not rule.good_enough(step, 0.5, 0.0)


@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0])
def test_a_merit_equal_to_tau_is_good_enough(tau):
    assert BY_REWARD.good_enough(Candidate((1,), "a", End.DELIMITER, reward=tau), 1.0, tau)
