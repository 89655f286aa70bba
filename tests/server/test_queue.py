"""The queue of solves: its limits hold, every client gets its turn, and clients alternate."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specs.server.queue import NeverFits, QueueClosed, QueueFull, SolveQueue


def gone(places):
    """The places whose solves were turned away."""
    ended = [place for place in places if place._turn.done() and not place._turn.cancelled()]
    return [place for place in ended if isinstance(place._turn.exception(), QueueFull)]


def waiting_of(places):
    """How many solves of each client wait."""
    return Counter(place.client for place in places if not place._turn.done())


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
                before, client, free = (
                    waiting_of(held),
                    f"client {which}",
                    max_running - queue.running + max_waiting - queue.waiting,
                )
                mine, others = before.pop(client, 0) + wanted, before.values()
                # Others give way only while they wait with more than this client then does.
                fits = wanted - free <= sum(max(0, count - mine) for count in others)
                if wanted > max_running + max_waiting:
                    with pytest.raises(NeverFits):
                        queue.reserve(client, wanted)
                elif not fits:
                    with pytest.raises(QueueFull) as full:
                        queue.reserve(client, wanted)
                    assert 1 <= full.value.retry_after_s <= 61
                    assert not gone(held)
                else:
                    held += queue.reserve(client, wanted)
                    assert len(gone(held)) == max(0, wanted - free)
                    assert client not in {place.client for place in gone(held)}
                    held = [place for place in held if place not in gone(held)]
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
        with pytest.raises(NeverFits):
            queue.reserve("a", 4)
        queue.reserve("b", 1)[0].leave()
        assert (queue.running, queue.waiting) == (0, 0)
        queue.reserve("a", 3)
        assert (queue.running, queue.waiting) == (1, 2)

    on_loop(work)


def test_a_full_queue_turns_away_the_newest_of_whoever_waits_with_most():
    async def work():
        queue = SolveQueue(1, 4)
        first, *waiting = queue.reserve("a", 5)
        (other,) = queue.reserve("b", 1)
        with pytest.raises(QueueFull):
            await waiting[-1].wait_for_turn()
        waiting[-1].leave()
        (second,) = queue.reserve("b", 1)
        with pytest.raises(QueueFull):
            queue.reserve("b", 1)  # both wait with two: nobody gives way
        with pytest.raises(QueueFull):
            queue.reserve("a", 1)
        first.leave()
        await waiting[0].wait_for_turn()
        waiting[0].leave()
        await other.wait_for_turn()
        assert (queue.running, queue.waiting) == (1, 2)
        second.leave()

    on_loop(work)


def test_clients_that_are_turned_away_come_back_one_after_the_other():
    """46 clients beyond a queue that solves two a second are told times over 23 seconds, not all the same second."""

    async def work():
        queue = SolveQueue(2, 32)
        queue.reserve("a", 2)
        for k in range(32):
            queue.reserve(f"client {k}", 1)
        told = []
        for k in range(46):
            with pytest.raises(QueueFull) as full:
                queue.reserve(f"late {k}", 1)
            told.append(full.value.retry_after_s)
        return told

    told = on_loop(work)
    assert told == sorted(told)
    assert max(Counter(told).values()) <= 3
    assert 20 <= told[-1] <= 26


def test_nobody_is_told_to_wait_longer_than_a_minute():
    async def work():
        queue = SolveQueue(1, 0)
        queue.reserve("a", 1)
        told = 0
        for k in range(500):
            with pytest.raises(QueueFull) as full:
                queue.reserve(f"late {k}", 1)
            told = full.value.retry_after_s
        return told

    assert on_loop(work) in (60, 61)
