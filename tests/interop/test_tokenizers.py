"""Tokenizers that come with published weights: what of them is kept, and at which tokens a text ends."""

import io
import json

import pytest
import sentencepiece

from common.errors import UserError
from data.hf_tokenizer import HfTokenizer
from data.tokenizer import TokenizerConfig, train
from data.tokenizer_files import read_tokenizer
from generation.encoding import encode_prompts
from interop.export_tokenizer import export_tokenizer
from model import TransformerConfig
from tests.interop.folders import TEXT, write_folder
from tests.interop.test_convert import convert, edit_json
from training.converted import export_published
from training.trained_model import load_model


@pytest.mark.parametrize(
    ("said", "config", "ends"),
    [
        (None, None, (299,)),
        ([7, 299, 8], 5, (299, 7, 8)),  # what config.json says counts only where generation_config.json is silent
        (9, None, (299, 9)),
        (None, [4, 299], (299, 4)),
        (None, 5, (299, 5)),
        ([3, 50256], None, (299, 3)),  # the vocabulary has no such piece
    ],
)
def test_all_tokens_at_which_a_text_ends_are_known_after_the_conversion(tmp_path, said, config, ends):
    write_folder(tmp_path / "theirs")
    edit_json(tmp_path / "theirs" / "config.json", eos_token_id=config)
    (tmp_path / "theirs" / "generation_config.json").write_text(json.dumps({"eos_token_id": said, "top_p": 0.8}))
    convert(tmp_path / "theirs", tmp_path / "run")
    assert load_model(str(tmp_path / "run"), pytest.fail).tokenizer.ends == ends
    (tmp_path / "again").mkdir()
    export_published(str(tmp_path / "run"), tmp_path / "again", 1 << 30, lambda line: None)
    assert read_tokenizer(tmp_path / "again").ends == ends
    assert json.loads((tmp_path / "again" / "generation_config.json").read_text())["top_p"] == 0.8


def test_a_tokenizer_of_ours_has_one_end():
    tokenizer = train(["the cat 你好"] * 20, TokenizerConfig(278, "bpe", 1.0, True, True))
    assert tokenizer.ends == (tokenizer.end_of_text,)


@pytest.mark.parametrize("said", ['{"eos_token_id": "</s>"}', '{"eos_token_id": [true]}', "[]", "{"])
def test_a_damaged_generation_config_is_refused(tmp_path, said):
    write_folder(tmp_path / "theirs")
    (tmp_path / "theirs" / "generation_config.json").write_text(said)
    with pytest.raises(UserError, match=r"generation_config.json.*fetch it again$"):
        convert(tmp_path / "theirs", tmp_path / "run")
    assert not any((tmp_path / "run").iterdir())


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("tokenizer_config.json", {"eos_token": {}}, r"eos_token=\{\} is no token"),
        ("tokenizer_config.json", {"eos_token": ["a"]}, r"eos_token=\['a'\] is no token"),
        ("special_tokens_map.json", {"mask_token": {"content": 3}}, r"mask_token=\{'content': 3\} is no token"),
        ("tokenizer_config.json", {"do_lower_case": 1}, "do_lower_case=1 must be true, false or null"),
        ("tokenizer_config.json", {"strip_accents": "yes"}, "strip_accents='yes' must be true, false or null"),
    ],
)
def test_settings_of_a_tokenizer_that_make_no_sense_are_refused(tmp_path, name, said, message):
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\na")
    (tmp_path / name).write_text(json.dumps(said))
    with pytest.raises(UserError, match=rf"{name}: {message}; fetch it again$"):
        read_tokenizer(tmp_path)


def test_null_is_a_settings_default(tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\na\n你")
    names = ("do_lower_case", "tokenize_chinese_chars", "strip_accents", "eos_token")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(dict.fromkeys(names)))
    tokenizer = read_tokenizer(tmp_path)
    assert tokenizer.encode("Á你") == [3, 4] and tokenizer.ends == (2,)


