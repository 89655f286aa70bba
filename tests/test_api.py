"""The top-level interface: `solve`, its streaming iterator and its asynchronous form."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

import specs
from helpers import toy
from helpers.fitting import fitting
from specs.decoding.stream import AsyncStream, stream
from specs.errors import InputError
from specs.traces.codec import read_traces

OPTIONS = dict(n=3, tau=0.4, max_steps=4, max_step_tokens=4, temperature=0.9)


def test_solve_stream_and_asolve_give_the_same_result():
    models = toy.models()
    result = specs.solve("q", models, seed=2, **OPTIONS)
    running = specs.stream("q", models, seed=2, **OPTIONS)
    steps = list(running)
    other = asyncio.run(specs.asolve("q", models, seed=2, **OPTIONS))
    assert [r.step for r in steps] == [r.step for r in result.steps] == [r.step for r in other.steps]
    assert running.result.text == result.text == other.text
    assert list(running) == []


def test_a_result_is_available_without_iterating():
    assert specs.stream("q", toy.models(), "target", **fitting("target", **OPTIONS)).result.method == "target"


def test_a_cancelled_task_cancels_the_solve():
    import time

    def slow(ids):
        time.sleep(0.02)
        row = toy.table(1)(ids)
        row[4] = -9.0
        return row

    models = toy.models(target=slow)

    async def run():
        task = asyncio.create_task(specs.asolve("q", models, "target", max_step_tokens=64, delimiter=None))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    start = time.perf_counter()
    asyncio.run(run())
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1}, {"top_p": 0}, {"top_k": -1}, {"top_k": 1.5}, {"min_p": -0.1}, {"min_p": 1.01},
        {"max_steps": 0}, {"deadline_s": 0}, {"n": 0}, {"betta": 1},
    ],
)  # fmt: skip
def test_values_out_of_range_are_input_errors(options):
    with pytest.raises(InputError):
        specs.solve("q", toy.models(), **options)


def test_options_are_given_to_a_method_object_and_not_beside_it():
    assert specs.solve("q", toy.models(), specs.Specs(n=2), max_steps=2).settings["method"]["n"] == 2
    with pytest.raises(InputError, match="n: the method is configured already; set its options where you make it"):
        specs.solve("q", toy.models(), specs.Specs(), n=3)


def test_a_failing_engine_gives_a_result_with_the_error_and_the_steps_so_far():
    calls = []

    def failing(ids):
        calls.append(ids)
        if len(calls) > 12:
            raise specs.EngineError("the model server went away")
        row = toy.table(1)(ids)
        row[4] = -9.0
        return row

    result = specs.solve("q", toy.models(target=failing), "target", delimiter=None, max_step_tokens=4, temperature=0.9)
    assert result.finish_reason == specs.Finish.ERROR
    assert result.error == "the model server went away"
    assert len(result.steps) >= 1


def test_solving_in_this_process_needs_no_http_client():
    """Machines with a GPU and no network may lack httpx2; only servers need it."""
    code = """
import sys
sys.modules["httpx2"] = None
import specs, specs.cli, specs.eval.runner, research.cost_suite.suite
assert specs.solve("Tom has 4 nuts. He finds 3 nuts. How many nuts does Tom have now?", specs.load(), n=2).answer
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_after_break_a_result_is_what_was_accepted_until_then():
    """In both twins, and with or without a context manager."""
    models = toy.models(toy.table(1, end=-6.0), toy.table(2, end=-6.0))
    options = {**OPTIONS, "seed": 5, "max_steps": 8, "max_tokens": 100}
    steps = [record.step for record in specs.stream("q", models, **options) if record.accepted]
    assert len(steps) > 2

    plain = specs.stream("q", models, **options)
    for _ in plain:
        break
    with specs.stream("q", models, **options) as inside:
        for _ in inside:
            break

    async def twin():
        left = specs.astream("q", models, **options)
        async for _ in left:
            break
        async with specs.astream("q", models, **options) as within:
            async for _ in within:
                break
        return left.result, within.result

    for result in (plain.result, inside.result):
        assert result.finish_reason is specs.Finish.CANCELLED
        assert [record.step for record in result.accepted] == steps[:1]
    for result in asyncio.run(twin()):  # its thread may be steps ahead
        assert [record.step for record in result.accepted] == steps[: len(result.accepted)]
        assert result.finish_reason is specs.Finish.CANCELLED or len(result.accepted) == len(steps)


def test_a_context_manager_cancels_a_solve_that_an_exception_leaves():
    models = toy.models(toy.table(1, end=-6.0), toy.table(2, end=-6.0))
    running = specs.stream("q", models, **OPTIONS)

    def leave():
        with running:
            for _ in running:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave()
    assert running.result.finish_reason is specs.Finish.CANCELLED
    with specs.stream("q", models, **OPTIONS) as whole:
        pass
    assert whole.result.finish_reason is specs.Finish.CANCELLED
    assert whole.result.steps == ()


def test_the_result_of_an_asyncio_stream_is_refused_before_it_has_begun():
    with pytest.raises(specs.InputError, match=r"not begun; iterate over its steps \(`async for`\)"):
        _ = specs.astream("q", toy.models(), **OPTIONS).result


def test_a_record_has_the_text_and_reward_of_its_chosen_candidate():
    result = specs.solve("q", toy.models(), **OPTIONS)
    assert "".join(record.text for record in result.accepted) == result.text
    assert [record.reward for record in result.accepted] == [record.step.reward for record in result.accepted]
    first = result.steps[0]
    nothing = replace(first, decision=replace(first.decision, chosen=None))
    assert (nothing.text, nothing.reward) == ("", None)


