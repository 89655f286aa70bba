"""Early exits: a rule decides by the trace alone, an exit leaves only the answer to be written.

The models are tables over a few tokens and ten digits, so every trial answer and its probability are known.
"""

import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest

from helpers.fitting import make_with
from specs import api
from specs.config import Limits, SolveConfig, configure
from specs.config.text import early_exit_from_text
from specs.core.keys import Key
from specs.core.sampling import log_law
from specs.decoding.stream import stream
from specs.engines.local.tabular import TabularPolicy, TabularReward, TabularText
from specs.engines.protocol import Models, never_stop
from specs.errors import InputError
from specs.methods.early_exit import PROBE_TOKENS, RULES, Deer, Dynasor
from specs.traces.codec import result_from
from specs.traces.replay import ReplayEnd, replay
from specs.types import (
    Candidate,
    End,
    Finish,
    Phase,
    Probed,
    Role,
    SamplingParams,
    StepPolicy,
    Thinking,
    ThinkingEnd,
    Trace,
)

PIECES = ["a", "b", "\n\n", "</think>", "", "\\boxed{", "Enough.", "\n", "}", "**Final Answer**", "Wait ",
          "... Oh, I suddenly got the answer to the whole problem, ", "\\[ ", *"0123456789"]  # fmt: skip
A, B, BREAK, CLOSE, END, BOX, STOP, LINE, SHUT, FINAL, WAIT, OH, BRACKET = range(13)
DIGITS = range(13, 23)
THINKING = Thinking("<think>\n", CLOSE, "Enough.\n</think>\n\n", (STOP, LINE, CLOSE, BREAK), "</think>")
TEXT = TabularText(PIECES, END, THINKING)
LAW = SamplingParams(0.9, 0.95, StepPolicy(max_tokens=6), StepPolicy(max_tokens=4), top_k=12)
LIMITS = Limits(max_steps=60, max_tokens=25, max_thinking_tokens=24)
FIRST, NEVER = Deer(threshold=0.0, word=""), Deer(threshold=1.5, word="")
OFTEN = (Deer(threshold=0.6, word=""), Dynasor(every=3, agree=2))
ONE_TRACE = ("target", "draft", "specs", "gsi", "rsd", "prm-free", "one-first", "oracle-route", "specreason", "glimp",
             "hard-reject", "target+speculation", "specs+speculation", "glimp+speculation")  # fmt: skip
SEARCHES = ("beam", "beam-draft", "soft-beam", "dvts", "ssr", "beam+speculation")
OPTIONS = {"n": 4, "width": 2}


def table(seed, close=-1.5, end=-4.0):
    """Random logits by context; in an open box mostly its end; after end-of-text, which stands for a question, a digit.

    The tokens with which a probe opens are as likely as others, so that steps may begin as probes do.
    """

    def look_up(ids):
        row = np.full(len(PIECES), -np.inf)
        random = np.random.default_rng([seed, len(ids), *ids])
        if END in ids:
            row[DIGITS] = random.normal(size=10)
            return row
        row[:13] = random.normal(size=13)
        row[[CLOSE, END, STOP]] += close, end, -2.0
        if CLOSE in ids:
            row[CLOSE] = -np.inf
        if BOX in ids:
            opened = len(ids) - ids[::-1].index(BOX)
            if SHUT not in ids[opened:]:
                stays = np.random.default_rng([seed, opened, *ids[:opened]]).random() < 0.2
                row[[A, SHUT]] += (5.0, -30.0) if opened == len(ids) else (0.0, -30.0 if stays else 5.0)
        if FINAL in ids:
            row[[WAIT, STOP]] -= 4.0
        return row

    return look_up


def rate(steps):
    return float(np.random.default_rng([len(steps), *"|".join(steps).encode()]).random())


def models(draft=None, target=None):
    return Models(
        TabularPolicy("q", TEXT, draft or table(1)),
        TabularPolicy("p", TEXT, target or table(2)),
        TabularReward("r", TEXT, rate),
    )


