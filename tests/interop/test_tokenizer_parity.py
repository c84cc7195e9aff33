"""Tokenizers in the forms in which they are published, converted, against transformers' own of the same files."""

import io
import json
from pathlib import Path

import pytest
import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from data.tokenizer_files import read_tokenizer
from interop.families import FAMILIES
from interop.parity import SENTENCES
from interop.writer import write_published
from tests.interop.folders import drawn, small
from tests.interop.reference import required
from tests.interop.test_convert import convert
from training.converted import export_published
from training.trained_model import load_model

transformers = required("transformers")
pytestmark = pytest.mark.parity

TEXTS = (
    *SENTENCES,
    "Year 1492, and 3.14159 or 1234567; in 2024年12月31日。",
    "one\ttwo\n\nthree    four  ",
    "Café naïve 🙂, ﬁne Ａ\u3000b",
    "don't WE'LL x²",
    "",
)
LEADING = ("  two spaces lead", " one", " 我们")


def write_model(folder: Path, family: str, pieces: int) -> None:
    folder.mkdir()
    config = small(family, vocab_size=pieces)
    write_published(folder, FAMILIES[family], config, drawn(config), {}, 1 << 30)


def write_json(path: Path, content) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def there_and_back(folder: Path):
    """The tokenizer of the run that `folder` is converted to, and transformers' of what the run is exported to."""
    run, again = folder.parent / "run", folder.parent / "again"
    convert(folder, run)
    again.mkdir()
    export_published(str(run), again, 1 << 30, lambda line: None)
    return load_model(str(run), pytest.fail).tokenizer, transformers.AutoTokenizer.from_pretrained(again)


def framed(tokenizer, text: str) -> list[int]:
    return [*tokenizer.prefix, *tokenizer.encode(text), *tokenizer.suffix]


# Those that are a SentencePiece model and no more.


def sentencepiece_model(**how) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*SENTENCES, *TEXTS] * 5),
        model_writer=model,
        hard_vocab_limit=False,
        minloglevel=2,
        **how,
    )
    return model.getvalue()


OF_LLAMA_2 = {
    "tokenizer_class": "LlamaTokenizer",
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "legacy": False,
}


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_tokenizer_model_of_llama_2_and_mistral(tmp_path, family):
    model = sentencepiece_model(
        model_type="bpe", vocab_size=420, byte_fallback=True, split_digits=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
    )  # fmt: skip
    write_model(tmp_path / "theirs", family, 420)
    (tmp_path / "theirs" / "tokenizer.model").write_bytes(model)
    write_json(tmp_path / "theirs" / "tokenizer_config.json", OF_LLAMA_2)
    ours, again = there_and_back(tmp_path / "theirs")
    assert (ours.vocab_size, ours.prefix, ours.suffix, ours.ends) == (420, (1,), (), (2,))
    assert (tmp_path / "again" / "tokenizer.model").read_bytes() == model

    # Of the model alone transformers 5 makes a tokenizer that drops a space at the start (and for Mistral's name the mark of
    # the first word too), so what is compared is the form in which both are published as tokenizer.json.
    theirs = transformers.LlamaTokenizer.from_pretrained(tmp_path / "theirs")
    assert [framed(ours, text) for text in TEXTS] == [theirs(text)["input_ids"] for text in TEXTS]
    if family == "llama":
        assert [again(text)["input_ids"] for text in TEXTS] == [theirs(text)["input_ids"] for text in TEXTS]
    published = theirs.backend_tokenizer
    published.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    published.pre_tokenizer = None
    for text in filter(None, (*TEXTS, *LEADING)):
        tokens = ours.encode(text)
        assert [1, *tokens] == published.encode(text).ids, text
        assert ours.decode(tokens) == published.decode(tokens) == text


@pytest.mark.parametrize("config", [None, {"tokenizer_class": "T5Tokenizer", "extra_ids": 20}])
def test_spiece_model_of_t5(tmp_path, config):
    model = sentencepiece_model(
        model_type="unigram",
        vocab_size=220,
        normalization_rule_name="nmt_nfkc",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model).vocab_size()
    sentinels = 100 if config is None else 20
    write_model(tmp_path / "theirs", "t5", pieces + sentinels)
    (tmp_path / "theirs" / "spiece.model").write_bytes(model)
    if config is not None:
        write_json(tmp_path / "theirs" / "tokenizer_config.json", config)
    ours, again = there_and_back(tmp_path / "theirs")
    assert (tmp_path / "again" / "spiece.model").read_bytes() == model
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "theirs")
    assert ours.vocab_size == len(theirs) == len(again) == pieces + sentinels
    assert (ours.decoder_start, ours.ends, ours.prefix, ours.suffix) == (0, (1,), (), (1,))
    assert list(ours.sentinels) == theirs.convert_tokens_to_ids([f"<extra_id_{n}>" for n in range(sentinels)])
    masked = ("The <extra_id_0> walks in <extra_id_1> park", "<extra_id_0>我们<extra_id_19> 是", "a  <extra_id_7>")
    for text in (*TEXTS, *LEADING, *masked):
        assert framed(ours, text) == theirs(text)["input_ids"] == again(text)["input_ids"], text


