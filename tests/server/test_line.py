"""The line of solves: never too many, nobody forgotten, clients in turn."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specs.server.queue import Closed, Full, Line


def on_loop(work):
    """Run a coroutine function on a loop of its own."""
    return asyncio.run(work())


def test_clients_take_turns_whoever_came_first_with_however_much():
    async def work():
        line, order = Line(1, 20), []

        async def solve(name, place):
            await place.reached()
            order.append(name)
            place.leave()

        places = [
            (client, place) for client, wanted in (("a", 5), ("b", 2), ("c", 1)) for place in line.take(client, wanted)
        ]
        await asyncio.gather(*(solve(client, place) for client, place in places))
        return order

    # The first of a's goes at once, before anyone else is there.
    assert on_loop(work) == ["a", "a", "b", "c", "a", "b", "a", "a"]


@settings(max_examples=200, deadline=None)
@given(
    at_a_time=st.integers(1, 3),
    room=st.integers(0, 4),
    moves=st.lists(st.tuples(st.sampled_from(["take", "leave"]), st.integers(0, 3), st.integers(1, 3)), max_size=40),
)
def test_never_more_run_or_wait_than_may_and_no_free_slot_while_someone_waits(at_a_time, room, moves):
    async def work():
        line, held = Line(at_a_time, room), []
        for move, which, wanted in moves:
            if move == "take":
                fits = wanted <= at_a_time - line.running + room - line.waiting
                if fits:
                    held += line.take(f"client {which}", wanted)
                else:
                    with pytest.raises(Full) as full:
                        line.take(f"client {which}", wanted)
                    assert full.value.retry_after_s >= 1
            elif held:
                place = held.pop(which % len(held))
                place.leave()
                place.leave()  # again is nothing
            assert 0 <= line.running <= at_a_time
            assert 0 <= line.waiting <= room
            assert line.waiting == 0 or line.running == at_a_time
            assert line.running + line.waiting == len(held)
        for place in held:
            place.leave()
        assert line.running == line.waiting == 0

    on_loop(work)


def test_who_leaves_while_waiting_is_cancelled_and_takes_nobodys_turn():
    async def work():
        line = Line(1, 5)
        first, second, third = (line.take("a", 1)[0] for _ in range(3))
        second.leave()
        with pytest.raises(asyncio.CancelledError):
            await second.reached()
        await first.reached()
        first.leave()
        await third.reached()
        assert (line.running, line.waiting) == (1, 0)

    on_loop(work)


def test_closing_sends_away_who_waits_and_lets_go_on_who_runs():
    async def work():
        line = Line(1, 5)
        running, waiting = line.take("a", 2)
        line.close()
        await running.reached()
        with pytest.raises(Closed):
            await waiting.reached()
        with pytest.raises(Closed):
            line.take("a", 1)
        running.leave()
        waiting.leave()
        assert (line.running, line.waiting) == (0, 0)

    on_loop(work)


def test_all_or_none():
    async def work():
        line = Line(1, 2)
        with pytest.raises(Full):
            line.take("a", 4)
        assert (line.running, line.waiting) == (0, 0)
        line.take("a", 3)
        assert (line.running, line.waiting) == (1, 2)

    on_loop(work)