SPECIALS = {
    "llama": ("tokenizer.model", {"model_type": "bpe", "byte_fallback": True, "bos_id": 1, "eos_id": 2, "unk_id": 0}),
    "t5": ("spiece.model", {"model_type": "unigram", "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", SPECIALS)
def test_a_sentencepiece_model_alone_is_enough_to_sample(tmp_path, here, family):
    name, how = SPECIALS[family]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 9),
        model_writer=model,
        vocab_size=300,
        hard_vocab_limit=False,
        minloglevel=2,
        **how,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).vocab_size()
    write_folder(tmp_path / "theirs", family, vocab_size=pieces + (100 if family == "t5" else 0))
    for file in ("vocab.json", "merges.txt"):
        (tmp_path / "theirs" / file).unlink()
    (tmp_path / "theirs" / name).write_bytes(model.getvalue())
    assert here("convert.py", "from-hf", "theirs", "run").returncode == 0
    prompt = "The <extra_id_0> fox" if family == "t5" else "The fox"
    done = here("sample.py", "--ckpt", "run", "--prompt", prompt, "--max_new_tokens", "5", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["prompt"] == prompt, done.stderr


def test_a_beginning_of_text_is_put_only_where_the_tokenizer_wants_it(tmp_path):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 9), model_writer=model, vocab_size=300, hard_vocab_limit=False, minloglevel=2
    )
    (tmp_path / "tokenizer.model").write_bytes(model.getvalue())
    assert read_tokenizer(tmp_path).prefix == (1,)
    for asked, prefix in ((True, (1,)), (False, ())):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": asked}))
        assert read_tokenizer(tmp_path).prefix == prefix


def test_sentinels_that_the_model_has_itself_are_found_as_mt5_writes_them(tmp_path):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 9), model_writer=model, vocab_size=100, hard_vocab_limit=False, minloglevel=2,
        user_defined_symbols=["\u2581<extra_id_1>", "\u2581<extra_id_0>"],
    )  # fmt: skip
    (tmp_path / "spiece.model").write_bytes(model.getvalue())
    tokenizer = read_tokenizer(tmp_path)
    assert len(tokenizer.sentinels) == 2 and not tokenizer.is_text[list(tokenizer.sentinels)].any()
    assert tokenizer.encode("The <extra_id_0> fox")[-len(tokenizer.encode("fox")) - 1] == tokenizer.sentinels[0]


@pytest.mark.parametrize("layers", [(0, 1), (1, 0), (1, 1)], ids=["decoder", "encoder", "encoder-decoder"])
def test_an_exported_tokenizer_of_ours_begins_and_ends_a_text_as_before(layers):
    encoder, decoder = layers
    config = TransformerConfig(320, 32, 8, 1, decoder_layers=decoder, encoder_layers=encoder)
    specials = ("[MASK]", "<extra_id_0>")
    ours = train(["the cat 你好"] * 20, TokenizerConfig(278, "bpe", 1.0, True, True, specials))
    theirs = HfTokenizer(export_tokenizer(ours, config))
    prompts = ["the [MASK] cat", "[MASK]你好 🙂"]
    assert encode_prompts(prompts, config, theirs) == encode_prompts(prompts, config, ours)


@pytest.mark.parametrize("model_type", ["bpe", "unigram", "char", "byte"])
def test_an_exported_tokenizer_of_each_kind_writes_text_as_before(model_type):
    changes = {} if model_type == "byte" else {"user_symbols": ("->", "3.14"), "space_pieces": True}
    texts = ["the cat -> 你好 3.14\n        if x:\n\tgo"] * 20
    asked = {
        "vocab_size": 279 if model_type == "unigram" else 295,
        "model_type": model_type,
        "special_tokens": ("[MASK]",),
        **changes,
    }
    ours = train(texts, TokenizerConfig(character_coverage=1.0, byte_fallback=True, split_digits=True, **asked))
    theirs = HfTokenizer(export_tokenizer(ours, TransformerConfig(320, 32, 8, 1, decoder_layers=1)))
    for text in (texts[0], "  a->the[MASK]3.141 🙂\n\n", "\0\x7f\u2047 <", "the\u3000cat 龘", ""):
        assert theirs.encode(text) == ours.encode(text)
        assert theirs.decode(theirs.encode(text)) == ours.decode(ours.encode(text)).replace("[MASK]", "")
    assert theirs.encode("the [MASK]")[-1] == ours.mask == theirs.mask
    assert (theirs.is_text == ours.is_text).all()
