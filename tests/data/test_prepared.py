"""A prepared folder is read as it was written, or refused in one line."""

import dataclasses
import json

import numpy as np
import pytest

from common.errors import ConfigError, UserError
from data.config import DataConfig
from data.corpus import load_corpus
from data.document import Document
from data.mapped import temporary_folder
from data.pipeline import prepare
from data.prepared import check_files, is_prepared, read_manifest, read_prepared
from data.shards import ShardedTokens


@pytest.fixture
def options(tmp_path):
    (tmp_path / "text.txt").write_text("\n\n".join(f"the dog {number} and 你好 the fox" for number in range(50)))
    return DataConfig((str(tmp_path / "text.txt"),), (), 0.1, 16, str(tmp_path / "cache"), clean=("lowercase",))


@pytest.fixture
def config(tokenizer_config):
    return tokenizer_config(vocab_size=300)


@pytest.fixture
def folder(options, config, tmp_path):
    path = tmp_path / "tokens"
    path.mkdir()
    with temporary_folder() as work:
        prepare(options, config, path, work, shard_tokens=200)
    return path


@pytest.fixture
def load(options, config, folder):
    """`load(tokenizer=None, **changes)`: the corpus of the folder, for other options."""

    def make(tokenizer=config, **changes):
        return load_corpus(dataclasses.replace(options, **{"train": (str(folder),), **changes}), tokenizer)

    return make


def test_it_is_read_where_it_lies(load, options, folder):
    corpus = load()
    (text,) = corpus.train.values()
    assert isinstance(text.tokens, ShardedTokens) and all(isinstance(shard, np.memmap) for shard in text.tokens._shards)
    assert corpus.sources == options.train and [*corpus.train] == [*corpus.valid] == [*options.train]
    origin = {"sources": {options.train[0]: "the user's own text"}, "prepared": str(folder)}
    assert corpus.origin == origin | {"fingerprint": corpus.fingerprint}
    assert not (folder.parent / "cache").exists()


def test_its_own_tokenizer_is_used_and_another_refused(load, tokenizer):
    own = load().tokenizer
    assert load(own).fingerprint == load().fingerprint
    with pytest.raises(UserError, match="was prepared with another tokenizer than the run's own; prepare it with that"):
        load(tokenizer)


def test_a_tokenizer_that_was_not_trained_for_it_is_told_by_its_size(options, config, tokenizer, tmp_path):
    (tmp_path / "given").mkdir()
    with temporary_folder() as work:
        prepare(options, tokenizer, tmp_path / "given", work)
    options = dataclasses.replace(options, train=(str(tmp_path / "given"),))
    assert load_corpus(options, tokenizer).tokenizer.model == tokenizer.model
    with pytest.raises(
        ConfigError, match=r"tokenizer.vocab_size: 400, not 300\); give --config.tokenizer.vocab_size=400"
    ):
        load_corpus(options, config)
    assert load_corpus(options, dataclasses.replace(config, vocab_size=400)).fingerprint


def test_options_that_would_be_ignored_are_refused_with_what_to_give(load, config, folder):
    cases = (
        ({"clean": ()}, "data.clean: lowercase, not ()", "--config.data.clean=lowercase"),
        ({"dedup": "near"}, "data.dedup: none, not near", "--config.data.dedup=none"),
        ({"valid": ("x.txt",)}, "data.valid: (), not x.txt", "'--config.data.valid=()'"),
        ({"valid_fraction": 0.2}, "data.valid_fraction: 0.1, not 0.2", "--config.data.valid_fraction=0.1"),
        (
            {"tokenizer": dataclasses.replace(config, vocab_size=301)},
            "tokenizer.vocab_size: 300, not 301",
            "--config.tokenizer.vocab_size=300",
        ),
    )
    for changes, difference, flag in cases:
        with pytest.raises(ConfigError) as caught:
            load(**changes)
        assert str(caught.value) == (
            f"{folder} was prepared with other settings ({difference}); give {flag}, or prepare it again"
        )