def solve(name="target", seed=0, rule=None, limits=LIMITS, models_=None, law=LAW, **options):
    config = SolveConfig(make_with(name, {**OPTIONS, **options}), law, limits, seed, rule)
    result = stream("q", models_ or models(), config).result
    assert result.error is None
    return result


def tokens_of(result):
    """All that was sampled and decided, without numbers that a probe may round differently."""
    return [
        (r.writer, [c.token_ids for c in r.candidates], r.decision.chosen, r.accepted, r.kept, r.parents)
        for r in result.steps
    ]


def traces_of(result):
    """Each record of a solve with the trace before its first candidate."""
    before = {0: [Trace.start("q", True)]}
    single = [Trace.start("q", True)]
    for record in result.steps:
        trace = single[record.step_idx] if record.parents is None else before[record.step_idx][record.parents[0]]
        yield trace, record
        owners = record.parents or (None,) * len(record.candidates)
        for candidate, owner in zip(record.candidates, owners, strict=True):
            own = trace if owner is None else before[record.step_idx][owner]
            before.setdefault(record.step_idx + 1, []).append(own.extend(candidate, record.writer))
        if record.accepted and record.step is not None and record.parents is None:
            single.append(trace.extend(record.step, record.writer))


# The limits: always and never ---------------------------------------------------------------


@pytest.mark.parametrize("name", [*ONE_TRACE, *SEARCHES])
def test_a_rule_that_never_exits_changes_no_token(name):
    probes = 0
    for seed in range(4):
        without = tokens_of(solve(name, seed))
        for rule in (NEVER, Dynasor(every=1, agree=10**6)):
            result = solve(name, seed, rule)
            assert tokens_of(result) == without
            probes += sum(record.probe is not None for record in result.steps)
    assert probes


@pytest.mark.parametrize("name", [*ONE_TRACE, *SEARCHES])
def test_a_rule_that_always_exits_does_so_after_the_first_step(name):
    """The first step is that of the solve without the rule; the closing text follows, and then the answer alone."""
    exits = 0
    for seed in range(8):
        without, result = solve(name, seed), solve(name, seed, FIRST)
        first = (
            next(idx for idx, record in enumerate(result.steps) if record.step_idx == 1)
            if len(result.accepted) > 1
            else 0
        )
        assert tokens_of(result)[:first] == tokens_of(without)[:first] or name in SEARCHES
        if result.thinking_end is not ThinkingEnd.EXITED:
            assert result.accepted[0].step.end in (End.CLOSE, End.END_OF_TEXT)
            continue
        exits += 1
        step, closing, *answer = result.accepted
        assert closing.probe is not None
        assert sum(record.probe is not None for record in result.steps) == 1
        assert closing.step == Candidate(THINKING.closing_ids, THINKING.closing, End.CLOSE, forced=4)
        assert result.thinking == step.text + THINKING.closing
        assert result.thinking_tokens == len(step.step.token_ids) + 4
        writer = Role.DRAFT if name in ("draft", "beam-draft") else Role.TARGET
        assert {record.writer for record in (closing, *answer)} == {writer}
        assert all(len(record.candidates) == 1 for record in (closing, *answer))
        assert not any(record.accepted for record in result.steps if record not in result.accepted)
    assert exits >= 4


@pytest.mark.parametrize(("name", "role"), [("specs", Role.TARGET), ("draft", Role.DRAFT), ("beam", Role.TARGET)])
def test_the_answer_after_an_exit_is_the_sample_of_its_writer(name, role):
    """Each step of it is drawn with the keys of a solve in which that model had written everything."""
    answered = 0
    for seed in range(4):
        own = models()
        result, model = solve(name, seed, FIRST, models_=own), getattr(own, role)
        session = model.open(result.prompt_token_ids[role], frozenset({model.fingerprint}), never_stop)
        trace = Trace.start("q", True)
        for record in result.accepted:
            if record.phase is Phase.ANSWER and result.thinking_end is ThinkingEnd.EXITED:
                key = Key.from_seed(seed).fold(role, (*result.prompt_token_ids[role], *trace.token_ids), 0)
                cap = min(6, LIMITS.max_tokens - trace.answer_tokens)
                law = replace(LAW, steps=replace(LAW.steps, max_tokens=cap))
                (sample,) = session.sample([trace], 1, law, [key])
                assert sample.token_ids == record.step.token_ids
                answered += 1
            trace = trace.extend(record.step, record.writer)
    assert answered


