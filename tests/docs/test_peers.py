"""docs/peers.md quotes research/records/peers.json: its tables are those that the benchmark prints.

python -m research.benchmarks.peers --table research/records/peers.json       prints them
"""

import json
from pathlib import Path

from research.benchmarks.peer_report import table

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "research/records/peers.json"


def test_the_tables_of_the_page_are_those_of_the_record():
    """Without a record, the page has no tables of results."""
    _, _, section = (ROOT / "docs/peers.md").read_text().partition("\n## Run beside them\n")
    assert section
    wanted = table(json.loads(RECORD.read_text())) if RECORD.exists() else []
    found = [line for line in section.splitlines() if line.startswith("|")]
    assert found == [line for line in wanted if line]
