"""`specs doctor`: are the models there, do they fit together, and what would make them faster?

Loads each model, or asks its server, as `specs solve` would with the same options, and solves one
step with them. Exit code 1 if something is wrong; hints are not. `specs plan` says which GPUs models
fit on.
"""

from __future__ import annotations

import argparse
import json

from specs.cli.options import add_law, add_models, loading_of
from specs.config.solve_config import TEMPERATURE
from specs.deploy.doctor import Finding, Severity, diagnose
from specs.types import Law, Role

MARKS = {Severity.OK: "ok     ", Severity.HINT: "hint   ", Severity.PROBLEM: "PROBLEM"}


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("doctor", help="are the models there, and well set up", description=__doc__)
    add_models(parser)
    add_law(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    law = Law(TEMPERATURE if args.temperature is None else args.temperature, args.top_p or 1.0)
    whole_set: str = args.models
    given = {role: name for role in Role if (name := getattr(args, role))} or dict.fromkeys(Role, whole_set)
    found: list[Finding] = []
    for finding in diagnose(given, law, **loading_of(args)):
        found.append(finding)
        if not args.json:
            print(f"{MARKS[finding.state]}  {finding.role or 'both':<6}  {finding.text}", flush=True)
    sound = all(finding.state is not Severity.PROBLEM for finding in found)
    if args.json:
        findings = [{"role": one.role, "state": one.state, "text": one.text} for one in found]
        print(json.dumps({"sound": sound, "findings": findings}))
    return 0 if sound else 1
