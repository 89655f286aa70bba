"""Train the trio's shared tokenizer: byte-level BPE, with one token for each digit and for a blank line.

python -m research.training.tokenizer OUT_DIR
"""

from __future__ import annotations

import itertools
import sys

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from research.training.corpus import FULL, documents

VOCABULARY = 896
SPECIAL = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' and not loop.last %}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def make() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    pieces = Regex(r"\n\n| ?\\?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]|\s")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pieces, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pairs = itertools.islice(documents(0, FULL, frozenset()), 40_000)
    bpe.train_from_iterator((text for pair in pairs for text in pair), trainer)
    return with_template(bpe, CHAT_TEMPLATE)


def with_template(tokenizer: Tokenizer, chat_template: str) -> PreTrainedTokenizerFast:
    """A tokenizer of the bundled models as transformers reads and saves it."""
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", bos_token="<|bos|>", eos_token="<|end|>", model_max_length=4096
    )
    made.chat_template = chat_template
    return made


if __name__ == "__main__":
    tokenizer = make()
    tokenizer.save_pretrained(sys.argv[1])
    print(len(tokenizer), "entries")
