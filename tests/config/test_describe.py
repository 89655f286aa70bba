"""Descriptions of methods: what lists of them show."""

from specs.config.describe import describe
from specs.methods.registry import GROUPS, NAMES, SPECULATING


def test_every_method_is_in_one_group_and_has_a_line_of_description():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(NAMES)
    for name in (*NAMES, *SPECULATING):
        found = describe(name)
        assert name.removesuffix("+speculation") in GROUPS[found.group]
        assert 20 < len(found.summary) <= 90
