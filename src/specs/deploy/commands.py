"""The `vllm serve` commands of a plan, and the line that solves a question on the servers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from specs.deploy.memory_plan import BATCH_TOKENS, Load, Model, Plan
from specs.engines.folders import local_folder
from specs.errors import ModelError
from specs.types import Role

WRITER = "--enable-scale-out --enable-prompt-tokens-details --logprobs-mode processed_logprobs".split()
"""Scores behind a cached prefix, what was cached, and log-probabilities of the law that is sampled from."""
QWEN_PRM = "Qwen2ForProcessRewardModel"
CPU = "--dtype float32 --enforce-eager --distributed-executor-backend uni --block-size 32".split()
CPU_BLOCK, CPU_SEQUENCES, CPU_SOLVES = 32, 16, 4
CPU_ENVIRONMENT = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a process less a server
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class Command:
    """How one server is started.

    Attributes:
        environment: variables beside those that are there.
        after: roles whose servers must be up before it starts: vLLM measures how much memory is left,
            so those that share a GPU start one after another.
    """

    role: Role
    words: tuple[str, ...]
    environment: Mapping[str, str]
    host: str
    port: int
    after: tuple[Role, ...] = ()

    @property
    def url(self) -> str:
        """Where this machine reaches it."""
        return f"http://{'127.0.0.1' if self.host == '0.0.0.0' else self.host}:{self.port}"

    def line(self, secret: bool) -> str:
        """One line for a shell; with `secret` the API key is taken from SPECS_API_KEY."""
        before = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*['VLLM_API_KEY="$SPECS_API_KEY"'][:secret], *before, shlex.join(self.words)])


def on_gpus(plan: Plan, host: str, port: int, plugins: bool) -> list[Command]:
    """The commands of a plan on ports from `port` on; `plugins` tells whether this package is beside vLLM."""
    # Where GPUs differ, CUDA would count the fastest first, and not as nvidia-smi does.
    sizes = {gpu.memory for server in plan.servers for gpu in server.gpus}
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if len(sizes) > 1 else {}
    commands = []
    for at, server in enumerate(plan.servers):
        words = [
            *_serve(server.role, server.model, plan.load, host, port + at, plugins),
            *("--max-num-seqs", str(plan.load.sequences), "--max-num-batched-tokens", str(BATCH_TOKENS)),
            *("--gpu-memory-utilization", str(server.utilisation)),
            *(("--tensor-parallel-size", str(len(server.gpus))) if len(server.gpus) > 1 else ()),
        ]
        environment = {**order, "CUDA_VISIBLE_DEVICES": ",".join(gpu.name for gpu in server.gpus)}
        after = tuple(other.role for other in plan.shared(server))
        commands.append(Command(server.role, tuple(words), environment, host, port + at, after))
    return commands


def on_cpu(models: Mapping[Role, Model], load: Load, host: str, port: int, plugins: bool) -> list[Command]:
    """Commands for a machine without GPUs: small models, in float32, with room for a few solves."""
    commands = []
    for at, (role, model) in enumerate(models.items()):
        kv = CPU_SOLVES * load.kv_tokens(CPU_BLOCK) * model.kv_per_token(itemsize=4)
        words = [
            *_serve(role, model, load, host, port + at, plugins),
            *("--max-num-seqs", str(max(CPU_SEQUENCES, load.n)), "--kv-cache-memory-bytes", str(kv)),
            *CPU,
        ]
        commands.append(Command(role, tuple(words), CPU_ENVIRONMENT, host, port + at))
    return commands


def solve_line(commands: list[Command], load: Load, raw: bool) -> str:
    """The command that solves a built-in question on the servers.

    Where the target scores at temperature 1 only (`raw`), the draft has to sample there.
    """
    servers = [word for command in commands for word in (f"--{command.role}", command.url)]
    law = ["--temperature", "1"] if raw else []
    sizes = ["--n", str(load.n), "--set", f"max_step_tokens={load.step_tokens}"]
    return shlex.join(["specs", "solve", "--example", *servers, *sizes, *law])


def _serve(role: Role, model: Model, load: Load, host: str, port: int, plugins: bool) -> list[str]:
    folder = local_folder(model.name, role)
    name = model.name if folder is None else str(folder.resolve())
    flags = _prm_flags(model, plugins) if role is Role.PRM else WRITER
    words = ["vllm", "serve", name, "--host", host, "--port", str(port), "--max-model-len", str(load.context)]
    return [*words, *flags]


def _prm_flags(model: Model, plugins: bool) -> list[str]:
    if model.architecture.endswith("ForCausalLM"):  # its labels are tokens
        return ["--enable-prompt-tokens-details"]
    # Pooling the last token lets rewards read what they have in common from the cache.
    last = ["--runner", "pooling", "--pooler-config", json.dumps({"task": "classify"})]
    if model.architecture.endswith("ForTokenClassification"):
        return last
    if model.architecture == QWEN_PRM and plugins:
        return [*last, "--hf-overrides", json.dumps({"architectures": ["Qwen2ForLastStepReward"]})]
    if model.architecture == QWEN_PRM:
        # Rewards every token; its default, step pooling, would take no prompt longer than a batch.
        pooler = {"task": "token_classify", "tok_pooling_type": "ALL"}
        return ["--runner", "pooling", "--pooler-config", json.dumps(pooler)]
    raise ModelError(
        f"--prm {model.name} is {model.architecture}, which vLLM does not serve as a reward model: choose a "
        "...ForTokenClassification model, Qwen2.5-Math-PRM or a language model"
    )
