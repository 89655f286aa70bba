"""its_hub 1.2.0 and the published code of RSD and SPECS beside ours: right answers, latency and requests.

    scripts/peers-environment
    .venv-peers/bin/python -m research.benchmarks.peers [--rsd FOLDER] [--specs FOLDER] [--runs N] [--limit N] [--out F]
    .venv-peers/bin/python -m research.benchmarks.peers --table RECORD

The servers are those of `research.benchmarks.requests`, and need the same. FOLDERs are clones of
github.com/BaohaoLiao/RSD (commit 933d8e5) and github.com/mert-cemri/SPECS (commit 285ed8c), which are no part of this
repository. Without one of them, or without its_hub, its rows say "not run". `--table` prints a record as Markdown.

Every problem is solved by all methods, in an order drawn anew for it; then every eight problems by each method, eight
solves at a time, in an order drawn anew too. The servers forget what they have cached before each turn. Each run has
problems of its own. The authors' code of RSD and SPECS solves one problem at a time only. All methods draw 8 candidates
(`rsd` one) at temperature 0.7, steps end at a blank line and have at most 64 tokens, solutions have at most 32 steps,
and the question and the models are the same.

Their code makes every decision and writes every request for text. What this module (with `peer_code`) replaces:

* its_hub's reward models run in their process and need a GPU (reward-hub). Here, one request of our client to the PRM's
  server rewards all responses, equal ones once, read at their last step, from a thread as in theirs. So both read
  the same tokens with the same client, and theirs is spared a forward pass with a batch of its own.
* its_hub runs as in a program under asyncio: one event loop for all solves, and no limit of concurrent requests. Its
  `infer` would make a loop for each solve, and its default limit (32 requests, waiting in the few threads that asyncio
  has on a small machine) would make it slower. Its requests, one a candidate, go to `/v1/chat/completions`, and its
  beam search opens new connections for each step: its own code does so. The program ends if the server reads other
  tokens for them than our client sends. It ends a search at a step with a box, where ours ends too; it knows no
  end-of-text. Seeds cannot be given to it.
* RSD: tokenizers, clients and rewards as in `research.benchmarks.published`, which also runs the code of SPECS (beta 10
  as in their run.sh, other settings there). Its patience is as large as the number of steps, because it would stop a
  single problem after five steps; its cap of tokens is that of the whole solution, because it has one for both.

A row gives latency by problem, and its ratio to that of a counterpart by turn: the median with a bootstrap interval
(95%). A turn is a problem, or eight at the same time, which count by their mean latency since they are not independent;
problems on which either failed are left out. `BARS` says how large median and upper end may be. Latency is wall time
and needs a machine that does nothing else. JSON last.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.request import urlopen

import numpy as np

from research.benchmarks import published
from research.benchmarks.bundled import finish, paired
from research.benchmarks.peer_code import ItsHub, N, Rsd, check_chat, counted_posts
from research.benchmarks.peer_report import (
    AT_ONCE,
    BARS,
    COUNTERPART,
    HUB_BEAM,
    HUB_BEST,
    RSD,
    SPECS,
    SPECS_BEAM,
    judged,
    table,
)
from research.benchmarks.published import Outcome, Prompts, Published, Solved, connected, counted, ours, timed
from research.benchmarks.requests import WARM_UP, forget, serving
from specs import load
from specs.bundled.problems import WordProblem, generate
from specs.engines.folders import BUNDLED
from specs.engines.text import HubText
from specs.engines.vllm.client import Client
from specs.eval.environment import environment
from specs.eval.grading import correct
from specs.methods.registry import make

BETA = 10.0
"""Of the published rule, in `specs-released` and in the code of its authors."""
OURS = {"beam": make("beam", n=N), "best-of-n": make("best-of-n", n=N), "specs": make("specs", n=N)}
ALONE = {"rsd": make("rsd"), "specs-released": make("specs-released", n=N, beta=BETA)}
"""Ours that are compared with code that solves one problem at a time."""
ROWS = (
    *((name, width) for width in (1, AT_ONCE) for name in (*OURS, HUB_BEAM, HUB_BEST)),
    *((name, 1) for name in (*ALONE, RSD, SPECS, SPECS_BEAM)),
)
"""Every method and number of solves at the same time."""


Solver = Callable[[Sequence[str]], list[Solved]]
"""Solves questions at the same time."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Questions that one method solved at the same time: their solves, and the requests of all by role and endpoint."""

    solves: Sequence[Solved]
    wall_s: float
    requests: Mapping[str, int]


def in_threads(solve: Callable[[str], Outcome], questions: Sequence[str]) -> list[Solved]:
    """Solve questions at the same time, each in a thread; the caller counts requests."""
    with ThreadPoolExecutor(len(questions)) as pool:
        return list(pool.map(partial(timed, solve, Counter[str]()), questions))


