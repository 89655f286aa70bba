"""`specs serve`: an OpenAI-compatible server, and a page to watch solves.

Every method is a model name: `specs`, `specs-fast`, `beam`, `best-of-n`, ... API keys come from
SPECS_SERVER_KEYS (separated by commas) or a file.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from specs import api
from specs.cli.options import (
    LOADING,
    add_early_exit,
    add_models,
    add_settings,
    add_temperature,
    given_models,
    loading_of,
    setting,
)
from specs.cli.parsing import above_zero, count, not_negative
from specs.config import Limits, configure
from specs.config.presets import FILTERS, LAW, Preset
from specs.config.text import early_exit_from_text
from specs.decoding.closing import thinking_of
from specs.decoding.threads import in_process
from specs.engines.protocol import Models
from specs.errors import InputError, install_command
from specs.methods import candidates_of
from specs.methods.registry import make
from specs.types import Role

LOOPBACK = ("127.0.0.1", "localhost", "::1")
IN_PROCESS, ON_SERVERS = 1, 64
"""Solves at a time: models in this process take the whole machine, those on servers share theirs."""


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("serve", help="serve an OpenAI-compatible API and a page", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="port; 0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--preset", type=Path, action="append", default=[], metavar="FILE",
        help="repeatable: a file from 'specs calibrate', served under the file's name",
    )  # fmt: skip
    line = parser.add_argument_group("load")
    line.add_argument(
        "--concurrency", type=count, metavar="SOLVES",
        help=f"solves at a time (default: {IN_PROCESS} in this process, {ON_SERVERS} on servers)",
    )  # fmt: skip
    line.add_argument(
        "--queue",
        type=_room,
        default=32,
        metavar="SOLVES",
        help="solves that may wait; further requests get 429 (default: %(default)s)",
    )
    line.add_argument(
        "--rate", type=above_zero, metavar="REQUESTS", help="most requests per client and minute (default: no limit)"
    )
    line.add_argument(
        "--grace", type=not_negative, default=30.0, metavar="SECONDS",
        help="time for running solves to end when the server stops (default: %(default)g)",
    )  # fmt: skip
    caps = parser.add_argument_group("defaults and limits of a request")
    add_temperature(caps)
    caps.add_argument(
        "--max-tokens",
        type=count,
        default=2048,
        metavar="TOKENS",
        help="most tokens of an answer, thinking apart; requests for more get this many (default: %(default)s)",
    )
    caps.add_argument(
        "--think", action="store_true",
        help="models think before they answer, unless a request says otherwise (default: only if a request says so)",
    )  # fmt: skip
    caps.add_argument(
        "--thinking-tokens", type=count, default=Limits().max_thinking_tokens, metavar="TOKENS",
        help="most tokens of thinking; requests for more get this many (default: %(default)s)",
    )  # fmt: skip
    add_early_exit(caps, " (of every request that thinks)")
    caps.add_argument(
        "--max-n", type=count, default=64, metavar="N", help="most candidates a step (default: %(default)s)"
    )
    caps.add_argument(
        "--max-bytes", type=count, default=1 << 20, metavar="BYTES",
        help="most bytes of a request's body (default: %(default)s)",
    )  # fmt: skip
    caps.add_argument(
        "--ignore-unknown", action="store_true",
        help="ignore request fields that the server does not know, and name them in the answer, instead of refusing",
    )  # fmt: skip
    add_settings(caps, ("top_p", *FILTERS, "max_step_tokens", *LOADING))
    guard = parser.add_argument_group("access and log")
    guard.add_argument("--api-key-file", type=Path, metavar="FILE", help="API keys, one per line")
    guard.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="repeatable: a host name that clients may use for this server (default: its address; * for any)",
    )  # fmt: skip
    guard.add_argument("--log-prompts", action="store_true", help="write questions and answers to the log")
    add_models(parser)
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give one from 0 to 65535")
    return int(text)


def _room(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def run(args: argparse.Namespace) -> int:
    try:
        from specs.server.access_log import log_event, start_event_log
        from specs.server.app import ServerSettings, create_app
        from specs.server.jobs import JobRunner
        from specs.server.lifecycle import bind, serve
        from specs.server.metrics import Metrics
        from specs.server.middleware import AccessRules
        from specs.server.model_catalog import build_catalog, default_model
        from specs.server.queue import SolveQueue
        from specs.server.request_parsing import RequestLimits
    except ModuleNotFoundError as error:
        raise InputError(f"specs serve needs {error.name}: {install_command('serve')}") from None
    rules = AccessRules(_keys(args.api_key_file), args.rate, args.max_bytes)
    given = {"temperature": args.temperature, **dict(args.settings)}
    law = {name: given[name] for name in (*LAW, *FILTERS) if given.get(name) is not None}
    drawn = configure(**law).sampling
    limits = RequestLimits(
        args.max_n, args.max_tokens, max(1024, setting(args, "max_step_tokens", 0)), law, args.ignore_unknown,
        args.think, args.thinking_tokens, args.early_exit and early_exit_from_text(args.early_exit),
    )  # fmt: skip
    presets = {path.stem: Preset.of(path) for path in args.preset}
    with bind(args.host, args.port) as listening:
        models = _models(args)
        offered = build_catalog(models, presets)
        for name, offer in offered.items():
            if candidates_of(make(offer.method, **offer.options)) > limits.n:
                raise InputError(f"--max-n {limits.n} is less than {name} needs; raise it")
        if args.think:
            usual = offered[default_model(offered, thinks=True)]
            thinking_of(models, make(usual.method, **usual.options), configure(**law, think=True).sampling)
        queue = SolveQueue(args.concurrency or (IN_PROCESS if in_process(models) else ON_SERVERS), args.queue)
        runner = JobRunner(models, queue, Metrics(queue))
        start_event_log()
        first = next(iter(offered.values()))
        runner.solve_trial_question(make(first.method, **first.options), drawn)
        app = create_app(runner, offered, ServerSettings(rules, limits, _hosts(args), args.log_prompts))
        host, port = listening.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        if args.host not in LOOPBACK and not rules.keys:
            print(f"specs: others can use {args.host} without an API key; see --api-key-file", file=sys.stderr)
        print(f"specs: {url} is the page, {url}/v1 the API (models: {', '.join(offered)})", file=sys.stderr)
        log_event("started", url=url, concurrency=queue.max_running, queue=queue.max_waiting)
        serve(app, runner, listening, args.grace)
    return 0


def _keys(path: Path | None) -> tuple[str, ...]:
    """The API keys from the file, or without one from SPECS_SERVER_KEYS."""
    from specs.server.middleware import parse_keys

    if path is None:
        if (given := os.environ.get("SPECS_SERVER_KEYS")) is None:
            return ()
        if not (keys := parse_keys(given.replace(",", "\n"))):
            raise InputError(
                "SPECS_SERVER_KEYS is set but holds no key, so everybody could get in; unset it or add a key"
            )
        return keys
    try:
        keys = parse_keys(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--api-key-file {path} cannot be read ({error})") from None
    if not keys:
        raise InputError(f"--api-key-file {path} holds no key; write one per line")
    return keys


def _models(args: argparse.Namespace) -> Models:
    """The named models, or the bundled ones if none is named. Without a PRM, for example, some methods are missing."""
    given = given_models(args)
    names: dict[str, Any] = {str(role): given.get(role) if given else "bundled" for role in Role}
    return api.load(**names, **loading_of(args))


def _hosts(args: argparse.Namespace) -> tuple[str, ...]:
    """Host names that the Host header may have; this protects a server on this machine from pages of other sites."""
    if args.allow_host:
        return tuple(args.allow_host)
    return ("localhost", "127.0.0.1", "[::1]") if args.host in LOOPBACK else ("*",)
