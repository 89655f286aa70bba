"""The code that the authors of SPECS published, beside ours: right answers, latency and requests on the same servers.

    python -m research.benchmarks.published --code FOLDER [--runs N] [--limit N] [--tier TIER] [--beta B] [--out FILE]

FOLDER is a clone of github.com/mert-cemri/SPECS (commit 285ed8c), which is no part of this repository; its code also
needs openai, torch and tqdm. The servers are those of `research.benchmarks.requests`, and need the same. Methods take
turns, one solve at a time, in an order that rotates from run to run. Each run has problems of its own, and the servers
forget what they have cached before each turn. All draw 8 candidates a step, at temperature 0.7, of at most 64 tokens:

* `theirs`: `specalign_rejection` as in run.sh (beta 10, threshold 7, switch back 0.7, 30 rounds), `sort_completed` on.
* `their-beam`: `speculative_beam_search` with `speculative` and `sample` off, as in their recipe. The target writes,
  and `beam_width` is n, so that one text goes on: the one with the highest reward.
* `specs-released` (with the same beta), `specs` and `beam`: ours, otherwise with their defaults.

Their code makes every decision of the first two. Around it, this module replaces what decides nothing:

* Tokenizers (`Prompts`): the bundled models know no system turn, so the prompt is that of our client, as text.
* Clients (`Writer`): the server's name of the model, and no second beginning-of-text, which the prompt spells already.
  The program ends if a server reads other tokens than our client sends.
* Rewards (`Rewards`): the bundled PRM reads the question and all steps so far; as published, it reads the whole prompt
  as the problem and the last step alone. One request of our client rewards a round's candidates, equal texts once.
* Their beam search asks for rewards twice a round: the first time without a client for the PRM, which as published is
  an error, and for nothing, because it does not read the answer. Here that request is left out.
* wandb, vLLM's SamplingParams, progress bars, and grading: `specs.eval.grading` grades all methods.

Their code turns exceptions into the answer "no solution", also the division by zero if no candidate was finished. Such
solves count as failed and have no latency, which is wall time and needs a machine that does nothing else. JSON last.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from time import perf_counter
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from research.benchmarks.bundled import LAW, LIMITS, arguments, finish, paired
from research.benchmarks.requests import WARM_UP, forget, serving
from specs import load
from specs.bundled.problems import HELD_OUT_SEED, WordProblem, generate
from specs.config import SolveConfig
from specs.core.votes import boxed
from specs.decoding.stream import stream
from specs.engines.folders import BUNDLED
from specs.engines.protocol import Models, RewardModel, never_stop
from specs.engines.text import HubText
from specs.engines.vllm.client import Client
from specs.eval.grading import correct
from specs.methods import Method
from specs.methods.registry import make
from specs.types import Candidate, End, Role, Trace

Outcome = tuple[str | None, str | None]  # the answer, and why the solve failed
THEIRS, THEIR_BEAM = "theirs", "their-beam"
SETTINGS: dict[str, Any] = {
    "n": 8, "beam_width": 8, "temperature": LAW.temperature, "top_p": LAW.top_p, "max_tokens": LAW.steps.max_tokens,
    "rejection_threshold": 7.0, "switch_back_threshold": 0.7, "num_iterations": 30, "sort_completed": True,
}  # fmt: skip
MODULES = ("config", "search.utils", "search.specalign_rejection", "search.beam_search")
GRADING = ("extract_answer", "strip_string", "math_equal", "get_success_olympiad")
STAND_INS: dict[str, Any] = {
    "wandb": SimpleNamespace(run=None),
    "vllm": SimpleNamespace(LLM=None, SamplingParams=partial(SimpleNamespace, stop=())),  # only attributes are read
    "sal.utils.eval_utils": SimpleNamespace(**dict.fromkeys(GRADING)),
    "sal.utils.score": SimpleNamespace(aggregate_scores=None),
    "sal.utils.hub": SimpleNamespace(get_dataset_revisions=None),
}
"""Modules that their code imports, and the names that it takes from them. It grades only to log, and may fail there."""


@dataclass(frozen=True, slots=True)
class Solved:
    """One solve; `requests` are by role and endpoint, and `failure` says why it failed."""

    answer: str | None
    latency_s: float
    requests: Mapping[str, int]
    failure: str | None = None


class Prompts:
    """Stands in for their tokenizers: gives the text that a server reads as the tokens that our client sends."""

    def __init__(self, text: HubText) -> None:
        self._text, self.encode, self.of = text, text.encode, cache(self._of)

    def _of(self, question: str) -> str:
        return "".join(map(self._text.spelling, self._text.prompt(question)))

    def apply_chat_template(self, conversations: Sequence[Sequence[Mapping[str, str]]], **_: bool) -> list[str]:
        """The prompt of each conversation, and behind it the answer so far; system turns are left out."""
        turns = [{turn["role"]: turn["content"] for turn in conversation} for conversation in conversations]
        return [self.of(turn["user"]) + turn.get("assistant", "") for turn in turns]


class Writer:
    """Stands in for an OpenAI client, whose endpoint is `completions`; counts the requests in `sent`."""

    def __init__(self, completions: Any, role: str, model: str, sent: Counter[str]) -> None:
        self._create, self._model, self.completions = completions.create, model, self
        self._sent, self._endpoint = sent, f"{role} /v1/completions"

    def create(self, extra_body: Mapping[str, Any] | None = None, **request: Any) -> Any:
        self._sent[self._endpoint] += 1
        request |= {"model": self._model, "extra_body": {**(extra_body or {}), "add_special_tokens": False}}
        return self._create(**request)


class Rewards:
    """Stands in for the PRM's client in one solve; a reward comes as a list with one entry."""

    def __init__(self, prm: RewardModel, question: str, prompt: str) -> None:
        self._session = prm.open(prm.prompt(question), never_stop)
        self._trace, self._prompt, self.embeddings = Trace(question), prompt, self

    def create(self, **request: Any) -> list[list[float]]:
        """The reward of each of the texts `input`, read at its last step."""
        # The session splits texts at the delimiter, so their earlier steps need not be steps of the trace.
        candidates = [Candidate((), text, End.DELIMITER) for text in request["input"]]
        return [[reward] for reward in self._session.score([(self._trace, candidates)], LAW.steps.delimiter)]

    def behind(self, prompts: Sequence[str], steps: Sequence[str]) -> list[list[float]]:
        """The reward of each step behind a prompt with the steps before it."""
        texts = [prompt + step for prompt, step in zip(prompts, steps, strict=True)]
        return self.create(input=[text.removeprefix(self._prompt) for text in texts])


