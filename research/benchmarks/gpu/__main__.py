"""Check and measure the torch engine on a GPU; records go to runs/gpu, and also to $OUT if that is set.

Parts, the most important first: facts (the GPU and its best rates), laws (tests, solves token for token, rounding),
passes (single passes of each model), suite (steps and solves), torch (comparison with transformers used directly).
Every point is saved as soon as it is measured. The same command continues from there, also on another machine with a
copy of runs/gpu. At the end it prints predictions and measurements side by side.

With --dry-run everything runs on a CPU at tiny sizes, from the start, to test that it runs; the numbers mean nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from research.benchmarks.gpu import direct, facts, laws, passes, steps
from research.benchmarks.gpu.act import Act, Broken, Late, Point
from research.benchmarks.gpu.predictions import PARTS, lines, measured_on, read
from specs.cli.main import reported
from specs.engines.local.torch.loading import device_of

POINTS: dict[str, Callable[[Act], Iterable[Point]]] = dict(
    zip(PARTS, (facts.points, laws.points, passes.points, steps.points, direct.points), strict=True)
)
RELEASE = {"passes": passes.release, "suite": lambda: steps.release("torch")}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="+", choices=[*PARTS, "all"])
    parser.add_argument("--device", help="default: cuda, and cpu with --dry-run")
    parser.add_argument(
        "--minutes", type=float, default=8.5, help="time limit; no point starts that may exceed it (default: 8.5)"
    )
    parser.add_argument("--out", type=Path, help="default: runs/gpu, and runs/gpu-dry-run with --dry-run")
    parser.add_argument("--dry-run", action="store_true", help="on a CPU, at tiny sizes")
    args = parser.parse_args()
    begun = time.monotonic()
    out = args.out or Path("runs/gpu-dry-run" if args.dry_run else "runs/gpu")
    if args.dry_run and not args.out:
        shutil.rmtree(out, ignore_errors=True)
    also = [] if args.dry_run or not os.environ.get("OUT") else [Path(os.environ["OUT"])]
    device = args.device or ("cpu" if args.dry_run else "cuda")
    act = Act((out, *also), device, args.dry_run, begun + 60 * args.minutes)
    try:
        if device_of(device).type == "cpu" and not args.dry_run:
            parser.error("a CPU takes --dry-run")
        whole = [run(act, part) for part in (PARTS if "all" in args.part else dict.fromkeys(args.part))]
    except Late as late:
        print(f"time is up; run the same command again to continue: {late}", file=sys.stderr)
        whole = [False]
    except Broken as error:
        print(f"CUDA is unusable in this process; run the same command again to continue: {error}", file=sys.stderr)
        whole = [False]
    print(f"\nrecords in {', '.join(map(str, act.folders))}; {time.monotonic() - begun:.0f} s\n")
    print(f"{measured_on(out)}\n")
    if args.dry_run:
        print("This was a dry run: the numbers below mean nothing.\n")
    print("\n".join(lines(read(out))))
    return 0 if all(whole) else 1


def run(act: Act, part: str) -> bool:
    try:
        return act.run(part, POINTS[part](act))
    finally:
        RELEASE.get(part, lambda: None)()


if __name__ == "__main__":
    sys.exit(reported(main))