# What a probe says --------------------------------------------------------------------------


def trial(look_up, trace, rule):
    """The trial answer, by hand: the most likely tokens after the trace and the opening."""
    ids, opening = [], (*trace.token_ids, *TEXT.encode(rule.opening))
    logs, text = [], ""
    while True:
        row = look_up((*opening, *ids))
        ids.append(int(np.argmax(row)))
        logs.append(float(log_law(row)[ids[-1]]))
        text += PIECES[ids[-1]]
        if isinstance(rule, Deer) and _shut(text):
            return Probed(tuple(ids), text, End.DELIMITER, tuple(logs))
        if ids[-1] in (END, CLOSE) or len(ids) == PROBE_TOKENS:
            end = {END: End.END_OF_TEXT, CLOSE: End.CLOSE}.get(ids[-1], End.CAP)
            return Probed(tuple(ids), text, end, tuple(logs))


def _shut(text):
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return True
    return False


@pytest.mark.parametrize("rule", [NEVER, Dynasor(every=1, agree=10**6)], ids=["deer", "dynasor"])
def test_a_probe_depends_on_the_tokens_alone(rule):
    """It is the greedy answer of the target at temperature 1, whoever wrote the trace, at any seed, law and width."""
    writers, ends = set(), set()
    for name in (*ONE_TRACE, "beam"):
        for seed in range(3):
            result = solve(name, seed, rule, law=replace(LAW, temperature=0.5 + seed), width=1)
            for trace, record in traces_of(result):
                if record.probe is not None:
                    expected = trial(table(1 if name == "draft" else 2), trace, rule)
                    assert record.probe == replace(expected, log_p=record.probe.log_p)
                    assert record.probe.log_p == pytest.approx(expected.log_p, abs=1e-4)
                    writers.add(trace.writers[-1])
                    ends.add(record.probe.end)
    assert writers == {Role.DRAFT, Role.TARGET}
    assert len(ends) > 1


@pytest.mark.parametrize("rule", OFTEN, ids=["deer", "dynasor"])
@pytest.mark.parametrize("name", ONE_TRACE)
def test_a_solve_exits_where_the_rule_says_so_by_hand(name, rule):
    ends = set()
    for seed in range(6):
        result = solve(name, seed, rule)
        probes, probed = [], []
        for trace, record in traces_of(result):
            due = bool(trace.steps) and trace.phase is Phase.THINKING and trace.steps[-1] is not (probed or [None])[-1]
            if due and rule.due(trace, [length for length, _ in probes]):
                assert record.probe is not None
                probes.append((len(trace.token_ids), record.probe))
                exits = rule.exits([probe for _, probe in probes])
                assert exits is (record.step is not None and record.step.length == 0)
            else:
                assert record.probe is None
            probed.append(trace.steps[-1] if trace.steps else None)
        ends.add(result.thinking_end)
    assert ThinkingEnd.EXITED in ends


def test_the_leading_trace_of_a_search_is_probed_and_ends_it():
    exits = 0
    for name in SEARCHES:
        for seed in range(6):
            result = solve(name, seed, OFTEN[0])
            if result.thinking_end is ThinkingEnd.EXITED:
                exits += 1
                closing = next(idx for idx, record in enumerate(result.steps) if record.step and not record.step.length)
                branches = [record for record in result.steps[:closing] if record.kept is not None]
                last = branches[-1]
                # The result's records name the candidate of the final trace, which is the one that led.
                assert last.accepted
                (parent,) = result.steps[closing].parents
                drawn = [c for r in result.steps if r.step_idx == last.step_idx for c in r.candidates]
                assert drawn[parent] is last.step
                assert all(record.kept is None for record in result.steps[closing:])
    assert exits >= 5