def turn(solver: Solver, sent: Counter[str], questions: Sequence[str]) -> Turn:
    """The solves of some questions at the same time, whose requests `sent` counts."""
    sent.clear()
    solves = solver(questions)
    return Turn(solves, max(one.latency_s for one in solves), dict(sent))


def measured(
    solvers: Mapping[str, Solver],
    widths: Mapping[str, Sequence[int]],
    runs: Sequence[Sequence[WordProblem]],
    sent: Counter[str],
    reset: Callable[[], None],
    seed: int,
) -> dict[tuple[str, int], list[Turn]]:
    """The turns of every method and number of solves at the same time, in the order of the problems.

    Args:
        widths: for each method, the numbers of solves at the same time.
        runs: the problems of each run.
        reset: called before each turn.
        seed: of the order of the methods.
    """
    rng = random.Random(seed)
    found = {(name, width): list[Turn]() for name in solvers for width in widths[name]}
    for run_idx, problems in enumerate(runs):
        for width in sorted({width for _, width in found}):
            for start in range(0, len(problems), width):
                questions = [problem.question for problem in problems[start : start + width]]
                taking_part = [name for name in solvers if width in widths[name]]
                for name in rng.sample(taking_part, len(taking_part)):
                    reset()
                    found[name, width].append(turn(solvers[name], sent, questions))
        print(f"run {run_idx + 1} of {len(runs)}", file=sys.stderr, flush=True)
    return found


def ratio(turns: Sequence[Turn], others: Sequence[Turn]) -> dict[str, float] | None:
    """Latency ratio of two methods over turns, by the mean of the solves that failed with neither; None without any."""
    pairs = list[tuple[float, float]]()
    for some, other in zip(turns, others, strict=True):
        solved = zip(some.solves, other.solves, strict=True)
        both = [(a.latency_s, b.latency_s) for a, b in solved if not (a.failure or b.failure)]
        if both:
            one, two = np.mean(both, 0).tolist()
            pairs.append((one, two))
    return {"turns": len(pairs), **paired(*zip(*pairs, strict=True))} if pairs else None


def summary(
    found: Mapping[tuple[str, int], Sequence[Turn]], way: tuple[str, int], problems: Sequence[WordProblem]
) -> dict[str, Any]:
    """Right and failed solves, latency, requests and throughput of one way, and its latency ratio."""
    solves = [one for some in found[way] for one in some.solves]
    done = [one.latency_s for one in solves if one.failure is None]
    sent = sum((Counter[str](some.requests) for some in found[way]), Counter[str]())
    pairs = zip(solves, problems, strict=True)
    right = [None if one.failure else correct(one.answer, problem.answer) is True for one, problem in pairs]
    row: dict[str, Any] = {
        "method": way[0], "at_a_time": way[1], "problems": len(solves), "right": right.count(True),
        "failed": right.count(None), "failures": dict(Counter(one.failure for one in solves if one.failure)),
        "mean_latency_s": round(float(np.mean(done)), 4) if done else None,
        "median_latency_s": round(float(np.median(done)), 4) if done else None,
        "solves_a_minute": round(60 * len(solves) / sum(some.wall_s for some in found[way]), 2),
        "requests_a_problem": round(sum(sent.values()) / len(solves), 1),
        "by_endpoint": {place: round(count / len(solves), 1) for place, count in sorted(sent.items())},
        "rows": {"right": right, "latency_s": [round(one.latency_s, 4) for one in solves]},
    }  # fmt: skip
    other = (COUNTERPART.get(way[0], ""), way[1])
    if other in found:
        row["counterpart"] = other[0]
        row["latency_to_counterpart"] = ratio(found[way], found[other])
    return row


def missing(args: argparse.Namespace) -> dict[str, str]:
    """Why methods cannot run; ends the program if a folder is not what it should be."""
    reasons = dict[str, str]()
    if find_spec("its_hub") is None:
        reasons |= dict.fromkeys((HUB_BEAM, HUB_BEST), "its_hub is not installed")
    if args.rsd is None:
        reasons |= dict.fromkeys(("rsd", RSD), "no `--rsd`")
    elif not (args.rsd / "main_online.py").is_file():
        raise SystemExit("--rsd is not a clone of github.com/BaohaoLiao/RSD: it lacks main_online.py")
    if args.specs is None:
        reasons |= dict.fromkeys(("specs-released", SPECS, SPECS_BEAM), "no `--specs`")
    elif not all(file.is_file() for file in code_files(args.specs)):
        raise SystemExit("--specs is not a clone of github.com/mert-cemri/SPECS: it lacks modules of src/sal")
    return reasons


def code_files(specs: Path) -> list[Path]:
    return [specs / "src" / "sal" / f"{name.replace('.', '/')}.py" for name in published.MODULES]


