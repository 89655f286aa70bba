"""Chat templates of thinking models: small ones of our own that behave as the documentation of each family says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from helpers.templates import CHATML, Family

MARKS = ["<think>", "</think>"]
IM = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
IM_NAMED = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
DEEP = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"]
DEEP_NAMED = {"bos_token": DEEP[0], "eos_token": DEEP[1]}


@dataclass(frozen=True)
class Thinker:
    """A family, and what its prompts must be.

    Attributes:
        on_end: the end of the prompt with thinking on, from the last turn's control tokens.
        off_end: the end with thinking off; None if that is refused.
        opening: the text that opens the block.
        ending: what follows the last sentence of a forced close, up to the answer.
        appended: the part of `on_end` that the model would write itself; empty if the template writes it.
        on, off: the family's own variables for transformers; `word` is put into a system turn to switch thinking off.
    """

    family: Family
    on_end: str
    off_end: str | None
    opening: str
    ending: str
    appended: str = ""
    on: Mapping[str, bool] = field(default_factory=dict)
    off: Mapping[str, bool] = field(default_factory=dict)
    word: str = ""


def chatml(end: str, history: str = "{{ m.content }}", head: str = "") -> str:
    """ChatML: `history` writes the content of an answer, `end` what follows the assistant's opening."""
    return (
        head + "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' }}"
        "{%- if m.role == 'assistant' %}" + history + "{%- else %}{{- m.content }}{%- endif %}"
        "{{- '<|im_end|>\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}" + end + "{%- endif %}"
    )


SPLIT = (
    "{%- set said = m.content %}{%- set thought = m.reasoning_content or '' %}"
    "{%- if '</think>' in said %}{%- set thought = said.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{%- set said = said.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
)
"""Separates the reasoning of an answer (`thought`) from the rest (`said`)."""
LAST_THOUGHT = (
    SPLIT + "{%- if loop.last and thought %}{{- '<think>\n' + thought + '\n</think>\n\n' }}{%- endif %}{{- said }}"
)
EMPTY = "{{- '<think>\n\n</think>\n\n' }}"

