"""Options that several commands share, and how they become models and methods."""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any, NoReturn, get_args

from specs import api
from specs.config import Limits, configure
from specs.config.presets import LAW, Preset
from specs.config.solve_config import MAX_STEP_TOKENS, TEMPERATURE
from specs.core.selection import RewardAs
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.eval.grid import GridPoint
from specs.methods import Method, settings_of
from specs.methods.registry import make_with, options_of
from specs.methods.specs import Specs, SwitchOn
from specs.methods.speculation import TOKENS
from specs.rewards.families import FAMILIES
from specs.types import Law


class Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see '{self.prog} --help'")


def count(text: str) -> int:
    """A whole number of at least 1."""
    value = _number(text, int, "a whole number")
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small; give at least 1")
    return value


def counts(text: str) -> list[int]:
    """Whole numbers of at least 1, parted by commas."""
    return [count(part) for part in text.split(",")]


def above_zero(text: str) -> float:
    """A finite number above 0."""
    value = _number(text, float, "a number")
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number above 0")
    return value


def not_negative(text: str) -> float:
    """A finite number of at least 0."""
    value = _number(text, float, "a number")
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number of at least 0")
    return value


def share(text: str) -> float:
    """A number in [0, 1]."""
    value = _number(text, float, "a number")
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number from 0 to 1")
    return value


def part(text: str) -> float:
    """A number in (0, 1]."""
    if not (value := share(text)):
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number above 0")
    return value