def test_solves_in_this_process_wait_for_a_core_under_asyncio():
    """40 solves at once: no more than the cores allow run at the same time, and all give the results of `solve`."""
    from specs.decoding.threads import cores

    running, most, lock = 0, 0, threading.Lock()
    plain = toy.models()

    def counted(ids):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.001)
        with lock:
            running -= 1
        return toy.table(2)(ids)

    models = toy.models(target=counted)

    async def all_of_them():
        return await asyncio.gather(*(specs.asolve("q" * (1 + k % 3), models, "target", seed=k) for k in range(40)))

    found = asyncio.run(all_of_them())
    assert most <= cores()
    assert [one.text for one in found] == [
        specs.solve("q" * (1 + k % 3), plain, "target", seed=k).text for k in range(40)
    ]


def test_a_result_as_a_dictionary_as_text_and_in_a_file(tmp_path):
    result = specs.solve("q", toy.models(), seed=2, **OPTIONS)
    assert json.loads(result.to_json()) == result.to_dict()
    assert json.loads(result.to_json(trace=False)) == result.to_dict(trace=False)
    assert "candidates" not in result.to_dict(trace=False)["steps"][0]
    result.save(tmp_path / "trace.json")
    ((_, read),) = read_traces(tmp_path / "trace.json")
    assert read == result
    with pytest.raises(InputError, match="is a folder"):
        result.save(tmp_path)


def test_a_result_is_short_in_a_notebook():
    result = specs.solve("q", toy.models(), seed=2, **OPTIONS)
    assert len(repr(result)) < 200
    assert repr(result).startswith(f"Result(answer={result.answer!r}, finish_reason=")


def test_the_result_ends_an_iteration_that_is_still_held():
    models = toy.models(toy.table(1, end=-6.0), toy.table(2, end=-6.0))
    running = specs.stream("q", models, **OPTIONS)
    steps = iter(running)
    first = next(steps)
    assert iter(running) is steps
    assert running.result.finish_reason is specs.Finish.CANCELLED
    assert [record.step for record in running.result.steps] == [first.step]
    assert list(steps) == []


def test_leaving_between_two_records_of_one_step_keeps_both():
    """oracle-route decides about the draft's and the target's version of a step at once."""
    models = toy.models(toy.table(1, end=-6.0), toy.table(2, end=-6.0))
    left = specs.stream("q", models, "oracle-route", n=4, max_steps=4, max_step_tokens=4, temperature=0.9)
    seen = 0
    for _ in left:
        seen += 1
        break
    assert seen == 1
    assert [record.accepted for record in left.result.steps].count(True) == 1
    assert left.result.finish_reason is specs.Finish.CANCELLED


def test_an_asyncio_stream_that_never_began_leaves_its_context_at_once():
    async def run():
        async with specs.astream("q", toy.models(), **OPTIONS) as running:
            pass
        return running.result

    result = asyncio.run(run())
    assert (result.finish_reason, result.steps) == (specs.Finish.CANCELLED, ())


@pytest.mark.parametrize("begun", [True, False])
def test_the_result_within_an_asyncio_iteration_cancels_it(begun):
    """Whether a thread runs the solve or it still waits for one; who iterates is not left waiting."""

    def slow(ids):
        time.sleep(0.02)
        row = toy.table(1)(ids)
        row[4] = -9.0
        return row

    async def run():
        models = toy.models(target=slow)
        config = specs.configure("target", max_step_tokens=200, delimiter=None)
        free = threading.Event()
        with ThreadPoolExecutor(1) as threads:
            if not begun:
                threads.submit(free.wait)
            running = AsyncStream(stream("q", models, config), threads)

            async def steps():
                return [record async for record in running]

            task = asyncio.create_task(steps())
            await asyncio.sleep(0.1)
            result = running.result
            free.set()
            return result, await task

    result, steps = asyncio.run(run())
    assert result.finish_reason is specs.Finish.CANCELLED
    assert len(steps) == len(result.steps) <= 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(target=3), r"target is 3; give text or None"),
        (dict(draft=""), r"draft is empty; give a folder, a hub id, a URL or 'bundled', or None for no model"),
        (dict(prm=b"bundled"), r"prm is b'bundled'; give text or None"),
        (dict(draft_system=3), r"draft_system is 3; give text or None"),
        (dict(tokenizer=["x"]), r"tokenizer is \['x'\]; give text or None"),
        (dict(prm_format=None), r"prm_format is None; give text"),
        (dict(allow_text_scoring="yes"), r"allow_text_scoring is 'yes'; give True or False"),
    ],
)
def test_load_refuses_a_wrong_value_by_name(wrong, message):
    with pytest.raises(InputError, match=message):
        specs.load(**wrong)


@pytest.mark.parametrize(
    ("call", "wrong", "message"),
    [
        (specs.stream, dict(latency_model=3), r"latency_model is 3; give a LatencyModel or None"),
        (specs.solve_many, dict(latency_model="x"), r"latency_model is 'x'; give a LatencyModel or None"),
        (specs.solve_many, dict(save=3), r"save is 3; give text or a Path or None"),
        (specs.solve, dict(temp=1), r"no option 'temp'; did you mean 'temperature'\?"),
        (specs.solve, dict(deadline=2), r"no option 'deadline'; did you mean 'deadline_s'\?"),
        (specs.solve, dict(max_token=2), r"no option 'max_token'; did you mean 'max_tokens'\?"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(call, wrong, message):
    with pytest.raises(InputError, match=message):
        call("a question" if call is not specs.solve_many else ["a question"], toy.models(), **wrong)


def test_questions_that_are_no_questions_are_refused_by_name():
    with pytest.raises(InputError, match="questions is 3; give an Iterable"):
        specs.solve_many(3, toy.models())
