"""Records the files beside this script: solves that must stay the same while the code changes.

    python tests/golden/v2/record.py

    tabular.jsonl.gz    every method, and `specs` with each of its options, on exact models (tests/helpers/toy.py)
    bundled.jsonl.gz    the same methods on a question of bundled:hard, with the bundled models
    deadlines.jsonl.gz  `specs` with deadlines, on a clock that advances only with passes of tabular models

Measured values are left out. `test_v2.py` solves everything again.
"""

import gzip
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def main():
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    from golden import cases

    for name, results in (("tabular", cases.tabular()), ("bundled", cases.bundled()), ("deadlines", cases.deadlines())):
        lines = [json.dumps(result, ensure_ascii=False) + "\n" for result in results]
        (HERE / f"{name}.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


if __name__ == "__main__":
    main()