def rewarded(prompts: Sequence[str], steps: Sequence[str], prm: Rewards | None, *_: object) -> tuple[Any, float]:
    """Replaces `process_and_run_reward_model`: a round's rewards, and seconds; none without a client."""
    return prm.behind(prompts, steps) if prm else [], 0.0


def second(_: object, other: Any, **__: object) -> tuple[Any, None, None]:
    return other, None, None


def first(one: Any, *_: object, **__: object) -> Any:
    return one


def imported(code: Path) -> list[ModuleType]:
    """The modules of their code that this one calls, with the replacements in place."""
    sys.modules.update(STAND_INS)
    with patch.object(sys, "path", [str(code / "src"), *sys.path]):
        config, *modules = [import_module(f"sal.{name}") for name in MODULES]
    for name in STAND_INS:
        del sys.modules[name]
    for module in modules:
        vars(module).update(process_and_run_reward_model=rewarded, tqdm=first)
        vars(module).update(prepare_input=second, derive_step_rewards_vllm=first)  # `Rewards.create` takes texts
    return [config, *modules[1:]]


class Published:
    """Their two searches."""

    def __init__(self, code: Path, writers: Mapping[str, Writer], prm: RewardModel, prompts: Prompts, beta: float):
        config, specs, beam = imported(code)
        self._searches = {THEIRS: specs.specalign_rejection, THEIR_BEAM: beam.speculative_beam_search}
        self._config, self._beta, self._errors = config.Config, beta, list[str]()
        self._writers, self._prm, self._prompts = writers, prm, prompts
        logging.getLogger(specs.__name__).addFilter(self._keep_error)

    def _keep_error(self, record: logging.LogRecord) -> bool:
        """Keep an error that their code logs instead of raising it, and print nothing."""
        if record.levelno >= logging.ERROR:
            self._errors.append(record.getMessage())
        return False

    def solve(self, name: str, question: str) -> Outcome:
        """The outcome of one of the searches."""
        beam = name == THEIR_BEAM
        config = self._config(**SETTINGS, rm_regularizer=self._beta, speculative=not beam, sample=not beam)
        self._errors.clear()
        found = self._searches[name](
            {"problem": [question], "answer": [""]}, config, draft_tokenizer=self._prompts,
            llm=self._writers["target" if beam else "draft"], llm_target=self._writers["target"],
            prm=Rewards(self._prm, question, self._prompts.of(question)), target_tokenizer=self._prompts,
        )  # fmt: skip
        text: str = found["pred"][0]
        return (None, "; ".join(self._errors) or text) if text == "no solution" else (boxed(text), None)


