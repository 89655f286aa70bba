"""The findings of a PRM check, on one screen and as JSON."""

from __future__ import annotations

from typing import Any

from specs.engines.local.models import LocalReward
from specs.eval.check_prm import QUESTION, Findings, Reading

WIDTH = 100


def record(prm: LocalReward, found: Findings) -> dict[str, Any]:
    right, wrong = found.second_steps
    return {
        "model": prm.name,
        "format": prm.prm_format.name,
        "why": prm.why,
        "question": QUESTION,
        "prompt": _tokens(prm, prm.prompt(QUESTION)),
        "ask": _tokens(prm, prm.prm_format.ask),
        "join": _tokens(prm, prm.prm_format.join),
        "cases": {
            name: [{"text": one.text, "reward": one.reward, "input": _tokens(prm, one.ids)} for one in readings]
            for name, readings in found.cases.items()
        },
        "laws": [{"law": law.name, "kept": law.kept, "difference": law.difference} for law in found.laws],
        "tolerance": found.tolerance,
        "second_step": {"right": right, "wrong": wrong},
        "passed": found.passed,
    }


def _tokens(prm: LocalReward, ids: tuple[int, ...]) -> list[list[int | str]]:
    return [[token, prm.prm_format.text.spelling(token)] for token in ids]


def screen(prm: LocalReward, found: Findings) -> str:
    """The findings as lines for people, at most `WIDTH` wide."""
    sequences = {"prompt": prm.prompt(QUESTION), "asked": prm.prm_format.ask, "joined": prm.prm_format.join}
    lines = [
        f"model    {prm.name}, {prm.parameters:,} parameters, room for {prm.backend.context} tokens",
        f"format   {prm.prm_format.name}: {prm.why}",
        *(f"{name:<9}{len(ids):<4} {_spelled(prm, ids, 4, 5)}" for name, ids in sequences.items()),
        "",
        "case                step  reward  tokens around the [token] at which the reward is read",
    ]
    for name, readings in found.cases.items():
        for step_idx, one in enumerate(readings):
            case, around = "" if step_idx else name, _around(prm, one, readings[step_idx + 1 :])
            lines.append(f"{case:<20}{step_idx + 1:>4}  {one.reward:6.3f}  {around}")
    lines.append("")
    for law in found.laws:
        lines.append(f"{'kept  ' if law.kept else 'BROKEN'}   {law.name}")
        if law.difference is not None:
            lines[-1] += f" (largest difference {law.difference:.1e}, allowed {found.tolerance:.1e})"
    right, wrong = found.second_steps
    verdict = "above" if right > wrong else "NOT above"
    lines.append(f"note     the right second step has {right:.3f}, {verdict} the wrong one with {wrong:.3f}")
    return "\n".join(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in lines)


def _around(prm: LocalReward, one: Reading, later: list[Reading]) -> str:
    """The last tokens of a step, the tokens of `ask` (the last one in brackets), and the first tokens after them."""
    if not one.ids:
        return "(blank: keeps the reward before it)"
    asked = len(prm.prm_format.ask)
    step = _spelled(prm, one.ids[:-asked], 0, 3)
    ask = _spelled(prm, one.ids[-asked:], 1, 1, mark=True)
    following = next((other.ids for other in later if other.ids), ())
    stays = following[: len(one.ids)] == one.ids
    return f"{step}|{ask}" + (f"|{_spelled(prm, following[len(one.ids) : len(one.ids) + 2], 2, 0)}" if stays else "")


def _spelled(prm: LocalReward, ids: tuple[int, ...], first: int, last: int, mark: bool = False) -> str:
    """The first and last tokens of a sequence, separated by bars."""
    spelled = [_printable(prm.prm_format.text.spelling(token)) for token in ids]
    if mark:
        spelled[-1] = f"[{spelled[-1]}]"
    if len(spelled) > first + last:
        spelled[first : len(spelled) - last] = ["…"]
    return "|".join(spelled)


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