# The rules ----------------------------------------------------------------------------------


def probed(text, *p, end=End.DELIMITER):
    return Probed(tuple(range(len(p))), text, end, tuple(map(math.log, p)))


def test_the_criterion_of_deer():
    """Geometric: (0.9 * 0.8)^(1/2) = 0.8485; arithmetic: 0.85. An open box is no answer."""
    answer = probed("a}", 0.9, 0.8)
    assert Deer().confidence(answer) == pytest.approx(math.sqrt(0.72))
    assert Deer(mean="arithmetic").confidence(answer) == pytest.approx(0.85)
    assert Deer(threshold=0.848).exits([answer])
    assert not Deer(threshold=0.849).exits([answer])
    assert Deer(threshold=0.849, mean="arithmetic").exits([answer])
    assert Deer(threshold=1.0).exits([probed("a}", 1.0, 1.0)])
    assert Deer().exits([probed("b}", 0.1), probed("a}", 0.96)])
    assert not Deer().exits([probed("b}", 0.99), probed("a}", 0.9)])
    for end in (End.CAP, End.END_OF_TEXT, End.CLOSE):
        assert Deer().confidence(probed("a", 0.99, end=end)) == 0
    assert Deer().confidence(Probed()) == 0
    assert Deer(threshold=0.0).exits([Probed()])


def stepped(*texts):
    trace = Trace.start("q", True)
    for text in texts:
        trace = trace.extend(Candidate((A,) * 10, text, End.DELIMITER), Role.TARGET)
    return trace


def test_deer_probes_after_steps_that_turn_and_at_most_ten_times():
    assert Deer().due(stepped("so\n\n", "Wait, no\n\n"), [])
    assert not Deer().due(stepped("Wait, no\n\n", "so\n\n"), [])
    assert not Deer().due(stepped("wait\n\n"), [])
    assert Deer(word="").due(stepped("so\n\n"), [])
    assert Deer().due(stepped("Wait\n\n"), [1] * 9)
    assert not Deer().due(stepped("Wait\n\n"), [1] * 10)
    assert Deer(most=11).due(stepped("Wait\n\n"), [1] * 10)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("5}", 2),
        (" 5} x}", 3),
        (r"\frac{1}{2}}.", 12),
        (r" \text{two apples}} and", 19),
        (r"\{1, 2\}}", 9),
        ("{{{{a}}}}}", 10),
        ("\n 7}\n", 4),
        ("open {", None),
        (r"\}", None),
    ],
)
def test_a_trial_answer_of_deer_ends_where_its_box_closes(text, cut):
    """Read character by character: at the first brace that closes the box, not at an inner or escaped one."""
    pieces = TabularText([*dict.fromkeys(text), "<eos>"], len(set(text)))
    from specs.engines.steps import Stepper

    stepper = Stepper(Deer.steps, pieces, 100)
    ends = [stepper.push(pieces.pieces.index(character)) for character in text]
    found = next((idx + 1 for idx, end in enumerate(ends) if end is End.DELIMITER), None)
    assert found == cut


def test_the_criterion_of_dynasor():
    """Three boxed answers of one value without hesitation, of the last three only."""
    yes, half, none = probed("a}\n\\]", 0.5), probed("0.5} so", 0.5), probed("a and", 0.5)
    rule = Dynasor()
    assert rule.exits([yes, yes, yes])
    assert rule.exits([half, yes, yes, yes])
    assert not rule.exits([yes, yes])
    assert not rule.exits([yes, half, yes])
    assert not rule.exits([none, none, none])
    assert not rule.exits([probed("}", 0.5)] * 3)
    assert rule.exits([half, probed(r"\frac{1}{2}}", 0.5), half])
    assert Dynasor(agree=1).exits([none, yes])
    for word in ("Wait", "hold on", "but", "Okay", "know", "Hmm"):
        doubt = probed(f"a}}. {word}", 0.5)
        assert not rule.exits([yes, doubt, yes])
        assert rule.exits([doubt, yes, yes, yes])