QWEN3 = Thinker(
    Family(
        chatml("{%- if enable_thinking is defined and not enable_thinking %}" + EMPTY + "{%- endif %}", LAST_THOUGHT),
        IM,
        IM_NAMED,
        "<|im_end|>",
        MARKS,
    ),
    "<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "<think>\n",
    "\n</think>\n\n",
    "<think>\n",
    {"enable_thinking": True},
    {"enable_thinking": False},
)
QWEN3_THINKING = Thinker(
    Family(chatml("{{- '<think>\n' }}", LAST_THOUGHT), IM, IM_NAMED, "<|im_end|>", MARKS),
    "<|im_end|>\n<|im_start|>assistant\n<think>\n",
    None,
    "<think>\n",
    "\n</think>\n\n",
)
QWEN35 = Thinker(
    Family(
        chatml(
            "{%- if enable_thinking is defined and enable_thinking is false %}" + EMPTY + "{%- else %}"
            "{{- '<think>\n' }}{%- endif %}",
            LAST_THOUGHT,
        ),
        [*IM, *MARKS],
        IM_NAMED,
        "<|im_end|>",
    ),
    "<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "<think>\n",
    "\n</think>\n\n",
    on={"enable_thinking": True},
    off={"enable_thinking": False},
)
DEEP_TURNS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}"
    "{{ '<｜User｜>' + m.content }}{% else %}{{ '<｜Assistant｜>' }}"
    "{{ HISTORY + m.content.split('</think>')[-1] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}END{% endif %}"
)
R1_DISTILL = Thinker(
    Family(
        DEEP_TURNS.replace("HISTORY", "''").replace("END", "{{ '<think>\n' }}"),
        DEEP,
        DEEP_NAMED,
        DEEP[1],
        ["<｜User｜>", "<｜Assistant｜>", *MARKS],
    ),
    "<｜Assistant｜><think>\n",
    None,
    "<think>\n",
    "\n</think>\n\n",
)
DEEPSEEK_V31 = Thinker(
    Family(
        "{% if thinking is not defined %}{% set thinking = false %}{% endif %}"
        + DEEP_TURNS.replace("HISTORY", "'</think>'").replace("END", "{{ '<think>' if thinking else '</think>' }}"),
        DEEP,
        DEEP_NAMED,
        DEEP[1],
        ["<｜User｜>", "<｜Assistant｜>", *MARKS],
    ),
    "<｜Assistant｜><think>",
    "<｜Assistant｜></think>",
    "<think>",
    "</think>",
    on={"thinking": True},
    off={"thinking": False},
)
DEEPSEEK_ON = Thinker(
    Family(
        "{% if thinking is not defined %}{% set thinking = true %}{% endif %}"
        + DEEP_TURNS.replace("HISTORY", "'</think>'").replace("END", "{{ '<think>' if thinking else '</think>' }}"),
        DEEP,
        DEEP_NAMED,
        DEEP[1],
        ["<｜User｜>", "<｜Assistant｜>", *MARKS],
    ),
    "<｜Assistant｜><think>",
    "<｜Assistant｜></think>",
    "<think>",
    "</think>",
    off={"thinking": False},
)
"""Like V3.1, but it thinks unless `thinking` is false."""
GLM_SPECIAL = ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"]
GLM46 = Thinker(
    Family(
        "[gMASK]<sop>{% for m in messages %}{{ '<|' + m.role + '|>' }}"
        "{% if m.role == 'assistant' %}" + SPLIT + "{{ '\n<think>' + (thought.strip() if loop.last else '') + "
        "'</think>\n' + said.strip() }}{% else %}{{ '\n' + m.content }}{% if m.role == 'user' and "
        "enable_thinking is defined and not enable_thinking %}{{ '/nothink' }}{% endif %}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}"
        "{% if enable_thinking is defined and not enable_thinking %}{{ '\n<think></think>' }}{% endif %}{% endif %}",
        GLM_SPECIAL,
        {"eos_token": "<|endoftext|>"},
        None,
        MARKS,
    ),
    "<|assistant|>\n<think>",
    "/nothink<|assistant|>\n<think></think>",
    "\n<think>",
    "</think>\n",
    "\n<think>",
    {"enable_thinking": True},
    {"enable_thinking": False},
)
GLM47 = Thinker(
    Family(
        "[gMASK]<sop>{% for m in messages %}{{ '<|' + m.role + '|>' }}"
        "{% if m.role == 'assistant' %}" + SPLIT + "{{ '<think>' + thought.strip() if loop.last and thought else '' }}"
        "{{ '</think>' + said.strip() }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}"
        "{{ '</think>' if enable_thinking is defined and not enable_thinking else '<think>' }}{% endif %}",
        GLM_SPECIAL,
        {"eos_token": "<|endoftext|>"},
        None,
        MARKS,
    ),
    "<|assistant|><think>",
    "<|assistant|></think>",
    "<think>",
    "</think>",
    on={"enable_thinking": True},
    off={"enable_thinking": False},
)
KIMI = Thinker(
    Family(
        "{% for m in messages %}{{ '<|im_' + m.role + '|>' + m.role + '<|im_middle|>' }}"
        "{% if m.role == 'assistant' %}{{ '<think></think>' }}{% endif %}{{ m.content + '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_assistant|>assistant<|im_middle|>' }}{% endif %}",
        ["[EOS]", "<|im_end|>", "<|im_middle|>", "<|im_user|>", "<|im_assistant|>", "<|im_system|>"],
        {"eos_token": "<|im_end|>"},
        "<|im_end|>",
        MARKS,
    ),
    "<|im_end|><|im_assistant|>assistant<|im_middle|><think>",
    "<|im_end|><|im_assistant|>assistant<|im_middle|>",
    "<think>",
    "</think>",
    "<think>",
)
HEADERS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
NEMOTRON_SUPER = Thinker(
    Family(
        "{{- bos_token }}{%- set enable_thinking = true %}{%- set first = '' %}"
        "{%- if messages[0].role == 'system' %}{%- set first = messages[0].content %}{%- endif %}"
        "{%- if '/no_think' in first %}{%- set enable_thinking = false %}{%- endif %}"
        "{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}"
        "{{- first.replace('/no_think', '').strip() + '<|eot_id|>' }}"
        "{%- for m in messages if m.role != 'system' %}"
        "{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content.split('</think>')[-1].lstrip('\n') "
        "if m.role == 'assistant' else '<|start_header_id|>user<|end_header_id|>\n\n' + m.content }}"
        "{{- '<|eot_id|>' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
        "{%- if not enable_thinking %}" + EMPTY + "{%- endif %}{%- endif %}",
        HEADERS,
        {"bos_token": HEADERS[0], "eos_token": HEADERS[-1]},
        "<|eot_id|>",
        MARKS,
    ),
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n<think>\n",
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "<think>\n",
    "\n</think>\n\n",
    "<think>\n",
)
"""It sets `enable_thinking` itself, so that only `/no_think` in the system turn switches thinking off."""
NEMOTRON_NANO = Thinker(
    Family(
        "{%- set ns = namespace(on=true) %}{%- for m in messages if m.role in ('system', 'user') %}"
        "{%- if '/think' in m.content %}{%- set ns.on = true %}"
        "{%- elif '/no_think' in m.content %}{%- set ns.on = false %}{%- endif %}{%- endfor %}"
        "{%- set first = messages[0].content if messages[0].role == 'system' else '' %}"
        "{{- '<SPECIAL_10>System\n' + first.replace('/think', '').replace('/no_think', '').strip() + '\n' }}"
        "{%- for m in messages if m.role != 'system' %}{{- '<SPECIAL_11>' + m.role | capitalize + '\n' }}"
        "{{- (m.content.split('</think>')[-1] if m.role == 'assistant' else m.content) + '\n' }}"
        "{%- if m.role == 'assistant' %}{{- '<SPECIAL_12>\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<SPECIAL_11>Assistant\n' }}"
        "{{- '<think>\n' if ns.on else '<think></think>' }}{%- endif %}",
        ["<s>", "<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>"],
        {"bos_token": "<s>", "eos_token": "<SPECIAL_12>"},
        None,
        MARKS,
    ),
    "\n<SPECIAL_11>Assistant\n<think>\n",
    "\n<SPECIAL_11>Assistant\n<think></think>",
    "<think>\n",
    "</think>",
    word="/no_think",
)
MINIMAX = Thinker(
    Family(
        "{{- ']~!b[' }}{%- for m in messages %}{{- ']~b]' + ('ai' if m.role == 'assistant' else m.role) + '\n' }}"
        "{%- if m.role == 'assistant' %}" + LAST_THOUGHT + "{%- else %}{{- m.content }}{%- endif %}"
        "{{- '[e~[\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- ']~b]ai\n<think>\n' }}{%- endif %}",
        ["]~!b[", "]~b]", "[e~["],
        {"bos_token": "]~!b[", "eos_token": "[e~["},
        "[e~[",
        MARKS,
    ),
    "[e~[\n]~b]ai\n<think>\n",
    None,
    "<think>\n",
    "\n</think>\n\n",
)
MAGISTRAL = Thinker(
    Family(
        "{%- set first = 'Draft first: [THINK]your draft[/THINK]Then the answer.' %}"
        "{%- if messages[0].role == 'system' %}{%- set first = messages[0].content %}{%- endif %}"
        "{{- bos_token + '[SYSTEM_PROMPT]' + first + '[/SYSTEM_PROMPT]' }}"
        "{%- for m in messages if m.role != 'system' %}"
        "{{- '[INST]' + m.content + '[/INST]' if m.role == 'user' else m.content + eos_token }}{%- endfor %}",
        ["<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]", "[/THINK]"],
        {"bos_token": "<s>", "eos_token": "</s>"},
        "</s>",
    ),
    "[/INST][THINK]",
    "[/INST]",
    "[THINK]",
    "[/THINK]",
    "[THINK]",
)
SMOLLM3 = Thinker(
    Family(
        chatml(
            "{%- if mode == '/no_think' %}{{- '<think>\n\n</think>\n' }}{%- endif %}",
            head="{%- set mode = '/think' if enable_thinking is not defined or enable_thinking else '/no_think' %}"
            "{%- set first = messages[0].content if messages[0].role == 'system' else '' %}"
            "{%- if '/no_think' in first %}{%- set mode = '/no_think' %}"
            "{%- elif '/think' in first %}{%- set mode = '/think' %}{%- endif %}"
            "{{- '<|im_start|>system\nReasoning Mode: ' + mode + '\n\n' }}"
            "{{- first.replace('/no_think', '').replace('/think', '').rstrip() + '<|im_end|>\n' }}",
        ).replace("for m in messages", "for m in messages if m.role != 'system'"),
        IM,
        IM_NAMED,
        "<|im_end|>",
        MARKS,
    ),
    "<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n",
    "<think>\n",
    "\n</think>\n",
    "<think>\n",
    {"enable_thinking": True},
    {"enable_thinking": False},
)
BY_WORD = Thinker(
    Family(
        chatml(
            "{%- if '/think' not in first %}" + EMPTY + "{%- endif %}",
            head="{%- set first = messages[0].content if messages[0].role == 'system' else '' %}"
            "{%- if first %}{{- '<|im_start|>system\n' + first.replace('/think', '').strip() + '<|im_end|>\n' }}"
            "{%- endif %}",
        ).replace("for m in messages", "for m in messages if m.role != 'system'"),
        IM,
        IM_NAMED,
        "<|im_end|>",
        MARKS,
    ),
    "<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "<think>\n",
    "\n</think>\n\n",
    "<think>\n",
)
"""No published family: thinking is off unless the system turn says `/think`."""

