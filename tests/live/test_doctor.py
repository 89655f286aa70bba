"""`specs doctor` on real servers: no hints where every feature is on, and the right hints where it is off."""

from specs.deploy.doctor import Severity, diagnose
from specs.engines.folders import BUNDLED
from specs.types import Role, SamplingParams


def test_servers_with_everything_switched_on_need_nothing(servers):
    found = list(diagnose({Role(role): server.url for role, server in servers.items()}, SamplingParams(0.7)))
    assert {finding.state for finding in found} == {Severity.OK}, found
    cached = [finding.text for finding in found if "from its cache" in finding.text]
    assert [text.partition("ms, ")[2] for text in cached] == ["64 of them from its cache"] * 2  # two blocks of three
    assert any("scores candidates after a cached prefix (the plugin of specs-llm)" in finding.text for finding in found)


def test_doctor_tells_how_to_start_a_server_without_our_flags(servers, start):
    bare = start("target", "--no-enable-prefix-caching", "--no-enable-scale-out", VLLM_PLUGINS="none")
    found = list(
        diagnose(
            {Role.DRAFT: servers["draft"].url, Role.TARGET: bare.url},
            SamplingParams(0.7),
            tokenizer=str(BUNDLED / "target"),
        )
    )
    hints = " ".join(finding.text for finding in found if (finding.role, finding.state) == (Role.TARGET, Severity.HINT))
    for mend in ("--no-enable-prefix-caching", "install this version of specs-llm", "processed_logprobs"):
        assert mend in hints
    (problem,) = (finding for finding in found if finding.state is Severity.PROBLEM)
    assert problem.role is None
    assert "their ratio means nothing" in problem.text
