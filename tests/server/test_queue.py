"""The line of solves: never too many, nobody forgotten, clients in turn."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specs.server.queue import QueueClosed, QueueFull, SolveQueue


def on_loop(work):
    """Run a coroutine function on a loop of its own."""
    return asyncio.run(work())


def test_clients_take_turns_whoever_came_first_with_however_much():
    async def work():
        queue, order = SolveQueue(1, 20), []

        async def solve(name, place):
            await place.wait_for_turn()
            order.append(name)
            place.leave()

        places = [
            (client, place)
            for client, wanted in (("a", 5), ("b", 2), ("c", 1))
            for place in queue.reserve(client, wanted)
        ]
        await asyncio.gather(*(solve(client, place) for client, place in places))
        return order

    # The first of a's goes at once, before anyone else is there.
    assert on_loop(work) == ["a", "a", "b", "c", "a", "b", "a", "a"]


@settings(max_examples=200, deadline=None)
@given(
    max_running=st.integers(1, 3),
    max_waiting=st.integers(0, 4),
    moves=st.lists(st.tuples(st.sampled_from(["take", "leave"]), st.integers(0, 3), st.integers(1, 3)), max_size=40),
)
def test_never_more_run_or_wait_than_may_and_no_free_slot_while_someone_waits(max_running, max_waiting, moves):
    async def work():
        queue, held = SolveQueue(max_running, max_waiting), []
        for move, which, wanted in moves:
            if move == "take":
                fits = wanted <= max_running - queue.running + max_waiting - queue.waiting
                if fits:
                    held += queue.reserve(f"client {which}", wanted)
                else:
                    with pytest.raises(QueueFull) as full:
                        queue.reserve(f"client {which}", wanted)
                    assert full.value.retry_after_s >= 1
            elif held:
                place = held.pop(which % len(held))
                place.leave()
                place.leave()  # again is nothing
            assert 0 <= queue.running <= max_running
            assert 0 <= queue.waiting <= max_waiting
            assert queue.waiting == 0 or queue.running == max_running
            assert queue.running + queue.waiting == len(held)
        for place in held:
            place.leave()
        assert queue.running == queue.waiting == 0

    on_loop(work)


def test_who_leaves_while_waiting_is_cancelled_and_takes_nobodys_turn():
    async def work():
        queue = SolveQueue(1, 5)
        first, second, third = (queue.reserve("a", 1)[0] for _ in range(3))
        second.leave()
        with pytest.raises(asyncio.CancelledError):
            await second.wait_for_turn()
        await first.wait_for_turn()
        first.leave()
        await third.wait_for_turn()
        assert (queue.running, queue.waiting) == (1, 0)

    on_loop(work)


def test_closing_sends_away_who_waits_and_lets_go_on_who_runs():
    async def work():
        queue = SolveQueue(1, 5)
        running, waiting = queue.reserve("a", 2)
        queue.close()
        await running.wait_for_turn()
        with pytest.raises(QueueClosed):
            await waiting.wait_for_turn()
        with pytest.raises(QueueClosed):
            queue.reserve("a", 1)
        running.leave()
        waiting.leave()
        assert (queue.running, queue.waiting) == (0, 0)

    on_loop(work)


def test_all_or_none():
    async def work():
        queue = SolveQueue(1, 2)
        with pytest.raises(QueueFull):
            queue.reserve("a", 4)
        assert (queue.running, queue.waiting) == (0, 0)
        queue.reserve("a", 3)
        assert (queue.running, queue.waiting) == (1, 2)

    on_loop(work)
