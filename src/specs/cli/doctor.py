"""`specs doctor`: check that models load and fit together, and say what would make them faster.

Loads each model, or asks its server, as `specs solve` would with the same options, and solves one step with
them. Exit code 1 if there is a problem; hints do not count. If `--prm MODEL` is the only model and runs in this
process, it checks that model closely: how it reads a trace, its rewards for known solutions, and whether the laws
of its format hold. `specs launch --dry-run` says which GPUs models fit on.
"""

from __future__ import annotations

import argparse
import json
from typing import cast

from specs import api
from specs.cli import prm_table
from specs.cli.options import LOADING, add_models, add_settings, add_temperature, given_models, loading_of, sampling_of
from specs.config.presets import FILTERS
from specs.deploy.doctor import Finding, Severity, diagnose
from specs.engines.local.models import LocalReward
from specs.eval.check_prm import check
from specs.types import Role

MARKS = {Severity.OK: "ok     ", Severity.HINT: "hint   ", Severity.PROBLEM: "PROBLEM"}


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("doctor", help="check that models load and are set up well", description=__doc__)
    add_models(parser)
    add_temperature(parser)
    add_settings(parser, ("top_p", *FILTERS, *LOADING))
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    given = {Role(role): name for role, name in given_models(args).items()}
    sampling = sampling_of(args)[0]
    if list(given) == [Role.PRM] and not given[Role.PRM].startswith(("http://", "https://")):
        return _check_prm(args, given[Role.PRM])
    found: list[Finding] = []
    for finding in diagnose(given or dict.fromkeys(Role, "bundled"), sampling, **loading_of(args)):
        found.append(finding)
        if not args.json:
            print(f"{MARKS[finding.state]}  {finding.role or 'both':<6}  {finding.text}", flush=True)
    sound = all(finding.state is not Severity.PROBLEM for finding in found)
    if args.json:
        findings = [{"role": one.role, "state": one.state, "text": one.text} for one in found]
        print(json.dumps({"sound": sound, "findings": findings}))
    return 0 if sound else 1


def _check_prm(args: argparse.Namespace, name: str) -> int:
    prm = cast(LocalReward, api.load(None, None, name, **loading_of(args)).prm)
    found = check(prm)
    print(json.dumps(prm_table.record(prm, found), ensure_ascii=False) if args.json else prm_table.screen(prm, found))
    return 0 if found.passed else 1
