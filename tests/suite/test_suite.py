"""The benchmark suite with toy sizes: what it measures, keeps and refuses."""

import json
import weakref
from dataclasses import replace

import numpy as np
import pytest

from helpers.commands import SUITE, run_command
from research.cost_suite import measure, naive, suite
from research.cost_suite.blank import Blank, blank_models, question
from research.cost_suite.limits import Floor, Rates
from research.cost_suite.replayed import record, replay
from research.cost_suite.scales import SCALES, Scale
from research.cost_suite.shapes import TRIOS, Size, random_model
from specs import api
from specs.bundled.problems import generate
from specs.config import Limits, SolveConfig
from specs.decoding.stream import stream
from specs.engines.local.onnx.graph import Shape
from specs.methods.beam import Beam
from specs.methods.specs import Specs
from specs.types import Role, SamplingParams, StepPolicy

TINY = Scale(
    "light", "cpu", "1M, 5M, 5M", ("1M, 5M, 5M",), "1M, 5M, 5M", n=3, tokens=4, context=16,
    widths=(1, 3), contexts=(16, 48), shares=(0.0, 1.0), steps=2, repeats=2, problems=1,
)  # fmt: skip
LAW = SamplingParams(0.7, steps=StepPolicy(max_tokens=64))


def _models(engine="light", name="1M, 5M, 5M"):
    return {role: random_model(size, engine, "cpu", f"{role}") for role, size in TRIOS[name].items()}


@pytest.fixture(scope="module")
def backends():
    return _models()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A complete suite, run by its command."""
    out = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCALES, "cpu", TINY)
        assert run_command(SUITE, ["--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_every_point_is_measured(made):
    points = json.loads((made / "suite.json").read_text())["points"]
    assert set(points) == {
        "steps", "n 1", "n 3", "context 16", "context 48", "shares", "trio 1M, 5M, 5M",
        "replayed medium", "replayed hard",
    }  # fmt: skip
    assert set(points["steps"]["ways"]) == {*measure.WAYS, *measure.NAIVE}
    for point in points.values():
        for way, one in point.get("ways", {}).items():
            assert one["ms"] > one["floor_ms"] > 0, way
            if way not in measure.NAIVE:
                assert one["over_minimum"] == 1.0
                assert one["steps"] == TINY.steps * TINY.repeats
                assert max(one["phases_ms"].values()) == one["phases_ms"]["wall"]


@pytest.mark.slow
def test_each_method_calls_the_models_that_it_needs(made):
    ways = json.loads((made / "suite.json").read_text())["points"]["steps"]["ways"]
    busy = {way: {phase for phase, ms in one["phases_ms"].items() if ms} - {"wall"} for way, one in ways.items()}
    assert busy == {
        "specs": {"draft", "target_score", "prm"},
        "beam": {"target_generate", "prm"},
        "gsi": {"draft", "target_score", "prm"},
        "gsi, rejected": {"draft", "target_score", "target_generate", "prm"},
        "rsd": {"draft", "prm"},
        "rsd, rejected": {"draft", "target_generate", "prm"},
        "specs, naive": {"draft", "target_score", "prm"},
        "beam, naive": {"target_generate", "prm"},
    }


@pytest.mark.slow
def test_tables_and_figures_are_there(made):
    page = (made / "suite.md").read_text()
    assert page.startswith("# Latency of steps: random weights, no accuracy")
    for line in page.splitlines():
        assert line.count("|") in (0, *{one.count("|") for one in page.splitlines() if one.startswith("| ---")})
    for name in ("suite-steps", "suite-scaling"):
        assert (made / f"{name}.svg").read_text().startswith("<?xml")
        assert (made / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_stopped_suite_is_continued(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SCALES, "cpu", TINY)
    whole = json.loads((made / "suite.json").read_text())
    asked = []

    def stop(scale, tier):
        asked.append(tier)
        raise KeyboardInterrupt

    kept = {name: point for name, point in whole["points"].items() if not name.startswith("replayed")}
    (tmp_path / "suite.json").write_text(json.dumps({**whole, "points": kept}))
    monkeypatch.setattr(suite, "replays", stop)
    assert run_command(SUITE, ["--out", str(tmp_path)]) == 1
    assert "continues from there" in capsys.readouterr().err
    monkeypatch.setattr(suite, "replays", lambda scale, tier: whole["points"][f"replayed {tier}"])
    assert run_command(SUITE, ["--out", str(tmp_path)]) == 0
    assert asked == ["medium"]
    assert json.loads((tmp_path / "suite.json").read_text())["points"] == whole["points"]
    assert (tmp_path / "suite.md").exists()


@pytest.mark.slow
def test_a_folder_keeps_its_scale_and_holds_only_a_suite(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SCALES, "cpu", replace(TINY, n=2))
    assert run_command(SUITE, ["--out", str(made)]) == 2
    assert "another scale or machine" in capsys.readouterr().err
    (tmp_path / "suite.json").write_text("[]")
    assert run_command(SUITE, ["--out", str(tmp_path)]) == 2
    assert "not the record of a suite" in capsys.readouterr().err
    assert run_command(SUITE, ["--out", str(tmp_path / "suite.json")]) == 2
    assert "cannot hold a suite" in capsys.readouterr().err


def test_a_scale_without_its_device_is_refused_first(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has such a device")
    assert run_command(SUITE, ["--out", str(tmp_path / "new"), "--scale", "cuda"]) == 2
    assert "device 'cuda'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("method", [Specs(), Beam(4)], ids=lambda method: method.name)
def test_a_replayed_solve_equals_the_recorded_one(backends, method):
    """Every token, score and choice is the same, although other models compute."""
    asked, models = generate("medium", 2_461_000).question, api.load()
    recorded, kept = record(asked, models, method, LAW)
    plain = stream(asked, models, SolveConfig(method, LAW)).result
    result = replay(asked, models, method, LAW, kept, backends)
    assert recorded.text == plain.text == result.text
    for one, other in zip(result.steps, recorded.steps, strict=True):
        assert one.candidates == other.candidates
        assert one.decision == other.decision
    assert result.usage == recorded.usage
    assert sum(map(len, kept.values())) > 10


def test_a_replay_of_another_question_is_an_error(backends):
    models, method = api.load(), Beam(4)
    _, kept = record(generate("medium", 2_461_000).question, models, method, LAW)
    result = replay(generate("medium", 2_461_001).question, models, method, LAW, kept, backends)
    assert "differs from the recorded one" in result.error


@pytest.mark.parametrize("engine", ["light", "torch"])
def test_models_and_steps_have_the_stated_sizes(engine):
    if engine == "torch":
        pytest.importorskip("torch")
    models = _models(engine)
    for role, size in TRIOS["1M, 5M, 5M"].items():
        assert models[role].parameters == pytest.approx(size.parameters, rel=0.01)
    limits = Limits(max_steps=3, max_tokens=100)
    law = SamplingParams(steps=StepPolicy.chunks(5))
    config = SolveConfig(Specs(3, draft_share=1.0, accept_weight=0.0), law, limits)
    result = stream(question(20), blank_models(models), config).result
    assert result.error is None
    assert result.usage[Role.DRAFT].prompt == 20
    assert [[len(one.token_ids) for one in record.candidates] for record in result.steps] == [[5, 5, 5]] * 3
    assert all(use.processed == use.minimum for use in result.usage.values())


def test_the_models_of_the_paper_have_their_sizes():
    """https://huggingface.co/Qwen/Qwen2.5-1.5B: 1.54 billion; Qwen2.5-7B: 7.61 billion (with biases and norms)."""
    trio = TRIOS["Qwen2.5 1.5B, 7B, 7B"]
    assert trio[Role.DRAFT].parameters == pytest.approx(1.54e9, rel=0.01)
    assert trio[Role.TARGET].parameters == pytest.approx(7.61e9, rel=0.01)