def ours(models: Models, method: Method, question: str) -> Outcome:
    """The outcome of one of our methods."""
    result = stream(question, models, SolveConfig(method, LAW, LIMITS)).result
    return result.answer, result.error


def timed(solve: Callable[[str], Outcome], sent: Counter[str], question: str) -> Solved:
    """A solve with its latency, and its requests, which `sent` counts."""
    sent.clear()
    started = perf_counter()
    try:
        answer, failure = solve(question)
    except Exception as error:  # their beam search lets every exception through
        answer, failure = None, f"{type(error).__name__}: {error}"
    return Solved(answer, perf_counter() - started, dict(sent), failure)


def connected(urls: Mapping[str, str], models: Models, prompts: Prompts, sent: Counter[str]) -> dict[str, Writer]:
    """The clients of draft and target; ends the program if a server reads other tokens than our client sends."""
    from openai import OpenAI

    writers, question = dict[str, Writer](), generate("hard", HELD_OUT_SEED).question
    for role in (Role.DRAFT, Role.TARGET):
        client = OpenAI(api_key="EMPTY", base_url=f"{urls[role]}/v1", timeout=1800.0)  # as in their code
        writers[role] = Writer(client.completions, role, client.models.list().data[0].id, sent)
        answer = writers[role].create({"return_token_ids": True}, prompt=[prompts.of(question)], max_tokens=1)
        if tuple(answer.choices[0].prompt_token_ids) != models.prompt(role, question):
            raise SystemExit(f"the {role}'s server does not read {prompts.of(question)!r} as the tokens of our client")
    return writers


def measured(
    ways: Mapping[str, Callable[[str], Solved]], problems: Sequence[WordProblem], limit: int, reset: Callable[[], None]
) -> dict[str, list[Solved]]:
    """The solves of every method, in the order of the problems, of which each run takes `limit`."""
    names, found = list(ways), {name: list[Solved]() for name in ways}
    for run, start in enumerate(range(0, len(problems), limit)):
        turn = run % len(names)
        for name in (*names[turn:], *names[:turn]):
            reset()
            found[name] += [ways[name](problem.question) for problem in problems[start : start + limit]]
        print(f"run {run + 1} of {len(problems) // limit}", file=sys.stderr, flush=True)
    return found


