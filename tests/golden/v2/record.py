"""The script that made the files beside it: solves that have to stay as they are while the code around them changes.

    python tests/golden/v2/record.py

    tabular.jsonl.gz    every method, and `specs` with each of its options, on exact models (tests/helpers/toy.py)
    bundled.jsonl.gz    the same on a question of bundled:hard, the bundled models
    deadlines.jsonl.gz  `specs` against a clock that only passes of tabular models move

Results are without what is measured. `test_v2.py` solves all of it again.
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