def test_options_of_training_are_free(load):
    fingerprint = load().fingerprint
    changes = {"sequence_length": 8, "cache_dir": "elsewhere", "packing": "pad", "on_end": "stop", "temperature": 2.0}
    assert load(**changes).fingerprint == fingerprint
    assert load(weights=(1.0,)).fingerprint == fingerprint
    with pytest.raises(ConfigError, match="must be one number for each of the 1 sources"):
        load(weights=(1.0, 2.0))


def test_every_option_is_either_looked_at_or_free(options, config):
    """A new field of the config must be one or the other."""
    from data.config import TRAINING_FIELDS, preparation_options

    fields = {f"data.{field.name}" for field in dataclasses.fields(options)}
    looked_at = preparation_options(options, config)
    assert fields == {f"data.{name}" for name in TRAINING_FIELDS} | {
        key for key in looked_at if key.startswith("data.")
    }
    known = {"valid", "valid_fraction", "text_field", "skip_bad", "clean", "dedup"}
    known |= {"augment", "augment_copies", "augment_seed", "subword_sampling", "subword_copies", "subword_seed"}
    assert {key for key in looked_at if key.startswith("data.")} == {f"data.{name}" for name in known}


def first(folder, pattern):
    return sorted(folder.glob(pattern))[0]


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("pattern", "damage", "message"),
    [
        ("train-*-00000.bin", cut, "has 399 bytes, its manifest says 400; prepare it again"),
        ("valid-*-00000.bin", cut, "bytes, its manifest says"),
        ("train-*-00001.idx", flip, "has been damaged or changed since it was written"),
        ("tokenizer.model", flip, "has been damaged or changed since it was written"),
        ("train-*-00001.bin", lambda path: path.unlink(), "cannot be read (No such file or directory)"),
        ("manifest.json", cut, None),
        ("manifest.json", lambda path: path.write_text(path.read_text()[:100]), "manifest.json cannot be read"),
        (
            "manifest.json",
            lambda path: path.write_text(path.read_text().replace('"lowercase"', '"nfc"')),
            "manifest.json has been changed since it was written",
        ),
        (
            "manifest.json",
            lambda path: path.write_text(path.read_text().replace('"version": 1', '"version": 2')),
            "has version 2 of the format, this code reads 1; prepare it again",
        ),
    ],
)
def test_damage_is_one_line(load, folder, pattern, damage, message):
    damage(first(folder, pattern))
    if message is None:  # the newline at the end
        load()
        return
    with pytest.raises(UserError) as caught:
        load()
    assert message in str(caught.value) and str(folder) in str(caught.value)


def test_a_changed_token_is_found_where_all_is_read(load, folder):
    flip(first(folder, "train-*-00001.bin"))
    load()  # sizes are as they were, and tokens are not read before they are needed
    manifest = read_manifest(folder)
    with pytest.raises(UserError, match=r"00001\.bin has been damaged or changed since it was written"):
        check_files(folder, manifest, list(manifest["files"]))


def test_only_a_folder_with_our_manifest_is_one(tmp_path, folder):
    assert is_prepared(str(folder)) and not is_prepared(str(tmp_path)) and not is_prepared("builtin:hsk")
    for other in ([], "text", {"files": []}):
        (tmp_path / "manifest.json").write_text(json.dumps(other))
        assert not is_prepared(str(tmp_path))
    with pytest.raises(UserError, match="is not the manifest of a prepared folder"):
        read_prepared(tmp_path)


def test_it_stands_alone(load, folder):
    with pytest.raises(ConfigError, match="a prepared folder stands alone; prepare all the sources together"):
        load(train=(str(folder), "builtin:hsk"))


def test_keys_of_documents_are_part_of_the_selection(tmp_path):
    """Those with one key are on one side, whatever their texts became."""
    from data.blocks import make_blocks
    from data.selection import select

    documents = [Document(f"Text {number} {side}", "x", key=f"{number}") for number in range(60) for side in "ab"]
    selection = select(make_blocks(documents, None, ("lowercase",), False, tmp_path), "none", 0.2, tmp_path)
    sides = [
        {text.split()[1] for numbers in side.values() for text in selection.texts[numbers].read()}
        for side in (selection.train, selection.valid)
    ]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 60
