"""`solve_many` and `asolve_many`: the same results as `solve`, in bounded memory, resumable, failures as results."""

import asyncio
import itertools
import json
import re
import threading
import time

import pytest

import specs
from helpers import toy
from specs.config import configure
from specs.errors import EngineError, InputError
from specs.traces.codec import read_traces
from specs.types import Finish

OPTIONS = dict(n=3, tau=0.4, max_steps=4, max_step_tokens=4, temperature=0.9, seed=2)
QUESTIONS = [f"{'a' * k}b" for k in range(6)]


def text(result):
    return result.text, result.finish_reason, [record.candidates for record in result.steps]


def together(solves):
    async def run():
        return [solved async for solved in solves]

    return asyncio.run(run())


def slow(seconds=0.02):
    def look_up(ids):
        time.sleep(seconds)
        row = toy.table(1)(ids)
        row[4] = -9.0
        return row

    return toy.models(target=look_up)


SLOW = dict(method="target", max_step_tokens=64, delimiter=None)


def test_solves_that_are_late_because_they_share_the_cores_say_so(monkeypatch):
    """40 solves that all miss their deadline; the bundled kind of model, in this process, on one core."""
    monkeypatch.setattr("specs.decoding.stream.cores", lambda: 1)
    options = dict(deadline_s=0.01, **SLOW)
    (alone,) = specs.solve_many(["a"], slow(), **options)
    assert alone.result.latency_s > 0.01
    assert alone.result.notes == ()
    together = [result for _, result in specs.solve_many(["a"] * 40, slow(), concurrency=40, **options)]
    assert len(together) == 40
    for result in together:
        (note,) = result.notes
        late, after, most, *_ = re.findall(r"[\d.e-]+(?= s after)|after|\d+(?= solves)", note)
        assert float(late) == pytest.approx(result.latency_s - 0.01, rel=0.1)
        assert (after, note.partition(": ")[2]) == ("after", f"{most} solves shared 1 cores")
        assert 1 < int(most) <= 40


def test_solves_on_servers_share_no_cores():
    from specs.decoding.threads import sharing_cores

    models = toy.models()
    with sharing_cores(models) as first, sharing_cores(models) as second:
        pass
    with sharing_cores(models) as later, sharing_cores(specs.Models()) as elsewhere:
        pass
    assert (first.most, second.most, later.most, elsewhere.most) == (2, 2, 1, 0)


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_many_solves_equal_single_ones(concurrency):
    models = toy.models()
    expected = {str(k): text(specs.solve(question, models, **OPTIONS)) for k, question in enumerate(QUESTIONS)}
    found = specs.solve_many(QUESTIONS, models, concurrency=concurrency, **OPTIONS)
    assert {name: text(result) for name, result in found} == expected
    found = together(specs.asolve_many(QUESTIONS, models, concurrency=concurrency, **OPTIONS))
    assert {name: text(result) for name, result in found} == expected


@pytest.mark.parametrize(
    "questions", [{"x": "ab", "y": "b"}, [("x", "ab"), ("y", "b")], iter([("x", "ab"), ("y", "b")])]
)
def test_questions_may_have_ids(questions):
    found = specs.solve_many(questions, toy.models(), **OPTIONS)
    assert {name: result.question for name, result in found} == {"x": "ab", "y": "b"}


def test_the_number_of_questions_is_known_if_they_have_a_length():
    assert len(specs.solve_many(QUESTIONS, toy.models(), **OPTIONS)) == len(QUESTIONS)
    with pytest.raises(TypeError):
        len(specs.solve_many(iter(QUESTIONS), toy.models(), **OPTIONS))
    assert len(list(specs.solve_many(iter(QUESTIONS), toy.models(), **OPTIONS))) == len(QUESTIONS)


def test_questions_are_read_when_there_is_a_free_place():
    read = itertools.count()
    endless = (f"{'a' * (next(read) % 5)}b" for _ in itertools.count())
    taken = 0
    for _ in specs.solve_many(endless, toy.models(), concurrency=3, **OPTIONS):
        taken += 1
        if taken == 10:
            break
    assert next(read) <= taken + 3


def test_what_fails_is_a_result_and_the_others_go_on():
    models = toy.models()
    forward = models.target.backend.forward

    def fail(*args):
        if threading.current_thread().name.startswith("specs-many") and next(calls) == 0:
            raise EngineError("the engine is gone")
        return forward(*args)

    calls = itertools.count()
    models.target.backend.forward = fail
    found = dict(specs.solve_many(["a", "", "b", None], models, "target", concurrency=1, max_step_tokens=4))
    assert found["0"].error == "the engine is gone"
    assert "question is empty" in found["1"].error
    assert found["2"].error is None
    assert "question is None" in found["3"].error
    assert {found[name].finish_reason for name in "013"} == {Finish.ERROR}


def test_a_defect_fails_its_own_solve(caplog):
    models = toy.models()
    prompt = models.target.prompt

    def defect(question, *args, **more):
        if question == "aa":
            raise KeyError("a defect")
        return prompt(question, *args, **more)

    models.target.prompt = defect
    found = dict(specs.solve_many(["a", "aa", "b"], models, "target", max_step_tokens=4))
    assert "please report it" in found["1"].error
    assert [found[name].error for name in "02"] == [None, None]
    assert "a solve failed" in caplog.text