def test_dynasor_probes_every_so_many_tokens():
    assert not Dynasor(every=21).due(stepped("a", "b"), [])
    assert Dynasor(every=20).due(stepped("a", "b"), [])
    assert not Dynasor(every=20).due(stepped("a", "b", "c"), [20])
    assert Dynasor(every=10).due(stepped("a", "b", "c"), [20])


# Cost and records ---------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [*OFTEN, NEVER], ids=["deer", "dynasor", "never"])
@pytest.mark.parametrize("name", [*ONE_TRACE, *SEARCHES])
def test_nothing_is_computed_twice(name, rule):
    for seed in range(4):
        result = solve(name, seed, rule)
        for role, use in result.usage.items():
            assert use.processed == use.minimum + use.speculated, (role, seed)


def test_a_probe_costs_its_opening_and_its_tokens():
    """Of a solve with one probe that does not exit: the opening and all tokens of the trial answer but the last."""
    compared = 0
    for seed in range(6):
        without, result = solve("target", seed), solve("target", seed, replace(NEVER, most=1))
        probes = [record.probe for record in result.steps if record.probe is not None]
        if probes:
            (probe,) = probes
            old, new = without.usage[Role.TARGET], result.usage[Role.TARGET]
            assert new.processed - old.processed == len(TEXT.encode(NEVER.opening)) + len(probe.token_ids) - 1
            assert new.generated - old.generated == new.discarded - old.discarded == len(probe.token_ids)
            compared += 1
    assert compared


@pytest.mark.parametrize("rule", OFTEN, ids=["deer", "dynasor"])
@pytest.mark.parametrize("name", [*ONE_TRACE, *SEARCHES])
def test_traces_come_back_and_replay(name, rule):
    for seed in range(3):
        result = solve(name, seed, rule)
        back = result_from(json.loads(result.to_json()), "here")
        assert back.to_json() == result.to_json()
        assert replay(back).ended is ReplayEnd.COMPLETE


def test_a_replay_needs_the_trial_answers_and_knows_its_rule():
    result = next(one for seed in range(9) if (one := solve("target", seed, FIRST)).thinking_end is ThinkingEnd.EXITED)
    assert result.settings["early_exit"] == {
        "rule": "deer", "threshold": 0.0, "mean": "geometric", "most": 10, "word": "",
    }  # fmt: skip
    bare = tuple(replace(record, probe=None) for record in result.steps)
    assert replay(replace(result, steps=bare)).ended is ReplayEnd.NO_PROBE
    strict = {**result.settings, "early_exit": {**result.settings["early_exit"], "threshold": 1.5}}
    assert replay(replace(result, settings=strict)).ended is ReplayEnd.PROPOSAL
    assert replay(replace(result, steps=result.steps[:1])).ended is ReplayEnd.CUT
    for wrong in ({"rule": "dear"}, {"rule": "deer", "x": 1}, {}, {"rule": "deer", "threshold": -1}):
        with pytest.raises(InputError, match="early_exit"):
            replay(replace(result, settings={**result.settings, "early_exit": wrong}))


def test_a_solve_without_a_rule_records_nothing_of_it():
    text = solve().to_json()
    assert "early_exit" not in text
    assert "probe" not in text.replace("probability", "")


# Ends ---------------------------------------------------------------------------------------


