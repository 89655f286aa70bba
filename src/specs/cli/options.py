"""Options that several commands share, and how they become models and methods."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any, Literal, cast, get_args, get_type_hints

from specs import api
from specs.cli.parsing import above_zero, count, counts, not_negative
from specs.config import Limits, configure
from specs.config.presets import FILTERS, Preset
from specs.config.solve_config import TEMPERATURE
from specs.config.text import (
    UNREADABLE,
    assignment_from_text,
    early_exit_from_text,
    method_from_text,
    text_of,
    value_from_text,
)
from specs.engines.loading import Dtype, Engine
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.eval.grid import GridPoint
from specs.methods import Method, candidates_of
from specs.methods.early_exit import RULES, EarlyExit
from specs.methods.registry import make, options_of
from specs.rewards.families import FAMILIES
from specs.types import Role, SamplingParams
from specs.types.checks import above, check_names, check_value

SAMPLING = ("top_p", *FILTERS, "max_steps", "max_step_tokens", "max_thinking_step_tokens", "delimiter")
LOADING = ("draft_system", "target_system", "tokenizer", "timeout", "allow_text_scoring", "prm_format")
ALL = (*SAMPLING, *LOADING)
"""Names that `--set` may know."""
_OWN_FLAGS = ("n", "temperature", "seed", "max_tokens", "think", "thinking_tokens", "deadline")
METHODS, THINKING_METHODS = "specs,beam,target,draft", "specreason,prm-free,target,draft"
"""The methods of `specs eval` without `--methods`."""
_MODELS = {
    Role.DRAFT: "the draft: a folder, a hub id, a GGUF file or http://host:port",
    Role.TARGET: "the target, likewise",
    Role.PRM: "the process reward model, likewise",
}
_KINDS: dict[str, Any] = {**get_type_hints(configure), **get_type_hints(api.load), "timeout": float}


def add_settings(group: argparse._ActionsContainer, names: tuple[str, ...] = ALL) -> None:
    """`--set`, for options that are rarely needed."""
    group.add_argument(
        "--set", type=partial(_setting, names=names), action="append", default=[], dest="settings",
        metavar="NAME=VALUE", help=f"a rare setting; repeatable: {', '.join(names)}",
    )  # fmt: skip


def _setting(text: str, names: tuple[str, ...]) -> tuple[str, Any]:
    """A setting and its value, checked."""
    name, value = assignment_from_text(text)
    if name in _OWN_FLAGS:
        raise InputError(f"--set {name}: {name} has a flag of its own, --{name.replace('_', '-')}")
    check_names("--set has no name", [name], names)
    if name == "delimiter":
        value = value.replace("\\n", "\n")
    kind = cast(Any, Literal)[("auto", *FAMILIES)] if name == "prm_format" else _KINDS[name]
    found: Any = value_from_text(value, kind)
    found = value if found is UNREADABLE else found  # a check that refuses text names it
    if name in SAMPLING:
        configure(**cast(dict[str, Any], {name: found}))
    elif name == "timeout":
        check_value(name, found, float, above(0))
    else:
        check_value(name, found, kind)
    return name, found


def setting(args: argparse.Namespace, name: str, default: Any = None) -> Any:
    """What `--set` says of a name; the last word counts."""
    return dict(args.settings).get(name, default)


def add_models(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("models", "The bundled ones, unless --draft, --target or --prm name others.")
    for role in Role:
        group.add_argument(f"--{role}", metavar="MODEL", help=_MODELS[role])
    for flag, choices, of in (
        ("--engine", get_args(Engine), "runs folders and hub ids"),
        ("--device", ("auto", "cpu", "cuda"), "for the torch engine and llama.cpp"),
        ("--dtype", get_args(Dtype), "for the torch engine"),
    ):
        named = f"{', '.join(choices[:-1])} or {choices[-1]}"
        group.add_argument(flag, choices=choices, default="auto", metavar="NAME", help=f"{named}; {of}")


def add_preset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preset", type=Preset.of, metavar="FILE", help="what 'specs calibrate' wrote; the command line overrides it"
    )


def add_n(parser: argparse._ActionsContainer, several: bool = False) -> None:
    what = "candidates per step, unless --method gives n"
    if several:
        what = "candidates per step, for methods that have n and do not give it in --methods"
    parser.add_argument(
        "--n", type=counts if several else count, metavar="A,B,..." if several else "N", help=f"{what} (default: 8)"
    )


def add_temperature(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--temperature", type=not_negative, metavar="T", help=f"of sampling (default: {TEMPERATURE})")


def add_sampling(parser: argparse._ActionsContainer) -> None:
    add_temperature(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="SEED", help="of sampling (default: %(default)s)")
    parser.add_argument(
        "--max-tokens",
        type=count,
        metavar="TOKENS",
        help=f"at most, of the whole answer (default: {Limits().max_tokens})",
    )
    parser.add_argument(
        "--think",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let models that can think do so before they answer (default: no)",
    )
    parser.add_argument(
        "--thinking-tokens",
        type=count,
        metavar="TOKENS",
        help=f"at most, inside the thinking (default: {Limits().max_thinking_tokens})",
    )
    parser.add_argument(
        "--deadline", type=above_zero, metavar="SECONDS", help="until there should be an answer (default: none)"
    )


def add_early_exit(parser: argparse._ActionsContainer, what: str = "") -> None:
    parser.add_argument(
        "--early-exit", metavar="RULE",
        help=f"end thinking once a trial answer is sure{what}: {' or '.join(RULES)} (default: never)",
    )  # fmt: skip


def early_exit_of(args: argparse.Namespace) -> EarlyExit | None:
    """The rule that `--early-exit` names."""
    if args.early_exit is None:
        return None
    if not args.think:
        raise InputError("--early-exit ends the thinking early; add --think")
    return early_exit_from_text(args.early_exit)


def add_cells(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--methods", metavar="A,B,...",
        help="methods with their options: specs,specs:tau=0.7:start=target,beam "
        f"(default: {METHODS}; with --think {THINKING_METHODS}); 'specs methods' lists them",
    )  # fmt: skip


def configured(
    args: argparse.Namespace, name: str, own: dict[str, Any], n: int | None
) -> tuple[Method, SamplingParams, Limits]:
    """The method called `name`: its `own` options and `n` come before those of a preset for it."""
    options = dict(own) if n is None else {**own, "n": n}
    if args.preset and args.preset.method == name:
        options = {**args.preset.options, **options}
    method = make(name, **options)
    sampling, limits = sampling_of(args)
    if sampling.temperature == 0 and (many := candidates_of(method)) > 1:
        mend = "raise it, or use --n 1 or --method target"
        raise InputError(f"--temperature 0 makes all {many} candidates equal; {mend}")
    return method, sampling, limits


def method_of(args: argparse.Namespace) -> tuple[Method, SamplingParams, Limits]:
    """What `--method`, `--n` and the preset ask for."""
    usual = "specreason" if args.think else "specs"
    name, own = args.method or (args.preset.method if args.preset else usual, {})
    if args.preset and args.preset.method != name:
        raise InputError(f"the preset is for {args.preset.method}, not for {name}; leave one of them out")
    if args.n is not None:
        if "n" in own:
            raise InputError(f"--method {name} has n={own['n']}, and --n says {args.n}; give n once")
        check_names(f"--n: method {name} has no option", ["n"], options_of(name))
    return configured(args, name, own, args.n)


def cells_of(args: argparse.Namespace) -> tuple[list[GridPoint], SamplingParams, Limits]:
    """What `--methods` and the options ask for: each method once for every n, or once if it has no n or names it."""
    cells: dict[tuple[str, int | None], GridPoint] = {}
    sampling, limits = sampling_of(args)
    widths = args.n if isinstance(args.n, list) else [args.n]
    methods = args.methods or (THINKING_METHODS if args.think else METHODS)
    for text in methods.split(","):
        name, own = method_from_text(text)
        label = " ".join([name, *(f"{key.replace('_', '-')}={text_of(own[key])}" for key in own if key != "n")])
        several = widths if "n" in options_of(name) and "n" not in own else [None]
        new = [GridPoint(label, configured(args, name, own, n)[0]) for n in several]
        if cells.keys() & {cell.setting.key for cell in new}:
            raise InputError(f"--methods {methods}: name each method once; {text.strip()} is there twice")
        cells |= {cell.setting.key: cell for cell in new}
    if args.preset and args.preset.method not in (cell.method.name for cell in cells.values()):
        raise InputError(f"the preset is for {args.preset.method}, which --methods {methods} does not name")
    return list(cells.values()), sampling, limits


def sampling_of(args: argparse.Namespace) -> tuple[SamplingParams, Limits]:
    """Sampling parameters and limits from the command line, else from the preset, else the defaults."""
    preset: Preset | None = getattr(args, "preset", None)
    flags = {name: getattr(args, name, None) for name in ("temperature", "max_tokens")}
    flags["deadline_s"] = getattr(args, "deadline", None)
    flags["think"], flags["max_thinking_tokens"] = getattr(args, "think", None), getattr(args, "thinking_tokens", None)
    if flags["max_thinking_tokens"] is not None and not flags["think"]:
        raise InputError("--thinking-tokens is the budget of thinking; add --think")
    given = {name: value for name, value in flags.items() if value is not None}
    given |= {name: value for name, value in args.settings if name in SAMPLING}
    config = configure(**{**(preset.law if preset else {}), **given})
    return config.sampling, config.limits


def names_of(args: argparse.Namespace, methods: list[Method]) -> dict[str, str]:
    """The models that the methods need by role; roles that nobody named are the bundled ones.

    Naming one's own draft or target and leaving the other to the bundled trio makes no sense,
    so naming any model means naming all that are needed.
    """
    needed = {str(role) for method in methods for role in method.roles}
    given = given_models(args)
    if given:
        if missing := [role for role in ("draft", "target", "prm") if role in needed and role not in given]:
            raise InputError(f"{', '.join(m.name for m in methods)} also needs --{' and --'.join(missing)}")
    else:
        given = dict.fromkeys(map(str, Role), "bundled")
    return {role: name for role, name in given.items() if role in needed}


def given_models(args: argparse.Namespace) -> dict[str, str]:
    """The models that the command line names, by role."""
    return {str(role): name for role in Role if (name := getattr(args, str(role)))}


def models_of(args: argparse.Namespace, methods: list[Method]) -> Models:
    """Load the models that the methods need; says so where a preset was made with others."""
    names = names_of(args, methods)
    if args.preset is not None and (foreign := args.preset.foreign(names)):
        print(f"specs: the preset was made with other models ({', '.join(foreign)})", file=sys.stderr)
    return api.load(**dict.fromkeys(("draft", "target", "prm")) | names, **loading_of(args))


def loading_of(args: argparse.Namespace) -> dict[str, Any]:
    """How models are loaded, as `add_models` and `--set` ask it."""
    return {
        "engine": args.engine,
        "device": args.device,
        "dtype": args.dtype,
        "allow_text_scoring": setting(args, "allow_text_scoring", False),
        "draft_system": setting(args, "draft_system"),
        "target_system": setting(args, "target_system"),
        "tokenizer": setting(args, "tokenizer"),
        "timeout_s": setting(args, "timeout", 120.0),
        "prm_format": setting(args, "prm_format", "auto"),
    }
