"""docs/server.md lists clients in the versions that scripts/clients-environment installs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| \[([a-z-]+)\]\(https://[^)]+\) \| ([0-9.]+) \|", re.MULTILINE)


def test_the_table_of_clients_has_the_versions_of_the_lock():
    locked = dict(re.findall(r"^([a-z-]+)==(\S+)$", (ROOT / "constraints-clients.txt").read_text(), re.MULTILINE))
    wanted = re.findall(r"^([a-z-]+)[\[>]", (ROOT / "scripts/clients.in").read_text(), re.MULTILINE)
    assert len(wanted) == 6
    assert dict(ROW.findall((ROOT / "docs/server.md").read_text())) == {name: locked[name] for name in wanted}
