"""Chat templates like those of well-known families, each with a byte-level tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from helpers import tiny

CORPUS = ["Ann has 3 apples. How many has she?", "user\n", "assistant\n", "system\n", ".\n\n", "a <b> {c} [d] |e|"] * 4
WHITE = ["\n\n", "  "]
"""Added tokens that people write: they stay tokens wherever they stand."""


@dataclass(frozen=True)
class Family:
    """A template with its control tokens.

    Attributes:
        special, others: control tokens that the tokenizer marks as special, and those that it does not.
        named: entries of tokenizer_config.json beside the template.
        turn_end: the token that the template writes at the end of an answer; None if it writes none.
        refuses: kinds of conversations (of `CONVERSATIONS`) that the template refuses.
    """

    template: str
    special: list[str]
    named: dict[str, Any]
    turn_end: str | None
    others: list[str] = field(default_factory=list)
    refuses: tuple[str, ...] = ()


CHATML = Family(
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}{%- for message in messages -%}\n"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n{{- '<|im_start|>assistant\n' }}\n{%- endif %}",
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "bos_token": None},
    "<|im_end|>",
)
TOOLS = Family(
    "{%- if tools %}{{- '<|im_start|>system\n# Tools\n' }}{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}\n"
    "{{- '<|im_end|>\n' }}{%- endif %}\n"
    "{%- set ns = namespace(multi_step_tool=true, last=messages|length - 1) %}\n"
    "{%- for message in messages[::-1] %}\n    {%- set index = (messages|length - 1) - loop.index0 %}\n"
    "    {%- if ns.multi_step_tool and message.role == 'user' and message.content is string and "
    "not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}\n"
    "        {%- set ns.multi_step_tool = false %}{%- set ns.last = index %}\n    {%- endif %}\n{%- endfor %}\n"
    "{%- for message in messages %}\n"
    "    {%- set content = message.content if message.content is string else '' %}\n"
    "    {%- if message.role == 'assistant' %}\n"
    "        {%- if '</think>' in content %}\n"
    "            {%- set reasoning = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}\n"
    "            {%- set content = content.split('</think>')[-1].lstrip('\n') %}\n        {%- endif %}\n"
    "        {%- if reasoning and loop.index0 > ns.last %}{{- '<think>\n' + reasoning + '\n</think>\n\n' }}"
    "{%- endif %}\n"
    "    {%- endif %}\n    {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\n' }}\n"
    "    {%- if enable_thinking is defined and enable_thinking is false %}\n        {{- '<think>\n\n</think>\n\n' }}\n"
    "    {%- endif %}\n{%- endif %}",
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "<|im_end|>",
    ["<think>", "</think>", "<tool_response>", "</tool_response>"],
)
DATED = Family(
    "{{- bos_token }}\n{%- if strftime_now is defined %}\n    {%- set date_string = strftime_now('%d %b %Y') %}\n"
    "{%- else %}\n    {%- set date_string = '26 Jul 2024' %}\n{%- endif %}\n"
    "{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content']|trim %}\n"
    "    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system_message = '' %}\n{%- endif %}\n"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + date_string + '\n\n' }}\n"
    "{%- if tools is not none %}{{- 'Environment: ipython\n' }}{%- endif %}{{- system_message + '<|eot_id|>' }}\n"
    "{%- for message in messages %}\n    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + "
    "message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}\n{%- endif %}\n",
    ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"},
    "<|eot_id|>",
)
ALTERNATING = Family(
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + (system if loop.first else '') + m['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}",
    ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"],
    {"bos_token": {"__type": "AddedToken", "content": "<s>"}, "eos_token": "</s>", "unk_token": "<unk>"},
    "</s>",
    refuses=("two questions",),
)
WITHOUT_SYSTEM = Family(
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
    ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
    {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
    "<end_of_turn>",
    refuses=("system", "all"),
)
STRIPPING = Family(
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + "
    "'<|end|>\n' }}{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '<|end|>\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>\n' + message['content'] + '<|end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
    {"eos_token": "<|endoftext|>", "unk_token": None},
    "<|end|>",
)
PIECED = Family(
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
    ["<|endoftext|>", "<|end|>"],
    {"eos_token": "<|endoftext|>"},
    "<|end|>",
    ["<|system|>", "<|user|>", "<|assistant|>"],
)
REASONING = Family(
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% set ns = namespace(system_prompt='', is_first=true) %}{%- for message in messages %}"
    "{%- if message['role'] == 'system' %}{%- set ns.system_prompt = ns.system_prompt + message['content'] %}"
    "{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{%- endif %}"
    "{%- if message['role'] == 'assistant' %}{% set content = message['content'] %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}{%- endif %}{%- endfor -%}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}",
    ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"],
    {
        "bos_token": {"__type": "AddedToken", "content": "<｜begin▁of▁sentence｜>"},
        "eos_token": {"__type": "AddedToken", "content": "<｜end▁of▁sentence｜>"},
    },
    "<｜end▁of▁sentence｜>",
    ["<｜User｜>", "<｜Assistant｜>", "</think>"],
)
BLOCKS = Family(
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + "
    "eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n"
    "{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
    ["<unk>", "<s>", "</s>"],
    {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    "</s>",
    ["<|user|>", "<|system|>", "<|assistant|>"],
)
GENERATION = Family(
    "{% set shown = 'no' %}{% generation %}{% set shown = 'yes' %}{% endgeneration %}"
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' %}{% generation %}{{- message.content }}"
    "{{- '<|im_end|>' }}{% endgeneration %}{{- '\n' }}{%- else %}{{- message.content + '<|im_end|>\n' }}{%- endif %}"
    "{%- endfor %}{{- shown }}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}",
    ["<|im_start|>", "<|im_end|>"],
    {"eos_token": "<|im_end|>"},
    "<|im_end|>",
)
TYPED = Family(
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ':' }}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}{{ '<image>' }}{% elif content['type'] == 'text' %}{{ content['text'] }}"
    "{% endif %}{% endfor %}{{ '<end_of_utterance>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant:' }}{% endif %}",
    ["<|im_start|>", "<|im_end|>", "<end_of_utterance>", "<image>"],
    {"eos_token": "<end_of_utterance>", "extra_special_tokens": {"image_token": "<image>"}},
    "<end_of_utterance>",
)
HALF_TYPED = Family(
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ '<|sys|>' + messages[0].content }}{% endif %}"
    "{% for message in messages if message.role != 'system' %}{{ '<|' + message.role + '|>' }}"
    "{{ message.content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join('\n') }}"
    "{{ '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
    ["<bos>", "<eos>", "<|sys|>", "<|user|>", "<|assistant|>", "<|end|>"],
    {"bos_token": "<bos>", "eos_token": "<eos>"},
    "<|end|>",
)
MACROS = Family(
    "{%- macro turn(role, text='') -%}{{ open_token }}{{ role }}{{ close_token }}{{ text | trim }}{{ eos_token }}"
    "{%- endmacro -%}{%- macro today() %}{{ strftime_now('%Y') }}{% endmacro -%}"
    "{%- for message in messages %}{%- if loop.index > 40 %}{%- break %}{%- endif %}"
    "{%- if not message.content %}{%- continue %}{%- endif %}{{- turn(message.role, message.content) }}{%- endfor %}"
    "{{- today() }}{%- if add_generation_prompt %}{{- open_token ~ 'assistant' ~ close_token }}{%- endif %}",
    ["<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>"],
    {"eos_token": "<|end_of_text|>", "open_token": "<|start_of_role|>", "close_token": "<|end_of_role|>"},
    "<|end_of_text|>",
)
AS_JSON = Family(
    "{{ {'tools': tools, 'documents': documents, 'html': '<a> & é'} | tojson }}{% if bos_token is defined %}!"
    "{% endif %}{{ {'b': 1, 'a': [1, 2]} | tojson(indent=2, sort_keys=true) }}{% for message in messages %}"
    "[{{ message.role | upper }}]{{ message.content }}{% if message.role == 'assistant' %}[/END]{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}[ASSISTANT]{% endif %}",
    ["[/END]"],
    {"eos_token": "[/END]"},
    "[/END]",
    ["[SYSTEM]", "[USER]", "[ASSISTANT]"],
)
PLAIN = Family(
    "{% for message in messages %}{% if loop.index0 %}\n\n{% endif %}### {{ message.role | capitalize }}:\n"
    "{{ message.content }}{% endfor %}{% if add_generation_prompt %}\n\n### Assistant:\n{% endif %}",
    ["<eos>"],
    {"eos_token": "<eos>"},
    None,
    ["###"],
)
CLOSED_LATE = Family(
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' and not loop.last %}{{ eos_token }}{% endif %}{% endfor %}<|assistant|>",
    ["<bos>", "<eos>", "<|system|>", "<|user|>", "<|assistant|>"],
    {"bos_token": "<bos>", "eos_token": "<eos>"},
    None,
)
BETWEEN = Family(
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}"
    "{% if m.role == 'system' %}<|sys_end|>{% elif m.role == 'user' %}<|user_end|>{% elif not loop.last %}"
    "<|assistant_end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    ["<s>", "</s>", "<|sys_end|>", "<|user_end|>", "<|assistant_end|>"],
    {"bos_token": "<s>", "eos_token": "</s>"},
    "<|assistant_end|>",
    ["<|system|>", "<|user|>", "<|assistant|>"],
)
FAMILIES = {
    "chatml": CHATML,
    "tools and thinking": TOOLS,
    "dated": DATED,
    "alternating": ALTERNATING,
    "without system": WITHOUT_SYSTEM,
    "stripping": STRIPPING,
    "pieced together": PIECED,
    "reasoning": REASONING,
    "blocks": BLOCKS,
    "generation": GENERATION,
    "typed": TYPED,
    "half typed": HALF_TYPED,
    "macros": MACROS,
    "json": AS_JSON,
    "plain": PLAIN,
    "closed late": CLOSED_LATE,
    "closed between": BETWEEN,
}
CONVERSATIONS = {
    "question": [("user", "Ann has 3 apples.\n\nHow many?")],
    "system": [("system", "Be brief."), ("user", " How many?  ")],
    "turns": [("user", "Hi"), ("assistant", "Hello, {Ann}."), ("user", "How many & why?")],
    "all": [("system", "Be brief."), ("user", "Hi"), ("assistant", "<think>\nhm\n</think>\n\nHo."), ("user", "3?")],
    "two questions": [("user", "One?"), ("user", "Two?")],
}


def write(family: Family, folder: Path, *, model: bool = False) -> Path:
    """Write a tokenizer folder of a family, with a tiny random Llama (`model`) or only a config that names its end."""
    folder.mkdir(parents=True, exist_ok=True)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(CORPUS, trainer)
    strips = family is STRIPPING
    bpe.add_special_tokens([AddedToken(token, rstrip=strips, normalized=False) for token in family.special])
    bpe.add_tokens([AddedToken(token, normalized=False) for token in (*family.others, *WHITE)])
    bpe.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(family.named))
    (folder / "chat_template.jinja").write_text(family.template)
    if model:
        tiny.write_llama(folder, bpe.get_vocab_size(), seed=3)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": None}))
    return folder