def test_ctrl_c_ends_the_iteration():
    models = toy.models()

    def interrupt(*args):
        raise KeyboardInterrupt

    models.target.backend.forward = interrupt
    with pytest.raises(KeyboardInterrupt):
        list(specs.solve_many(["a", "b"], models, "target", max_step_tokens=4))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(questions="how many?"), "questions is one text"),
        (dict(questions=7), "questions is 7"),
        (dict(questions=[("a", "b", "c")]), "questions has ('a', 'b', 'c') at 0"),
        (dict(questions=[(1, "b")]), "questions has (1, 'b') at 0"),
        (dict(concurrency=0), "concurrency is 0"),
        (dict(concurrency=1.5), "concurrency is 1.5"),
        (dict(betta=1), "did you mean 'beta'"),
        (dict(deadline=2), "did you mean 'deadline_s'"),
        (dict(save="/nowhere/at/all.jsonl"), "/nowhere/at is not a folder"),
        (dict(save="solves.jsonl.gz"), "name it .jsonl"),
    ],
)
def test_a_wrong_argument_is_named(change, says):
    options = {"questions": QUESTIONS, **OPTIONS, **change}
    with pytest.raises(InputError) as raised:
        list(specs.solve_many(options.pop("questions"), toy.models(), **options))
    assert says in str(raised.value)


def test_a_run_continues_where_it_was_cut(tmp_path):
    file = tmp_path / "solves.jsonl"
    whole = {name: text(result) for name, result in specs.solve_many(QUESTIONS, toy.models(), **OPTIONS)}
    first = {}
    for name, result in specs.solve_many(QUESTIONS, toy.models(), concurrency=1, save=file, **OPTIONS):
        first[name] = result
        if len(first) == 3:
            break
    assert len(file.read_text().splitlines()) == 3
    with file.open("a") as out:
        out.write('{"id": "3", "answ')  # a process that was killed
    second = dict(specs.solve_many(QUESTIONS, toy.models(), concurrency=2, save=file, **OPTIONS))
    assert {name: text(result) for name, result in second.items()} == whole
    assert all(second[name] == first[name] for name in first)  # with the same times: they come from the file
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == sorted(whole)
    assert len(list(read_traces(file))) == len(whole)
    assert [path.suffix for path in tmp_path.iterdir() if not path.name.startswith(".")] == [".jsonl"]


def test_a_saved_solve_that_failed_is_solved_again(tmp_path):
    file = tmp_path / "solves.jsonl"
    broken = toy.models()

    def fail(*args):
        raise EngineError("the engine is gone")

    broken.target.backend.forward = fail
    ((_, failed),) = specs.solve_many(["a"], broken, save=file, **OPTIONS)
    assert failed.error == "the engine is gone"
    ((_, solved),) = specs.solve_many(["a"], toy.models(), save=file, **OPTIONS)
    assert solved.error is None
    assert dict(specs.solve_many(["a"], broken, save=file, **OPTIONS))["0"] == solved


@pytest.mark.parametrize(
    ("questions", "options", "says"),
    [
        (["aaa"], {}, "id 0 with another question"),
        (QUESTIONS, {"seed": 3}, "id 0 with another seed"),
        (QUESTIONS, {"tau": 0.5}, "id 0 with another settings"),
    ],
)
def test_saved_solves_of_something_else_are_refused(questions, options, says, tmp_path):
    file = tmp_path / "solves.jsonl"
    list(specs.solve_many(QUESTIONS[:2], toy.models(), save=file, **OPTIONS))
    before = file.read_bytes()
    with pytest.raises(InputError, match=says):
        list(specs.solve_many(questions, toy.models(), save=file, **{**OPTIONS, **options}))
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    ["no JSON\n", "no line end", '{"question": "?"}', "[" * 100_000 + "\n", '{"answer": 1}\n', "[1]\n", '{"id": 1}\n'],
)
def test_a_file_that_holds_something_else_is_refused(content, tmp_path):
    file = tmp_path / "solves.jsonl"
    file.write_text(content)
    with pytest.raises(InputError, match="line 1"):
        list(specs.solve_many(QUESTIONS, toy.models(), save=file, **OPTIONS))
    assert file.read_text() == content


def test_a_file_in_use_is_refused(tmp_path):
    file = tmp_path / "solves.jsonl"
    running = iter(specs.solve_many(QUESTIONS, toy.models(), save=file, **OPTIONS))
    next(running)
    with pytest.raises(InputError, match="in use"):
        list(specs.solve_many(QUESTIONS, toy.models(), save=file, **OPTIONS))
    running.close()
    assert len(dict(specs.solve_many(QUESTIONS, toy.models(), save=file, **OPTIONS))) == len(QUESTIONS)


def test_leaving_early_cancels_what_runs():
    models = slow()
    begun = time.perf_counter()
    for _ in specs.solve_many(["", "a", "b", "aa"], models, concurrency=3, **SLOW):
        break  # the empty question is a result at once; the others would take seconds
    assert time.perf_counter() - begun < 1.0
    assert not [one for one in threading.enumerate() if one.name.startswith("specs-many")]


def test_leaving_the_asyncio_twin_early_cancels_what_runs():
    models = slow()

    async def run():
        solves = specs.asolve_many(["", "a", "b", "aa"], models, concurrency=3, **SLOW)
        async for _ in solves:
            break
        await solves.aclose()

    begun = time.perf_counter()
    asyncio.run(run())
    assert time.perf_counter() - begun < 1.0


def test_a_cancelled_task_cancels_many_solves():
    models = slow()

    async def run():
        async def all_of_them():
            return [one async for one in specs.asolve_many(["a", "b"], models, **SLOW)]

        task = asyncio.create_task(all_of_them())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    begun = time.perf_counter()
    asyncio.run(run())
    assert time.perf_counter() - begun < 1.0


def test_a_solve_config_is_accepted():
    config = configure("target", max_step_tokens=4)
    found = dict(specs.solve_many(["a"], toy.models(), config))
    assert found["0"].method == "target"