# Byte-level tokenizer.json.

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n'"
    " + message.content | trim + '<|eot_id|>' }}{% endfor %}"
)
QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA_3 = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
QWEN_CONFIG = {
    "add_bos_token": False,
    "add_prefix_space": False,
    "bos_token": None,
    "chat_template": QWEN_CHAT,
    "clean_up_tokenization_spaces": False,
    "pad_token": "<|endoftext|>",
    "split_special_tokens": False,
    "tokenizer_class": "Qwen2Tokenizer",
    "unk_token": None,
}
LLAMA_3_CONFIG = {
    "bos_token": "<|begin_of_text|>",
    "chat_template": LLAMA_CHAT,
    "clean_up_tokenization_spaces": True,
    "model_input_names": ["input_ids", "attention_mask"],
    "tokenizer_class": "PreTrainedTokenizerFast",
}
# name -> (family, digits at once, special tokens, tokens added that are not, tokenizer_config.json, ends).
PUBLISHED = {
    "qwen2": ("qwen2", 1, QWEN, (), QWEN_CONFIG | {"eos_token": "<|endoftext|>"}, ("<|endoftext|>",)),
    "qwen2.5 instruct": (
        "qwen2", 1, QWEN, ("<tool_call>", "</tool_call>"), QWEN_CONFIG | {"eos_token": "<|im_end|>"},
        ("<|im_end|>", "<|endoftext|>"),
    ),
    "qwen3": (
        "qwen3", 1, QWEN, ("<tool_call>", "</tool_call>", "<think>", "</think>"),
        QWEN_CONFIG | {"eos_token": "<|im_end|>"}, ("<|im_end|>", "<|endoftext|>"),
    ),
    "llama 3": ("llama", 3, LLAMA_3, (), LLAMA_3_CONFIG | {"eos_token": "<|end_of_text|>"}, ("<|end_of_text|>",)),
    "llama 3 instruct": (
        "llama", 3, LLAMA_3, (), LLAMA_3_CONFIG | {"eos_token": "<|eot_id|>"}, ("<|end_of_text|>", "<|eot_id|>"),
    ),
}  # fmt: skip


def byte_level(digits: int, specials: tuple[str, ...], added: tuple[str, ...]) -> tokenizers.Tokenizer:
    """A small vocabulary with the rules of Qwen (`digits` 1) or Llama 3 (`digits` 3)."""
    is_llama = digits == 3
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=is_llama))
    tokenizer.normalizer = None if is_llama else normalizers.NFC()
    number = r"\p{N}{1,3}" if is_llama else r"\p{N}"
    split = pre_tokenizers.Split(tokenizers.Regex(CONTRACTIONS + number + REST), "isolated")
    byte = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=is_llama, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([*SENTENCES, *TEXTS] * 3, trainer)
    tokenizer.add_special_tokens([tokenizers.AddedToken(name, normalized=False, special=True) for name in specials])
    tokenizer.add_tokens([tokenizers.AddedToken(name, normalized=False) for name in added])
    after = processors.ByteLevel(trim_offsets=is_llama)
    if is_llama:
        begin = specials[0]
        frame = processors.TemplateProcessing(
            single=f"{begin} $A",
            pair=f"{begin} $A {begin}:1 $B:1",
            special_tokens=[(begin, tokenizer.token_to_id(begin))],
        )
        after = processors.Sequence([after, frame])
    tokenizer.post_processor = after
    return tokenizer


@pytest.mark.parametrize("name", PUBLISHED)
def test_tokenizer_json_of_qwen_and_llama_3(tmp_path, name):
    family, digits, specials, added, config, ends = PUBLISHED[name]
    tokenizer = byte_level(digits, specials, added)
    ids = tokenizer.get_vocab()
    pieces = -(-tokenizer.get_vocab_size() // 16) * 16  # the embedding is larger, as in the published weights
    write_model(tmp_path / "theirs", family, pieces)
    tokenizer.save(str(tmp_path / "theirs" / "tokenizer.json"))
    decoder = {
        str(ids[token]): {
            "content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": token in specials,
        }
        for token in (*specials, *added)
    }  # fmt: skip
    template = config["chat_template"]
    if name == "qwen3":  # as transformers keeps it from version 5 on
        config = {key: value for key, value in config.items() if key != "chat_template"}
        (tmp_path / "theirs" / "chat_template.jinja").write_text(template)
    write_json(tmp_path / "theirs" / "tokenizer_config.json", config | {"added_tokens_decoder": decoder})
    said = [ids[end] for end in ends]
    write_json(tmp_path / "theirs" / "generation_config.json", {"eos_token_id": said if len(said) > 1 else said[0]})

    ours, again = there_and_back(tmp_path / "theirs")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "theirs")
    assert ours.end_of_text == theirs.eos_token_id == ours.ends[0] and set(ours.ends) == set(said)
    assert (ours.vocab_size, ours.unknown) == (len(theirs), None)
    messages = [{"role": "user", "content": "Hello, 世界!"}, {"role": "assistant", "content": "你好。"}]
    chat = theirs.apply_chat_template(messages, tokenize=False)
    for text in (*TEXTS, *LEADING, chat, "".join((*specials, *added)), "e\u0301"):
        assert framed(ours, text) == theirs(text)["input_ids"] == again(text)["input_ids"], text
        tokens = ours.encode(text)
        assert ours.decode(tokens) == theirs.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
    assert again.apply_chat_template(messages, tokenize=False) == chat and "你好" in chat
    kept = read_tokenizer(tmp_path / "run").files
    assert kept.keys() == {path.name for path in (tmp_path / "theirs").iterdir()} - {"config.json", "model.safetensors"}
    assert again.chat_template == theirs.chat_template == template
    assert transformers.GenerationConfig.from_pretrained(tmp_path / "again").eos_token_id == (
        said if len(said) > 1 else said[0]
    )
    assert not ours.is_text[[ids[token] for token in specials]].any()
