"""Lists the kernels of two passes of the target: one token of each candidate, and scoring all candidates. JSON last.

    python -m research.benchmarks.gpu.profile DEVICE PREFIX [--dry-run]

This is a program of its own, because a profiler stays in its process and makes later passes slower.
"""

from __future__ import annotations

import argparse
import json

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from research.benchmarks.gpu.act import Found
from research.benchmarks.gpu.passes import CANDIDATES, SCORED, model, prepared
from research.benchmarks.gpu.timing import wait
from specs.types import Role

RUNS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device")
    parser.add_argument("prefix", type=int)
    parser.add_argument("--dry-run", action="store_true")
    args = parser.parse_args()
    gpu = torch.device(args.device).type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    backend = model(Role.TARGET, args.device, args.dry_run)
    found: Found = {"runs": RUNS}
    for tokens, own in ((CANDIDATES, backend), (16 if args.dry_run else SCORED, backend.unrecorded())):
        run, back, _ = prepared(own, args.prefix, tokens)
        for _ in range(2):
            run()
            back()
        wait(args.device)
        with profile(activities=activities) as seen:
            for _ in range(RUNS):
                run()
                back()
            wait(args.device)
        kernels = [
            (event.key, event.count / RUNS, (event.self_device_time_total if gpu else event.self_cpu_time_total) / RUNS)
            for event in seen.key_averages()
            if (event.device_type == DeviceType.CUDA) == gpu and not event.key.startswith(("Memcpy", "Memset"))
        ]
        kernels.sort(key=lambda one: -one[2])
        found[f"{tokens} tokens"] = {
            "kernels": round(sum(count for _, count, _ in kernels), 1),
            "us": round(sum(us for _, _, us in kernels), 1),
            "top": [{"name": name[:120], "count": count, "us": round(us, 1)} for name, count, us in kernels[:30]],
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
