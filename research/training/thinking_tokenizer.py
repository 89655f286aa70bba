"""Extend the trio's tokenizer for the pair that thinks: `<think>`, `</think>`, and words that the trio never sees.

    python -m research.training.thinking_tokenizer OUT_DIR

Ids, merges and the encoding of everything that the trio writes stay as they are. The new words are those of checks,
probes and the rating question of SpecReason, which would cost twice as many tokens without them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from research.training.thinking_corpus import AGAIN, PROBES, TIME_IS_UP
from research.training.tokenizer import with_template
from specs.methods.specreason import RATING

BASE = Path("src/specs/bundled/models/target/tokenizer.json")
TEXTS = (RATING.instruction, RATING.thought, RATING.opening, TIME_IS_UP, *PROBES, *AGAIN)
WORDS = ("Check", ", right.", ", not 1.", " rest", "Again: 1")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' and loop.last and message.reasoning_content is defined %}"
    "{{ '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}{% endif %}"
    "{{ message['content'] }}"
    "{% if message['role'] == 'assistant' and not loop.last %}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)


def extended(base: str, texts: Iterable[str]) -> str:
    """A tokenizer.json with a token for every word of the texts, merged from the tokens that write it now."""
    data = json.loads(base)
    vocabulary, merges = data["model"]["vocab"], data["model"]["merges"]
    tokenizer = Tokenizer.from_str(base)
    for text in texts:
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text):
            tokens = tokenizer.encode(tokenizer.decoder.decode([word]), add_special_tokens=False).tokens
            if not re.search(r"[A-Za-z]{2}", word):
                continue
            written = tokens[0]
            for token in tokens[1:]:
                if (pair := [written, token]) not in merges:
                    merges.append(pair)
                    vocabulary.setdefault(written + token, len(vocabulary))
                written += token
    return json.dumps(data)


def make() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer.from_str(extended(BASE.read_text(), (*TEXTS, *WORDS)))
    tokenizer.add_tokens([AddedToken(mark, normalized=False) for mark in ("<think>", "</think>")])
    return with_template(tokenizer, CHAT_TEMPLATE)


if __name__ == "__main__":
    tokenizer = make()
    tokenizer.save_pretrained(sys.argv[1])
    print(len(tokenizer), "entries")