def _number(text: str, kind: type, what: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None


def add_models(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("models")
    group.add_argument("--models", choices=["bundled"], default="bundled", help="a set of models (default: bundled)")
    for role in ("draft", "target", "prm"):
        places = "a folder, a hub id, a GGUF file or http://host:port"
        group.add_argument(f"--{role}", metavar="MODEL", help=f"{role} model: {places}")
    group.add_argument("--draft-system", metavar="TEXT", help="system prompt of the draft")
    group.add_argument("--target-system", metavar="TEXT", help="system prompt of the target")
    group.add_argument("--tokenizer", metavar="MODEL", help="of models on servers: a folder or a hub id that has it")
    group.add_argument(
        "--timeout", type=above_zero, default=120.0, metavar="SECONDS", help="of one request (default: %(default)g)"
    )
    add_engine(group)
    group.add_argument(
        "--allow-text-scoring",
        action="store_true",
        help="let a draft and a target of different vocabularies meet through text (inexact)",
    )


def add_engine(group: argparse._ActionsContainer) -> None:
    """How a PRM is read and where models run."""
    group.add_argument(
        "--prm-format",
        choices=["auto", *FAMILIES],
        default="auto",
        help="how the PRM reads a trace; auto: as its architecture or its published name tells",
    )
    group.add_argument(
        "--engine",
        choices=["auto", "light", "torch"],
        default="auto",
        help="of folders: light runs small Llama and Qwen2 models without torch; auto: light for the bundled models",
    )
    group.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="of the torch engine and of llama.cpp"
    )
    group.add_argument("--dtype", choices=["auto", "fp32", "bf16", "fp16"], default="auto", help="of the torch engine")


def add_method(parser: argparse.ArgumentParser, several_n: bool = False) -> None:
    parser.add_argument(
        "--preset", type=Preset.of, metavar="FILE", help="what 'specs calibrate' wrote; options given here come first"
    )
    group = parser.add_argument_group("method", "Defaults are those of specs; other methods have their own.")
    add_options(group, several_n)
    add_sampling(parser)


def add_sampling(parser: argparse.ArgumentParser) -> None:
    law = parser.add_argument_group("sampling and limits")
    add_law(law)
    law.add_argument("--seed", type=int, default=0, help="of sampling (default: %(default)s)")
    law.add_argument("--max-steps", type=count, default=32, help="(default: %(default)s)")
    law.add_argument("--max-step-tokens", type=count, help=f"(default: {MAX_STEP_TOKENS})")
    law.add_argument(
        "--enough", type=part, default=1.0, metavar="SHARE",
        help="cut off candidates longer than this share of them, in process (default: none)",
    )  # fmt: skip
    law.add_argument("--max-tokens", type=count, default=2048, help="of the whole answer (default: %(default)s)")
    law.add_argument("--deadline", type=above_zero, metavar="SECONDS", help="plan for an answer by then")


def add_law(group: argparse._ActionsContainer) -> None:
    """What steps are sampled from."""
    group.add_argument("--temperature", type=not_negative, help=f"(default: {TEMPERATURE})")
    group.add_argument("--top-p", type=share, help="nucleus (default: 1.0)")


def add_options(group: argparse._ActionsContainer, several_n: bool = False) -> None:
    """The options of methods, which `given_options` reads."""
    default = Specs()
    if several_n:
        group.add_argument("--n", type=counts, metavar="A,B,...", help=f"candidates a step ({default.n})")
    else:
        group.add_argument("--n", type=count, help=f"candidates a step ({default.n})")
    group.add_argument("--beta", type=above_zero, help=f"inverse temperature of verification ({default.beta})")
    group.add_argument("--tau", type=share, help=f"reward from which a draft step is good enough ({default.tau})")
    group.add_argument(
        "--switch-on",
        choices=get_args(SwitchOn),
        help="tau is for the reward of the trace, for its share that the step kept, or for that share "
        f"plus (log p - log q) / beta ({default.switch_on})",
    )
    group.add_argument("--start", choices=["target", "draft"], help=f"writer of the first step ({default.start})")
    group.add_argument(
        "--deferral",
        choices=["next", "rewrite"],
        help=f"after a low reward the target writes the next step, or this one again ({default.deferral})",
    )
    group.add_argument("--select", choices=["soft", "best"], help=f"draw or argmax ({default.select})")
    group.add_argument("--score", choices=["tilted", "raw"], help=f"with or without the log-ratio ({default.score})")
    group.add_argument(
        "--reward-as", choices=list(RewardAs.__args__), help=f"what beta multiplies ({default.reward_as})"
    )
    group.add_argument(
        "--hopeless", type=above_zero, metavar="NATS",
        help="candidates whose beta times reward lies so far below the best are not scored by the target (off)",
    )  # fmt: skip
    group.add_argument("--width", type=count, help="of beam and dvts: traces side by side, divides n (1; dvts 2)")
    group.add_argument("--threshold", type=float, help="of gsi: tilted reward from which a draft step stays (0.5)")
    group.add_argument(
        "--fast", type=int, choices=[0, 1, 2], help="of ssr: end once so many complete tracks agree (0: all)"
    )
    group.add_argument(
        "--speculate", type=count, metavar="TOKENS", help=f"of NAME+speculation: tokens proposed at a time ({TOKENS})"
    )
    group.add_argument("--draft-share", type=share, help="of random-switch: how often the draft writes (default: 0.5)")


def add_cells(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--methods",
        default="specs,beam,target,draft",
        metavar="A,B,...",
        help="method names, each with options of its own if it has any: specs,specs:tau=0.7:start=draft,beam "
        "(default: %(default)s)",
    )


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """What the options of `add_options` say; None where nothing was given."""
    names = (
        "n beta tau switch_on start deferral select score reward_as hopeless width threshold fast speculate draft_share"
    )
    return {name: getattr(args, name) for name in names.split()}


def method_of(args: argparse.Namespace, name: str, **own: Any) -> tuple[Method, Law, Limits]:
    """The method called `name`: its `own` options come before those of the command line, these before a preset's."""
    options = given_options(args)
    if name != "random-switch":
        options["draft_share"] = None
    options |= own
    if args.preset and args.preset.method == name:
        options = args.preset.options | {key: value for key, value in options.items() if value is not None}
    law, limits = law_of(args)
    method = make_with(name, {option: value for option, value in options.items() if value is not None})
    if law.temperature == 0 and (n := settings_of(method).get("n", 1)) > 1:
        raise InputError(f"--temperature 0 makes all {n} candidates equal; raise it, or use --n 1 or --method target")
    return method, law, limits


def law_of(args: argparse.Namespace) -> tuple[Law, Limits]:
    """The law and the limits: what is given, else the preset's, else the default."""
    given = {name: getattr(args, name) for name in LAW if getattr(args, name) is not None}
    law = {**(args.preset.law if args.preset else {}), **given}
    limits = {"max_steps": args.max_steps, "max_tokens": args.max_tokens, "deadline_s": args.deadline}
    config = configure(**limits, **law, enough=args.enough)
    return config.sampling, config.limits


def cells_of(args: argparse.Namespace) -> tuple[list[GridPoint], Law, Limits]:
    """What `--methods` and the options ask for: each method once for every n, or once if it has no n."""
    cells: dict[tuple[str, int | None], GridPoint] = {}
    configured = []
    widths = args.n if isinstance(args.n, list) else [args.n]
    for text in args.methods.split(","):
        name, *changes = text.strip().split(":")
        own = _own(name, changes)
        label = " ".join([name, *(f"{key.replace('_', '-')}={value}" for key, value in own.items() if key != "n")])
        new: dict[tuple[str, int | None], GridPoint] = {}
        for n in [own["n"]] if "n" in own else widths:
            configured.append(method_of(args, name, **{**own, "n": n}))
            cell = GridPoint(label, configured[-1][0])
            new[cell.setting.key] = cell
        if cells.keys() & new.keys():
            raise InputError(f"--methods {args.methods}: name each method once; {text.strip()} is there twice")
        cells |= new
    if args.preset and args.preset.method not in (cell.method.name for cell in cells.values()):
        raise InputError(f"the preset is for {args.preset.method}, which --methods {args.methods} does not name")
    return list(cells.values()), *configured[0][1:]


def _own(name: str, changes: list[str]) -> dict[str, Any]:
    """Options that `--methods` gives to one method, `key=value` each, read as the command line reads its own."""
    parser = Parser(prog="specs solve", add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    add_options(parser)
    found = vars(parser.parse_args([f"--{change.replace('_', '-')}" for change in changes]))
    if foreign := sorted(found.keys() - options_of(name)):
        raise InputError(f"method {name} has no option {', '.join(foreign)}; see 'specs solve --help'")
    return found


def names_of(args: argparse.Namespace, methods: list[Method]) -> dict[str, str]:
    """The models that the methods need by role; roles that nobody named are the bundled ones.

    Naming one's own draft or target and leaving the other to the bundled trio makes no sense,
    so naming any model means naming all that are needed.
    """
    needed = {str(role) for method in methods for role in method.roles}
    given: dict[str, Any] = {role: getattr(args, role) for role in ("draft", "target", "prm")}
    if any(given.values()):
        if missing := [role for role in ("draft", "target", "prm") if role in needed and not given[role]]:
            raise InputError(f"{', '.join(m.name for m in methods)} also needs --{' and --'.join(missing)}")
    else:
        given = dict.fromkeys(given, args.models)
    return {role: name for role, name in given.items() if role in needed}


def models_of(args: argparse.Namespace, methods: list[Method]) -> Models:
    """Load the models that the methods need; says so where a preset was made with others."""
    names = names_of(args, methods)
    if args.preset is not None and (foreign := args.preset.foreign(names)):
        print(f"specs: the preset was made with other models ({', '.join(foreign)})", file=sys.stderr)
    return api.load(**dict.fromkeys(("draft", "target", "prm")) | names, **loading_of(args))


def loading_of(args: argparse.Namespace) -> dict[str, Any]:
    """How models are loaded, as `add_models` asks it."""
    return {
        "engine": args.engine,
        "device": args.device,
        "dtype": args.dtype,
        "allow_text_scoring": args.allow_text_scoring,
        "draft_system": args.draft_system,
        "target_system": args.target_system,
        "tokenizer": args.tokenizer,
        "timeout_s": args.timeout,
        "prm_format": args.prm_format,
    }