def test_the_blank_vocabulary_encodes_its_own_text():
    text = Blank()
    ids = np.random.default_rng(1).integers(0, 152_064, 200).tolist()
    assert text.encode(b"".join(map(text.piece, ids)).decode()) == ids
    assert text.encode("\n\n") == [0]
    assert len(text.encode(question(64))) == 64


def test_a_naive_step_computes_the_prefix_of_every_candidate(backends, monkeypatch):
    """By counted positions: n prefixes for the writer, n whole paths for each scorer."""
    computed = dict.fromkeys(Role, 0)

    class Counting:
        def __init__(self, role):
            self.role, self.inner = role, backends[role]
            self.context = self.inner.context

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def forward(self, cache, ids, *rest):
            computed[self.role] += len(ids)
            return self.inner.forward(cache, ids, *rest)

    found = naive.naive_step({role: Counting(role) for role in Role}, Role.DRAFT, [5] * 10, n=3, tokens=4)
    assert computed == {Role.DRAFT: 3 * 10 + 3 * 3, Role.TARGET: 3 * 14, Role.PRM: 3 * 14}
    assert found.wall == pytest.approx(found.draft + found.target_score + found.prm)


def test_floors_equal_those_of_the_cost_model():
    """One layer, one number a row: the floor is set by reading weights for few tokens, by computing for many."""
    size = Size(Shape(1, 16, 32, 1, 1, 16, 10, 100, 1e-6, 1e4), 10, tied=True)
    before, after, head = 16 * 16 * 3, 16 * (16 + 3 * 32), 160
    assert size.parameters == before + after + head
    floor = Floor(Rates(1e3, 1e6, 4, 1), dict.fromkeys(Role, size), context=7)
    held = 2 * 4 * 16 * 7
    assert floor.a_pass(Role.TARGET, 1, 1) == pytest.approx((4 * (before + after + head) + held) / 1e3)
    many = 10_000
    assert floor.a_pass(Role.TARGET, many, many) == pytest.approx(2 * many * (before + after + head) / 1e6)
    one, two = (replace(floor, rates=replace(floor.rates, together=k)) for k in (1, 2))
    saved = one.draft_step(4, 8) - two.draft_step(4, 8)
    assert saved == pytest.approx(min(one.a_pass(Role.TARGET, 32, 32), one.a_pass(Role.PRM, 36, 4)))


@pytest.mark.slow
def test_models_of_one_trio_are_released_before_the_next_are_made(monkeypatch):
    """A GPU may not have memory for both."""
    made, left = [], []

    def watched(*args):
        left.append(sum(model() is not None for model in made))
        one = random_model(*args)
        made.append(weakref.ref(one))
        return one

    monkeypatch.setattr(measure, "random_model", watched)
    monkeypatch.setattr(measure, "_held", {})
    for trio in ("1M, 5M, 5M", "bundled", "1M, 5M, 5M"):
        models = measure.sized(TINY, trio)
        assert measure.sized(TINY, trio) is models
        assert left[-3:] == [0, 1, 2]
        del models
    assert len(made) == 9
