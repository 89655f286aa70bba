"""The memory plan of models that think: published sizes, plans worked out by hand, and errors whose advice is true."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from deploy import checkpoints
from deploy.checkpoints import QWEN3_8B, QWEN_7B, model_of
from specs.config import configure
from specs.deploy.commands import gpu_commands
from specs.deploy.kv_layout import why_unknown
from specs.deploy.memory_plan import BATCH_TOKENS, CEILING, GB, OUTSIDE, OVERHEAD, SCORE_ROW, Workload, plan
from specs.deploy.sizes import model_from_config, parse_gpus
from specs.deploy.thinking_plan import BUDGET_UNIT, PROMPT_TOKENS, plan_thinking, thinking_context, thinking_load
from specs.errors import InputError, ModelError, NoRoom
from specs.types import Role

LOAD = thinking_load(n=8)


def pair(draft, target):
    """The sizes of a draft and a target, by the names that `checkpoints` has for them."""
    return {
        Role.DRAFT: model_of(f"owner/{draft}", getattr(checkpoints, draft)),
        Role.TARGET: model_of(f"owner/{target}", getattr(checkpoints, target)),
    }


# Billions of parameters as on the model cards, and bytes of KV a token: 2 x layers x KV heads x head width x 2 bytes.
PUBLISHED = {
    "QWEN3_0_6B": (0.6, 2 * 28 * 8 * 128 * 2),
    "QWEN3_1_7B": (1.7, 2 * 28 * 8 * 128 * 2),
    "QWEN3_4B": (4.0, 2 * 36 * 8 * 128 * 2),
    "QWEN3_8B": (8.2, 2 * 36 * 8 * 128 * 2),
    "QWEN3_14B": (14.8, 2 * 40 * 8 * 128 * 2),
    "QWEN3_32B": (32.8, 2 * 64 * 8 * 128 * 2),
    "R1_1_5B": (1.8, 2 * 28 * 2 * 128 * 2),
    "R1_7B": (7.6, 2 * 28 * 4 * 128 * 2),
    "R1_14B": (14.8, 2 * 48 * 8 * 128 * 2),
    "R1_32B": (32.8, 2 * 64 * 8 * 128 * 2),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name):
    billions, kv = PUBLISHED[name]
    model = model_of(name, getattr(checkpoints, name))
    assert round(model.weights / 2e9, 1) == billions
    assert model.kv_per_token() == kv
    assert not model.windowed
    LOAD.check(Role.TARGET, model)


def test_the_planned_context_holds_what_a_solve_may_write():
    """16,384 tokens of thinking, 2,048 of answer and 2,048 for the rest, which holds the closing text too."""
    config = configure("specreason", think=True)
    assert LOAD.context == PROMPT_TOKENS + config.limits.max_thinking_tokens + config.limits.max_tokens == 20_480
    assert config.sampling.thinking is not None
    assert LOAD.step_tokens == config.sampling.thinking.max_tokens > config.sampling.steps.max_tokens
    assert thinking_load(8, 8192).context == thinking_context(8192) == 12_288
    assert thinking_load(8, context=32_768).context == 32_768
    with pytest.raises(InputError, match="an answer of 2048 and a question take 20480; leave context out, or"):
        thinking_load(8, context=20_479)


def test_the_kv_of_one_trace_by_hand():
    """20,224 tokens of prefix fill 1,264 blocks; a step of 256 touches at most 17; 1,264 + 8 x 17 = 1,400 blocks."""
    assert LOAD.kv_tokens() == (1264 + 8 * 17) * 16 == 22_400
    assert replace(LOAD, n=1).kv_tokens() == (1264 + 17) * 16 == 20_496


def test_qwen3_8b_with_0_6b_on_one_gpu_by_hand():
    """80 GB: 76 may be used. Both models, two times 2.75 GB and 3.1 GB of score rows leave 49.8 GB for KV.

    A token takes 114,688 + 147,456 bytes on both servers, so 190,028 tokens fit: 8 traces of 22,400.
    """
    models = pair("QWEN3_0_6B", "QWEN3_8B")
    weights = 2 * (596_049_920 + 8_190_735_360)
    rows = SCORE_ROW * BATCH_TOKENS * 151_936
    room = CEILING * 80 * GB - weights - 2 * (OVERHEAD + OUTSIDE) - rows
    assert room // (114_688 + 147_456) == 190_028
    found = plan_thinking(models, parse_gpus("80"), LOAD)
    assert found.solves == 190_028 // 22_400 == 8
    for server in found.servers:
        assert (
            190_028 - 1000 < server.kv_tokens <= 190_028
        )  # shares have three decimals: 80 MB, 700 tokens of the draft
    assert found.sequences == 8 * 8


def test_r1_distill_32b_with_1_5b_on_two_gpus_by_hand():
    """Beside 65.5 GB of weights, one GPU of 80 GB has KV for 17,578 tokens, less than a trace: the target is split.

    Then each GPU holds half of the target and all its score rows, and the second one the draft as well, which leaves
    31.1 GB for tokens of 131,072 + 28,672 bytes.
    """
    models = pair("R1_1_5B", "R1_32B")
    rows = SCORE_ROW * BATCH_TOKENS * 152_064
    alone = CEILING * 80 * GB - 2 * 32_763_876_352 - OVERHEAD - OUTSIDE - rows
    assert alone // 262_144 == 17_578 < replace(LOAD, n=1).kv_tokens()
    room = CEILING * 80 * GB - 32_763_876_352 - 2 * 1_777_088_000 - 2 * (OVERHEAD + OUTSIDE) - rows
    assert room // (131_072 + 28_672) == 194_484
    found = plan_thinking(models, parse_gpus("80,80"), LOAD)
    assert [len(server.gpus) for server in found.servers] == [1, 2]
    assert found.solves == 194_484 // 22_400 == 8


@pytest.mark.parametrize("gpus", ["80", "80,80", "48,48"])
def test_servers_get_the_context_and_no_more_sequences_than_fit(gpus):
    found = plan_thinking(pair("QWEN3_0_6B", "QWEN3_8B"), parse_gpus(gpus), LOAD)
    for command in gpu_commands(found, "127.0.0.1", 8000, plugins=True):
        words = command.words
        assert words[words.index("--max-model-len") + 1] == "20480"
        assert words[words.index("--max-num-seqs") + 1] == str(8 * found.solves)
        assert "--reasoning-parser" not in words
    ordinary = replace(found, load=Workload(20_480, 256, 8))
    assert ordinary.sequences == 256


def fits(models, gpus, budget, n):
    try:
        plan(models, gpus, thinking_load(n, budget))
    except NoRoom:
        return False
    return True


@pytest.mark.parametrize(
    ("draft", "target", "gpus"),
    [
        ("QWEN3_0_6B", "QWEN3_14B", "48"),  # too large by the blocks of seven candidates
        ("QWEN3_1_7B", "QWEN3_14B", "48"),
        ("QWEN3_0_6B", "QWEN3_32B", "48,48"),
        ("R1_1_5B", "R1_14B", "48"),
        ("R1_1_5B", "R1_32B", "48,48"),
        ("QWEN3_0_6B", "QWEN3_8B", "24"),
    ],
)
def test_where_no_trace_fits_the_error_says_truly_what_would(draft, target, gpus):
    models, sizes = pair(draft, target), parse_gpus(gpus)
    with pytest.raises(NoRoom, match=r"^no trace of 20,480 tokens fits: the models do not fit on") as shortage:
        plan_thinking(models, sizes, LOAD)
    said = str(shortage.value)
    assert not fits(models, sizes, 16_384, 8)
    if said.endswith("with n=1 one fits"):
        assert fits(models, sizes, 16_384, 1)
    elif budget := re.search(r"with thinking_tokens=(\d+) one fits$", said):
        assert fits(models, sizes, int(budget[1]), 8)
        assert not fits(models, sizes, int(budget[1]) + BUDGET_UNIT, 8)
        assert not fits(models, sizes, 16_384, 1)
    else:
        assert said.endswith("not even 1,024 tokens of thinking fit, so a shorter context does not help")
        assert not fits(models, sizes, BUDGET_UNIT, 8)


def test_each_way_out_is_told_to_somebody():
    """The cases above are not all of one kind."""
    ends = set()
    for draft, target, gpus in (
        ("QWEN3_0_6B", "QWEN3_14B", "48"),
        ("R1_1_5B", "R1_14B", "48"),
        ("R1_1_5B", "R1_7B", "24"),
    ):
        with pytest.raises(NoRoom) as shortage:
            plan_thinking(pair(draft, target), parse_gpus(gpus), LOAD)
        ends.add(str(shortage.value).rpartition("; ")[2])
    assert ends == {
        "with n=1 one fits",
        "with thinking_tokens=10240 one fits",
        "not even 1,024 tokens of thinking fit, so a shorter context does not help",
    }


def test_a_model_whose_context_is_too_short_is_refused_with_its_way_out():
    model = model_of("8B", QWEN3_8B)
    for context, role, mend in (
        (16_384, Role.DRAFT, "give thinking_tokens of at most 12288"),
        (4096, Role.TARGET, "choose a model with a longer context"),
        (4096, Role.PRM, "leave it out: the methods for thinking models need no prm"),
    ):
        with pytest.raises(InputError, match=f"{role} 8B reads at most {context} tokens; {mend}$"):
            LOAD.check(role, replace(model, context=context))


# Entries of published configs whose KV does not follow from layers, KV heads and head width.
UNKNOWN = {
    "Qwen3.5, a config of several models": (
        {
            "architectures": ["Qwen3_5ForConditionalGeneration"],
            "text_config": {"layer_types": ["linear_attention", "full_attention"], "linear_num_value_heads": 48},
        },
        "has recurrent layers",
    ),
    "Qwen3-Next, which does not list its layers": ({"full_attention_interval": 4}, "has recurrent layers"),
    "Kimi Linear": ({"linear_attn_config": {"kda_layers": [1, 2, 3]}, "kv_lora_rank": 512}, "has recurrent layers"),
    "MiniMax-Text": ({"attn_type_list": [0, 0, 1]}, "has recurrent layers"),
    "DeepSeek V3": ({"kv_lora_rank": 512, "v_head_dim": 128}, "compresses its KV (MLA)"),
    "Gemma 4": ({"global_head_dim": 512, "layer_types": ["sliding_attention", "full_attention"]}, "(global_head_dim"),
    "MiMo-V2": ({"swa_num_key_value_heads": 8, "v_head_dim": 128}, "(swa_num_key_value_heads"),
    "another number of KV heads in each layer": ({"num_key_value_heads": [4, 8]}, "(num_key_value_heads"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_the_plan_does_not_guess_the_kv_of_unusual_layers(case):
    changes, words = UNKNOWN[case]
    with pytest.raises(ModelError) as refusal:
        model_from_config("m", Role.TARGET, QWEN_7B | changes, [])
    assert words in str(refusal.value)
    assert "check it with 'specs doctor'" in str(refusal.value)


def test_entries_that_say_nothing_refuse_nothing():
    assert why_unknown(QWEN_7B | {"v_head_dim": None, "kv_lora_rank": None, "text_config": None}) == ""
    assert why_unknown(QWEN_7B | {"layer_types": ["full_attention", "sliding_attention"]}) == ""


def test_shared_kv_is_an_upper_bound():
    assert model_from_config("m", Role.TARGET, QWEN_7B | {"num_kv_shared_layers": 4}, []).windowed
