"""The top-level interface: `solve`, its streaming iterator and its asynchronous form."""

import asyncio
import subprocess
import sys

import pytest

import specs
from helpers import toy
from helpers.fitting import fitting
from specs.errors import InputError

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
    "options", [{"temperature": -1}, {"top_p": 0}, {"max_steps": 0}, {"deadline_s": 0}, {"n": 0}, {"betta": 1}]
)
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
