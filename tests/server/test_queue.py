"""The queue of solves: its limits hold, every client gets its turn, and clients alternate."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specs.server.queue import QueueClosed, QueueFull, SolveQueue


def on_loop(work):
    """Run a coroutine function on a loop of its own."""
    return asyncio.run(work())


def test_clients_take_turns_however_many_solves_each_asks_for():
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

    # The first solve of a starts at once, before any other client is there.
    assert on_loop(work) == ["a", "a", "b", "c", "a", "b", "a", "a"]


@settings(max_examples=200, deadline=None)
@given(
    max_running=st.integers(1, 3),
    max_waiting=st.integers(0, 4),
    moves=st.lists(st.tuples(st.sampled_from(["take", "leave"]), st.integers(0, 3), st.integers(1, 3)), max_size=40),
)
def test_limits_hold_and_no_slot_is_free_while_a_solve_waits(max_running, max_waiting, moves):
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
                place.leave()  # idempotent
            assert 0 <= queue.running <= max_running
            assert 0 <= queue.waiting <= max_waiting
            assert queue.waiting == 0 or queue.running == max_running
            assert queue.running + queue.waiting == len(held)
        for place in held:
            place.leave()
        assert queue.running == queue.waiting == 0

    on_loop(work)


def test_a_client_that_leaves_while_waiting_is_cancelled_and_delays_nobody():
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


def test_closing_refuses_waiting_solves_and_lets_running_ones_finish():
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


def test_a_client_gets_all_of_its_slots_or_none():
    async def work():
        queue = SolveQueue(1, 2)
        with pytest.raises(QueueFull):
            queue.reserve("a", 4)
        assert (queue.running, queue.waiting) == (0, 0)
        queue.reserve("a", 3)
        assert (queue.running, queue.waiting) == (1, 2)

    on_loop(work)
