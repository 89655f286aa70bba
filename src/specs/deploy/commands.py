"""The `vllm serve` commands of a memory plan, and the command that solves a question on the servers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from specs.config.solve_config import MAX_THINKING_STEP_TOKENS, MAX_THINKING_TOKENS
from specs.deploy.memory_plan import BATCH_TOKENS, Model, Plan, Workload
from specs.engines.folders import local_folder
from specs.errors import ModelError
from specs.types import Role

POLICY_FLAGS = "--enable-scale-out --enable-prompt-tokens-details --logprobs-mode processed_logprobs".split()
"""Flags of draft and target: scoring after a cached prefix, counts of cached tokens, log-probabilities of the sampling
law."""
QWEN_PRM = "Qwen2ForProcessRewardModel"
CPU_FLAGS = "--dtype float32 --enforce-eager --distributed-executor-backend uni --block-size 32".split()
CPU_BLOCK_TOKENS, CPU_SEQUENCES, CPU_SOLVES = 32, 16, 4
CPU_ENVIRONMENT = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process per server
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class Command:
    """The command that starts one server.

    Attributes:
        environment: variables added to the current environment.
        after: roles whose servers must be up first: vLLM measures free memory at its start, so servers that
            share a GPU start one after another.
    """

    role: Role
    words: tuple[str, ...]
    environment: Mapping[str, str]
    host: str
    port: int
    after: tuple[Role, ...] = ()

    @property
    def url(self) -> str:
        """The server's address on this machine."""
        return f"http://{'127.0.0.1' if self.host == '0.0.0.0' else self.host}:{self.port}"

    def line(self, secret: bool) -> str:
        """The command as one shell line; with `secret` the API key comes from SPECS_API_KEY."""
        before = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*['VLLM_API_KEY="$SPECS_API_KEY"'][:secret], *before, shlex.join(self.words)])


def gpu_commands(plan: Plan, host: str, port: int, plugins: bool) -> list[Command]:
    """The commands of a plan, on consecutive ports from `port`; `plugins`: whether vLLM has this package's plugins."""
    # If GPUs differ, CUDA by default numbers the fastest first, unlike nvidia-smi.
    sizes = {gpu.memory for server in plan.servers for gpu in server.gpus}
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if len(sizes) > 1 else {}
    commands: list[Command] = []
    for server_idx, server in enumerate(plan.servers):
        words = [
            *_serve_words(server.role, server.model, plan.load, host, port + server_idx, plugins),
            *("--max-num-seqs", str(plan.sequences), "--max-num-batched-tokens", str(BATCH_TOKENS)),
            *("--gpu-memory-utilization", str(server.utilisation)),
            *(("--tensor-parallel-size", str(len(server.gpus))) if len(server.gpus) > 1 else ()),
        ]
        environment = {**order, "CUDA_VISIBLE_DEVICES": ",".join(gpu.name for gpu in server.gpus)}
        after = tuple(other.role for other in plan.shared(server))
        commands.append(Command(server.role, tuple(words), environment, host, port + server_idx, after))
    return commands


def cpu_commands(models: Mapping[Role, Model], load: Workload, host: str, port: int, plugins: bool) -> list[Command]:
    """Commands for a machine without GPUs: small models in float32, with KV cache for a few solves."""
    sequences = max(CPU_SEQUENCES, load.n) if load.thinking_tokens is None else CPU_SOLVES * load.n
    commands: list[Command] = []
    for server_idx, (role, model) in enumerate(models.items()):
        kv = CPU_SOLVES * load.kv_tokens(CPU_BLOCK_TOKENS) * model.kv_per_token(itemsize=4)
        words = [
            *_serve_words(role, model, load, host, port + server_idx, plugins),
            *("--max-num-seqs", str(sequences), "--kv-cache-memory-bytes", str(kv)),
            *CPU_FLAGS,
        ]
        commands.append(Command(role, tuple(words), CPU_ENVIRONMENT, host, port + server_idx))
    return commands


def solve_command(commands: list[Command], load: Workload, raw: bool) -> str:
    """The command that solves a built-in question on the servers.

    With `raw`, the target can score only at temperature 1, so the command samples at temperature 1.
    """
    servers = [word for command in commands for word in (f"--{command.role}", command.url)]
    sampling = ["--temperature", "1"] if raw else []
    return shlex.join(["specs", "solve", "--example", *servers, *_limits(load), *sampling])


def _limits(load: Workload) -> list[str]:
    """Options of `specs solve` that keep a solve within the planned size, those of thinking where not the default."""
    if load.thinking_tokens is None:
        return ["--n", str(load.n), "--set", f"max_step_tokens={load.step_tokens}"]
    budget, steps = load.thinking_tokens, load.step_tokens
    return [
        "--think",
        *(() if budget == MAX_THINKING_TOKENS else ("--thinking-tokens", str(budget))),
        *(() if steps == MAX_THINKING_STEP_TOKENS else ("--set", f"max_thinking_step_tokens={steps}")),
    ]


def _serve_words(role: Role, model: Model, load: Workload, host: str, port: int, plugins: bool) -> list[str]:
    folder = local_folder(model.name, role)
    name, served = (model.name,) * 2 if folder is None else (str(folder.resolve()), folder.resolve().name)
    flags = _prm_flags(model, plugins) if role is Role.PRM else POLICY_FLAGS
    words = ["vllm", "serve", name, "--served-model-name", served, "--host", host, "--port", str(port)]
    return [*words, "--max-model-len", str(load.context), *flags]


def _prm_flags(model: Model, plugins: bool) -> list[str]:
    if model.architecture.endswith("ForCausalLM"):  # its reward is the probability of a token
        return ["--enable-prompt-tokens-details"]
    # With pooling at the last token, rewards read their common prefix from the cache.
    last = ["--runner", "pooling", "--pooler-config", json.dumps({"task": "classify"})]
    if model.architecture.endswith("ForTokenClassification"):
        return last
    if model.architecture == QWEN_PRM and plugins:
        return [*last, "--hf-overrides", json.dumps({"architectures": ["Qwen2ForLastStepReward"]})]
    if model.architecture == QWEN_PRM:
        # Reward every token: the default, step pooling, cannot take prompts longer than a batch.
        pooler = {"task": "token_classify", "tok_pooling_type": "ALL"}
        return ["--runner", "pooling", "--pooler-config", json.dumps(pooler)]
    raise ModelError(
        f"prm {model.name} is {model.architecture}, which vLLM does not serve as a reward model: choose a "
        "...ForTokenClassification model, Qwen2.5-Math-PRM or a language model"
    )