THINKERS = {
    "qwen3": QWEN3,
    "qwen3-thinking-2507": QWEN3_THINKING,
    "qwen3.5": QWEN35,
    "r1-distill": R1_DISTILL,
    "deepseek-v3.1": DEEPSEEK_V31,
    "deepseek, on by default": DEEPSEEK_ON,
    "glm-4.6": GLM46,
    "glm-4.7": GLM47,
    "kimi-k2-thinking": KIMI,
    "nemotron super": NEMOTRON_SUPER,
    "nemotron nano": NEMOTRON_NANO,
    "minimax-m2": MINIMAX,
    "magistral": MAGISTRAL,
    "smollm3": SMOLLM3,
    "by word": BY_WORD,
}
NON_THINKERS = {
    "chatml": (CHATML, "the model does not think: its chat template names no marker of thinking"),
    "harmony": (
        Family(
            "{% for m in messages %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endfor %}"
            "{# <|channel|>analysis, then <|channel|>final #}"
            "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}",
            ["<|start|>", "<|end|>", "<|message|>", "<|channel|>"],
            {"eos_token": "<|end|>"},
            "<|end|>",
        ),
        "marks its thinking with <|channel|>, which specs cannot follow",
    ),
    "command": (
        Family(
            chatml("{{ '<|START_THINKING|><|END_THINKING|>' }}"),
            [*IM, "<|START_THINKING|>", "<|END_THINKING|>"],
            IM_NAMED,
            "<|im_end|>",
        ),
        "marks its thinking with <|START_THINKING|>, which specs cannot follow",
    ),
    "seed": (
        Family(chatml("", "{{ '<seed:think>' + m.content }}"), IM, IM_NAMED, "<|im_end|>", ["<seed:think>"]),
        "marks its thinking with <seed:think>, which specs cannot follow",
    ),
    "channel": (
        Family(chatml("", "{{ '<|channel>thought' + m.content }}"), IM, IM_NAMED, "<|im_end|>", ["<|channel>"]),
        "marks its thinking with <|channel>, which specs cannot follow",
    ),
    "several tokens": (
        Family(QWEN3.family.template, IM, IM_NAMED, "<|im_end|>"),
        "marks its thinking with <think>, which is not a control token of its vocabulary",
    ),
    "half": (
        Family(QWEN3.family.template, IM, IM_NAMED, "<|im_end|>", ["<think>"]),
        "marks its thinking with </think>, which is not a control token of its vocabulary",
    ),
}