def test_a_deadline_in_the_middle_of_a_probe_cuts_cleanly():
    slow = []

    def look_up(ids):
        if FINAL in ids[-4:] or (BOX in ids and FINAL in ids):
            slow.append(ids)
            time.sleep(0.05)
        row = table(2, close=-30.0, end=-30.0)(ids)
        row[[FINAL, BOX]] = -30.0
        return row

    limits = replace(LIMITS, deadline_s=0.3, max_thinking_tokens=400)
    result = solve(rule=Dynasor(every=1, agree=99), limits=limits, models_=models(target=look_up))
    assert slow
    assert (result.finish_reason, result.answer, result.thinking_end) == (Finish.DEADLINE, None, ThinkingEnd.CUT)
    assert result.unfinished.target_generate > 0
    assert all(record.step.length for record in result.steps)
    assert replay(result).ended is ReplayEnd.CUT


def test_an_exit_at_the_last_step_leaves_no_answer():
    """The step that closes the thinking counts as a step."""
    results = [solve("target", seed, FIRST, replace(LIMITS, max_steps=2)) for seed in range(6)]
    exits = [result for result in results if result.thinking_end is ThinkingEnd.EXITED]
    assert exits
    assert {(result.finish_reason, result.answer) for result in exits} == {(Finish.MAX_STEPS, None)}


def test_a_probe_without_room_ends_nothing():
    """The trace may go on to the last place of the context, as without the rule."""
    empty = 0
    for context in (16, 18, 22):
        own = models(target=table(2, close=-30.0, end=-30.0))
        own.target.backend.context = context
        roomy = replace(LIMITS, max_thinking_tokens=400)
        without, result = (solve("target", 1, rule, roomy, own) for rule in (None, NEVER))
        assert tokens_of(result) == tokens_of(without)
        assert result.finish_reason is without.finish_reason is Finish.CONTEXT
        probes = [record.probe for record in result.steps if record.probe is not None]
        empty += Probed() in probes
    assert empty


# Where it is asked for ----------------------------------------------------------------------


def test_what_cannot_exit_is_refused_by_name():
    with pytest.raises(InputError, match=r"early_exit ends the thinking, and thinking is off; add 'think'"):
        configure("target", early_exit="deer")
    with pytest.raises(InputError, match="early_exit is 3"):
        configure("target", think=True, early_exit=3)
    for text, said in (
        ("dear", "no rule for early exits 'dear'; did you mean 'deer'"),
        ("deer:tau=1", "rule deer has no option 'tau'"),
        ("deer:threshold=much", "threshold is 'much'; give a number of at least 0"),
        ("deer:mean=mode", "mean is 'mode'; give 'geometric' or 'arithmetic'"),
        ("dynasor:agree=0", "agree is 0; give a whole number of at least 1"),
        ("dynasor:every=2:every=3", "every is given twice"),
        ("deer:threshold", "gives no value"),
    ):
        with pytest.raises(InputError, match=said):
            configure("target", think=True, early_exit=text)
    with pytest.raises(InputError, match="best-of-n chooses among whole solutions"):
        stream("q", models(), configure("best-of-n", think=True, early_exit="deer"))


def test_rules_are_read_from_text():
    assert early_exit_from_text("deer") == Deer()
    assert early_exit_from_text("deer:threshold=0.9:mean=arithmetic:most=3:word=Hmm") == Deer(
        0.9, "arithmetic", 3, "Hmm"
    )
    assert early_exit_from_text("dynasor:every=32:agree=2") == Dynasor(32, 2)
    assert {name: kind.name for name, kind in RULES.items()} == {"deer": "deer", "dynasor": "dynasor"}
    assert configure("target", think=True, early_exit=Dynasor(8, 1)).early_exit == Dynasor(8, 1)


def test_the_python_interface_takes_a_rule():
    options = {"think": True, "early_exit": "deer:threshold=0:word=", "max_thinking_step_tokens": 4, "max_tokens": 10}
    found = api.solve("q", models(), "target", seed=3, **options)
    assert found.thinking_end is ThinkingEnd.EXITED
    with api.stream("q", models(), "target", seed=3, **options) as steps:
        assert [step.text for step in steps] == [record.text for record in found.steps]
    (many,) = api.solve_many(["q"], models(), "target", seed=3, **options)
    assert many.result.text == found.text