def ratio(one: Sequence[Solved], other: Sequence[Solved]) -> dict[str, float] | None:
    """Latency ratio over the problems on which neither failed; None if there are none."""
    both = [(a.latency_s, b.latency_s) for a, b in zip(one, other, strict=True) if not (a.failure or b.failure)]
    return {"problems": len(both), **paired(*zip(*both, strict=True))} if both else None


def summary(found: Mapping[str, Sequence[Solved]], name: str, problems: Sequence[WordProblem]) -> dict[str, Any]:
    """Right and failed solves of one method, and latency and requests of those that did not fail."""
    solves = found[name]
    done = [one for one in solves if one.failure is None]
    sent = sum((Counter[str](one.requests) for one in done), Counter[str]())
    pairs = zip(solves, problems, strict=True)
    right = [None if one.failure else correct(one.answer, problem.answer) is True for one, problem in pairs]
    return {
        "method": name, "problems": len(solves), "right": right.count(True), "failed": len(solves) - len(done),
        "failures": dict(Counter(one.failure for one in solves if one.failure)),
        "mean_latency_s": round(sum(one.latency_s for one in done) / len(done), 4) if done else None,
        "latency_to_their_beam": ratio(solves, found[THEIR_BEAM]), "latency_to_beam": ratio(solves, found["beam"]),
        "requests_a_problem": round(sum(sent.values()) / len(done), 1) if done else None,
        "by_endpoint": {place: round(count / len(done), 1) for place, count in sorted(sent.items())},
        "rows": {"right": right, "latency_s": [round(one.latency_s, 4) for one in solves]},
    }  # fmt: skip


def counted(urls: Mapping[str, str], sent: Counter[str]) -> Callable[[Client, str, dict[str, Any]], Any]:
    """The method `post` of our client, which now counts requests in `sent`."""
    role_of, post = {url: role for role, url in urls.items()}, Client.post

    def counting(client: Client, path: str, body: dict[str, Any]) -> Any:
        sent[f"{role_of[client.url]} {path}"] += 1
        return post(client, path, body)

    return counting


def main() -> None:
    args = arguments(__doc__, 10, code=Path, runs=int, beta=float)
    runs, beta = args.runs or 6, 10.0 if args.beta is None else args.beta
    files = [(args.code or Path()) / "src" / "sal" / f"{name.replace('.', '/')}.py" for name in MODULES]
    if not all(file.is_file() for file in files):
        raise SystemExit("--code is not a clone of github.com/mert-cemri/SPECS: it lacks modules of src/sal")
    sent, problems = Counter[str](), [generate(args.tier, args.problem_seed + k) for k in range(runs * args.limit)]
    with serving() as urls, patch.object(Client, "post", counted(urls, sent)):
        models, prompts = load(urls["draft"], urls["target"], urls["prm"]), Prompts(HubText(BUNDLED / "draft"))
        assert models.prm is not None
        published = Published(args.code, connected(urls, models, prompts, sent), models.prm, prompts, beta)
        solves = {name: partial(published.solve, name) for name in (THEIRS, THEIR_BEAM)}
        for method in (make("specs-released", beta=beta), make("specs"), make("beam")):
            solves[method.name] = partial(ours, models, method)
        ways = {name: partial(timed, solve, sent) for name, solve in solves.items()}
        for name, way in ways.items():
            if failure := way(generate(args.tier, args.problem_seed + WARM_UP).question).failure:
                raise SystemExit(f"{name} failed on a problem that does not count: {failure}")
        found = measured(ways, problems, args.limit, partial(forget, urls))
    for row in (rows := [summary(found, name, problems) for name in found]):
        print({name: value for name, value in row.items() if name not in ("by_endpoint", "rows")}, flush=True)
    options = {"tier": args.tier, "problem_seed": args.problem_seed, "runs": runs, "limit": args.limit, "beta": beta}
    code = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    finish({**options, "code_sha256": code, "methods": rows}, args.out)


if __name__ == "__main__":
    main()