def solvers_of(
    urls: Mapping[str, str], args: argparse.Namespace, reasons: Mapping[str, str], sent: Counter[str], open_: ExitStack
) -> dict[str, Solver]:
    """The methods that can run, by name; `open_` closes what they need."""
    models, text = load(urls["draft"], urls["target"], urls["prm"]), HubText(BUNDLED / "target")
    assert models.prm is not None
    own = {name: method for name, method in {**OURS, **ALONE}.items() if name not in reasons}
    solvers: dict[str, Solver] = {
        name: partial(in_threads, partial(ours, models, method)) for name, method in own.items()
    }
    if HUB_BEAM not in reasons:
        open_.enter_context(counted_posts(urls, sent))
        with urlopen(f"{urls['target']}/v1/models") as answer:
            name = json.load(answer)["data"][0]["id"]
        problem = generate("hard", args.problem_seed)
        check_chat(urls["target"], name, models, text, problem.question, problem.solution.partition("\n\n")[0] + "\n\n")
        hub = ItsHub(urls["target"], name, models.prm)
        open_.callback(hub.close)
        solvers |= {HUB_BEAM: hub.beam, HUB_BEST: hub.best_of_n}
    if args.rsd is not None or args.specs is not None:
        prompts = Prompts(HubText(BUNDLED / "draft"))
        writers = connected(urls, models, prompts, sent)
        if args.rsd is not None:
            solvers[RSD] = partial(in_threads, Rsd(args.rsd, writers, models.prm, prompts).solve)
        if args.specs is not None:
            theirs = Published(args.specs, writers, models.prm, prompts, BETA)
            for row, name in ((SPECS, published.THEIRS), (SPECS_BEAM, published.THEIR_BEAM)):
                solvers[row] = partial(in_threads, partial(theirs.solve, name))
    return solvers


def versions(urls: Mapping[str, str], args: argparse.Namespace) -> dict[str, str | None]:
    """Versions of what ran beside this package, and digests of the code of `--rsd` and `--specs`."""
    found = dict[str, str | None]()
    for name in ("its_hub", "aiohttp", "openai"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    with urlopen(f"{urls['target']}/version") as answer:
        found["vllm"] = json.load(answer)["version"]
    for name, files in (("rsd", [] if args.rsd is None else [args.rsd / "main_online.py"]),
                        ("specs", [] if args.specs is None else code_files(args.specs))):  # fmt: skip
        joined = b"".join(file.read_bytes() for file in files)
        found[f"{name}_sha256"] = hashlib.sha256(joined).hexdigest() if files else None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rsd", type=Path, help="clone of github.com/BaohaoLiao/RSD")
    parser.add_argument("--specs", type=Path, help="clone of github.com/mert-cemri/SPECS")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=40, help=f"problems a run, a multiple of {AT_ONCE}")
    parser.add_argument("--tier", default="hard")
    parser.add_argument("--problem-seed", type=int, default=1_022_500)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="print the tables of this record and measure nothing")
    args = parser.parse_args()
    if args.table is not None:
        print(*table(json.loads(args.table.read_text())), sep="\n")
        return
    if args.limit % AT_ONCE or args.runs * args.limit < 2 * AT_ONCE:
        raise SystemExit(f"--limit must be a multiple of {AT_ONCE}, and all runs together need at least {2 * AT_ONCE}")
    reasons, sent = missing(args), Counter[str]()
    seeds = range(args.problem_seed, args.problem_seed + args.runs * args.limit)
    problems = [generate(args.tier, seed) for seed in seeds]
    runs = [problems[start : start + args.limit] for start in range(0, len(problems), args.limit)]
    with ExitStack() as open_:
        urls = open_.enter_context(serving())
        open_.enter_context(patch.object(Client, "post", counted(urls, sent)))
        solvers = solvers_of(urls, args, reasons, sent, open_)
        widths = {name: [width for other, width in ROWS if other == name] for name in solvers}
        for name, solver in solvers.items():
            for width in widths[name]:
                warm = [generate(args.tier, args.problem_seed + WARM_UP + k).question for k in range(width)]
                if failures := [one.failure for one in solver(warm) if one.failure]:
                    raise SystemExit(f"{name} failed on a problem that does not count: {failures[0]}")
        found = measured(solvers, widths, runs, sent, partial(forget, urls), args.problem_seed)
        record: dict[str, Any] = {"environment": environment(), "versions": versions(urls, args)}
    record |= {name: getattr(args, name) for name in ("tier", "problem_seed", "runs", "limit")}
    record |= {"n": N, "beta": BETA}
    record["rows"] = [
        summary(found, way, problems) if way in found
        else {"method": way[0], "at_a_time": way[1], "not_run": reasons[way[0]]} for way in ROWS
    ]  # fmt: skip
    record["bars"] = [judged(bar, record["rows"]) for bar in BARS]
    print(*table(record), sep="\n")
    finish(record, args.out)


if __name__ == "__main__":
    main()
