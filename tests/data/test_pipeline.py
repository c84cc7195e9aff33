"""What is prepared is what training would select by itself, and does not depend on how the sources are cut."""

import dataclasses
import itertools
import json
import random

import numpy as np
import pytest

import data.corpus
import data.tokens
from common.errors import ConfigError, UserError
from data.config import DataConfig
from data.corpus import load_corpus
from data.mapped import temporary_folder
from data.pipeline import prepare, refuse_places
from data.prepared import read_prepared, write_manifest
from data.sample import sample_counts
from data.tokens import file_names

WORDS = (
    "the",
    "cat",
    "dog",
    "bird",
    "tree",
    "house",
    "sees",
    "hears",
    "old",
    "red",
    "green",
    "never",
    "你好",
    "天气",
    "公园",
)


def sentences(number: int, seed: int = 0) -> list[str]:
    """Documents of some twenty random words, no two alike."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=20)) + f" {number}." for number in range(number)]


@pytest.fixture
def write(tmp_path):
    """`write(name, documents)`: a JSONL file; gives its path."""

    def make(name: str, documents: list[str]) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
        return str(path)

    return make


@pytest.fixture
def config(tmp_path):
    """`config(train, **changes)`: the options."""

    def make(train, **changes) -> DataConfig:
        return DataConfig(train, **{"valid": (), "valid_fraction": 0.1, "sequence_length": 16} | changes,
                          cache_dir=str(tmp_path / "cache"))  # fmt: skip

    return make


@pytest.fixture
def run(tmp_path, tokenizer):
    """`run(options)`: what is in the folder that is prepared so."""
    numbers = itertools.count()

    def make(options: DataConfig, tokenizer=tokenizer, **more):
        folder = tmp_path / f"prepared{next(numbers)}"
        folder.mkdir()
        with temporary_folder() as work:
            prepare(options, tokenizer, folder, work, **more)
        return read_prepared(folder)

    return make


def texts_of(by_source, tokenizer) -> list[str]:
    return [
        tokenizer.decode(text.tokens[start + 1 : start + length].tolist())
        for text in by_source.values()
        for start, length in zip(text.starts, text.lengths, strict=True)
    ]


def similarity(a: str, b: str) -> float:
    """Jaccard's, of the 5-grams of words: what near copies are estimated by."""
    grams = [{*zip(*(words[shift:] for shift in range(5)), strict=False)} for words in (a.split(), b.split())]
    return len(grams[0] & grams[1]) / max(1, len(grams[0] | grams[1]))


def test_what_is_prepared_is_what_training_selects(write, config, run, tokenizer_config):
    """The same tokenizer, tokens, order and fingerprint, from shards of any size."""
    sources = (write("b.jsonl", sentences(80)), write("a.jsonl", sentences(60, 1) + sentences(20)))
    options = config(sources, clean=("lowercase", "whitespace"), dedup="exact")
    corpus = load_corpus(options, tokenizer_config(vocab_size=320))
    prepared = run(options, tokenizer_config(vocab_size=320), shard_tokens=100)
    assert prepared.manifest["fingerprint"] == corpus.fingerprint
    assert prepared.tokenizer.model == corpus.tokenizer.model
    for theirs, ours in ((prepared.train, corpus.train), (prepared.valid, corpus.valid)):
        assert list(theirs) == list(ours) == sorted(sources)
        for source in ours:
            np.testing.assert_array_equal(theirs[source].tokens[:], ours[source].tokens)
            np.testing.assert_array_equal(theirs[source].starts, ours[source].starts)
            assert theirs[source].num_bytes == ours[source].num_bytes
    assert prepared.manifest["splits"]["train"][sources[0]]["shards"] > 1


def test_variants_are_for_training_alone_on_both_routes(write, config, run, tokenizer):
    source = write("a.jsonl", sentences(60))
    plain, options = config(source), config(source, augment=("swap=1",), augment_copies=2)
    before, corpus, prepared = load_corpus(plain, tokenizer), load_corpus(options, tokenizer), run(options)
    texts = texts_of(before.train, tokenizer)
    for train in (corpus.train, prepared.train):
        found = texts_of(train, tokenizer)
        assert sorted(found[::3]) == sorted(texts) and len(found) == 3 * len(texts)
        for text, variant in zip(found[::3], found[1::3], strict=True):
            assert text != variant and sorted(text) == sorted(variant)
    for valid in (corpus.valid, prepared.valid):
        assert sorted(texts_of(valid, tokenizer)) == sorted(texts_of(before.valid, tokenizer))
    assert load_corpus(config(source, augment=("swap=1",), augment_seed=1), tokenizer).fingerprint != corpus.fingerprint


def test_what_a_source_gives_to_both_sides_is_counted_twice(write, config, run):
    source = write("a.jsonl", sentences(60))
    with open(source, "a") as file:
        file.write("no\n")
    manifest = run(config(source, valid=source, skip_bad=True)).manifest
    assert manifest["sources"][source]["documents"] == manifest["stages"][0]["documents_in"] == 120
    assert manifest["skipped"] == {"count": 2, "examples": [f"{source}, line 61: not JSON (Expecting value)"] * 2}


def test_a_link_that_leads_nowhere_is_told_or_left_out(write, config, run, tmp_path):
    write("docs/a.jsonl", sentences(60))
    (lost := tmp_path / "docs/b.txt").symlink_to(tmp_path / "missing")
    options = config(f"{tmp_path}/docs")
    with pytest.raises(UserError, match=rf"^cannot read {lost}: No such file or directory$"):
        run(options)
    assert run(dataclasses.replace(options, skip_bad=True)).manifest["skipped"]["count"] == 1


@pytest.mark.parametrize("augment", [(), ("swap=1",)])
def test_drawn_pieces_are_for_training_alone_and_the_same_on_both_routes(write, config, run, tokenizer, augment):
    source = write("a.jsonl", sentences(60))
    options = config(source, dedup="exact", augment=augment, subword_sampling=0.5, subword_copies=3)
    before = load_corpus(dataclasses.replace(options, subword_sampling=0.0), tokenizer)
    corpus, prepared = load_corpus(options, tokenizer), run(options, shard_tokens=100)
    assert prepared.manifest["fingerprint"] == corpus.fingerprint != before.fingerprint
    np.testing.assert_array_equal(prepared.train[source].tokens[:], corpus.train[source].tokens)
    texts, found = texts_of(before.train, tokenizer), texts_of(corpus.train, tokenizer)
    assert found[::3] == found[1::3] == found[2::3] == texts
    assert corpus.train[source].num_bytes == 3 * before.train[source].num_bytes
    assert corpus.num_tokens > 3.5 * before.num_tokens  # drawn pieces are shorter
    for valid in (corpus.valid[source], prepared.valid[source]):
        np.testing.assert_array_equal(valid.tokens[:], before.valid[source].tokens)
    others = [dataclasses.replace(options, **change) for change in ({"subword_seed": 1}, {"subword_sampling": 0.4})]
    assert len({load_corpus(other, tokenizer).fingerprint for other in (options, *others)}) == 3


def test_a_folder_from_before_an_option_came_to_be_is_not_taken_for_one_with_it(
    write, config, run, tokenizer, tmp_path
):
    options = config(write("a.jsonl", sentences(60)))
    manifest = run(options).manifest
    (folder,) = tmp_path.glob("prepared*")
    for name in manifest["files"]:
        assert (folder / name).exists()
    content = {name: value for name, value in manifest.items() if name not in ("format", "version", "files", "hash")}
    content["options"] = {key: value for key, value in content["options"].items() if "subword" not in key}
    (folder / "manifest.json").unlink()
    write_manifest(folder, content, {})
    of_folder = dataclasses.replace(options, train=(str(folder),))
    assert load_corpus(of_folder, tokenizer).fingerprint == manifest["fingerprint"]
    with pytest.raises(
        ConfigError, match=r"subword_sampling: 0\.0, not 0\.1\); give --config\.data\.subword_sampling=0\.0"
    ):
        load_corpus(dataclasses.replace(of_folder, subword_sampling=0.1), tokenizer)


@pytest.mark.parametrize("dedup", ["none", "exact"])
def test_the_tokenizer_is_trained_on_no_more_than_it_is_told(write, config, run, tokenizer_config, monkeypatch, dedup):
    sources = (write("a.jsonl", sentences(300)), write("b.jsonl", sentences(300, 1)))
    seen, train = [], data.corpus.train
    for module in (data.corpus, data.tokens):
        monkeypatch.setattr(module, "train", lambda texts, given: seen.append(list(texts)) or train(seen[-1], given))
    options, asked = config(sources, dedup=dedup), tokenizer_config(vocab_size=300, sample_bytes=8000)
    load_corpus(options, asked)
    run(options, asked)
    assert all(6000 < sum(len(text.encode()) for text in texts) < 10_000 for texts in seen) and len(seen) == 2
    numbers = [int(text.split()[-1].strip(".")) for text in seen[0]]
    assert max(numbers) > 150 and sorted(numbers)[: len(numbers) // 2] != [
        *range(len(numbers) // 2)
    ]  # not the first ones


def test_options_change_what_is_selected_and_the_cache_is_not_used(write, config, tokenizer, monkeypatch):
    source = write("a.jsonl", [*sentences(40), *sentences(40), "Short."])
    calls, select = [], data.corpus.select
    monkeypatch.setattr(data.corpus, "select", lambda *given: calls.append(given) or select(*given))
    changes = [{"dedup": "exact"}, {"clean": ("min_words=5",)}, {"clean": ("lowercase",)}, {"dedup": "near"}]
    fingerprints = [load_corpus(config(source, **change), tokenizer).fingerprint for change in changes]
    assert len(calls) == len(changes) and len(set(fingerprints[:3])) == 3
    assert [load_corpus(config(source, **change), tokenizer).fingerprint for change in changes] == fingerprints
    assert len(calls) == len(changes)  # the second time all of it was in the cache
    load_corpus(config(source), tokenizer)
    assert len(calls) == len(changes)  # nothing is to be selected
    monkeypatch.setattr(data.corpus, "code_hash", lambda: "other code, which may select others")
    load_corpus(config(source, **changes[0]), tokenizer)
    assert len(calls) == 1 + len(changes)


@pytest.mark.parametrize("dedup", ["none", "near"])
def test_neither_files_nor_order_matter(write, config, run, tmp_path, dedup):
    documents = sentences(100) + sentences(30)
    fingerprints = set()
    for cut in (1, 7, 130):
        draw = random.Random(cut)
        draw.shuffle(documents)
        for file in (tmp_path / "folder").glob("*"):
            file.unlink()
        for start in range(0, len(documents), -(-len(documents) // cut)):
            write(f"folder/{start}.jsonl", documents[start : start + -(-len(documents) // cut)])
        other = write("other.jsonl", sentences(20, 3))
        sources = (str(tmp_path / "folder"), other)
        prepared = run(config(sources[:: draw.choice((1, -1))], dedup=dedup))
        fingerprints.add(prepared.manifest["fingerprint"])
    assert len(fingerprints) == 1


@pytest.mark.parametrize("has_valid", [False, True])
def test_no_validation_document_or_near_copy_is_trained_on(write, config, run, tokenizer, has_valid):
    originals = sentences(120)
    near = [f"Very {text}" for text in originals]
    copies = [text.upper() for text in originals[:30]]
    train = write("a.jsonl", [*originals, *near, *copies])
    held_out = sentences(100, 9) + originals[:40]
    options = config(train, valid=(write("v.jsonl", held_out),) if has_valid else (), dedup="near")
    assert similarity(originals[0], near[0]) > 0.9 > 0.1 > similarity(originals[0], originals[1])
    prepared = run(options)
    training, valid = (texts_of(side, tokenizer) for side in (prepared.train, prepared.valid))
    assert len(training) > 50 and len(valid) > (100 if has_valid else 5)
    if has_valid:
        assert {text.casefold() for text in valid} == {text.casefold() for text in held_out}
    for text in valid:
        assert max(similarity(text.casefold(), other.casefold()) for other in training) < 0.85
    # Without it, copies are on both sides.
    plain = run(config(train, valid=options.valid))
    folded = [{text.casefold() for text in texts_of(side, tokenizer)} for side in (plain.train, plain.valid)]
    assert folded[0] & folded[1]


def test_the_manifest_counts_what_happened(write, config, run):
    documents = [*(f"{text}  x" for text in sentences(50)), *sentences(10), *sentences(10), "Too short."]
    prepared = run(config(write("a.jsonl", documents), clean=("whitespace", "min_words=5"), dedup="exact"))
    stages = {stage["name"]: stage for stage in prepared.manifest["stages"]}
    counts = {name: (stage["documents_in"], stage["documents_out"], stage["changed"]) for name, stage in stages.items()}
    assert counts == {
        "read": (71, 71, 0),
        "whitespace": (71, 71, 50),
        "min_words=5": (71, 70, 0),
        "dedup=exact": (70, 60, 0),
    }
    sizes = [stage[side] for stage in stages.values() for side in ("bytes_in", "bytes_out")]
    assert sizes[0] == sum(len(text.encode()) for text in documents)
    assert sizes[1::2][:-1] == sizes[2::2]  # what leaves a stage comes to the next
    parts = [part for split in prepared.manifest["splits"].values() for part in split.values()]
    assert sum(part["documents"] for part in parts) == 60 and sum(part["bytes"] for part in parts) == sizes[-1]
    (copy, *_) = stages["dedup=exact"]["samples"]
    assert copy["dropped"] and copy["before"] == copy["after"]


def test_one_text_is_split_by_lines_and_copies_of_what_is_held_out_go(write, config, run, tokenizer):
    prepared = run(config(write("a.jsonl", ["\n".join(sentences(40))]), dedup="near"))
    training, valid = (texts_of(side, tokenizer) for side in (prepared.train, prepared.valid))
    assert "\n".join(training + valid).split("\n") == sentences(40)


def test_what_leaves_nothing_is_refused_with_what_to_do(write, config, run):
    source = write("a.jsonl", sentences(20))
    with pytest.raises(
        UserError, match=r"no document is left by data.clean \(min_words=500 took 20\); change its steps"
    ):
        run(config(source, clean=("min_words=500",)))
    with pytest.raises(UserError, match=r"no document to train on is left: of 40 after data\.clean, 20 are no copies"):
        run(config(source, valid=(source,), dedup="exact"))
    with pytest.raises(ConfigError, match="clean='min_wordz' is not known"):
        config(source, clean=("min_wordz=5",))
    with pytest.raises(ConfigError, match="dedup='fuzzy' is not known"):
        config(source, dedup="fuzzy")


def test_the_tokenizer_sees_each_source_in_its_share():
    sizes = [np.full(100, 10), np.full(300, 10)]
    assert sample_counts(sizes, most=400) == [10, 30]
    assert sample_counts(sizes, most=401) == [11, 31]
    assert sample_counts(sizes, most=10**9) == sample_counts(sizes, most=4000) == [100, 300]
    assert sample_counts([np.array([7])], most=1) == [1]


def test_files_are_named_after_their_sources():
    names = dict(file_names("train", ["builtin:hsk", "a/b.txt", "a-b.txt", "a_b.txt", "数据", "语料", "x" * 300]))
    assert names["builtin:hsk"] == "train-builtin-hsk" and names["数据"] == "train-text"
    assert len(set(names.values())) == len(names) and max(map(len, names.values())) < 60


def test_a_place_among_the_sources_is_refused(write, config, run, tmp_path):
    write("folder/a.jsonl", sentences(20))
    options = config(str(tmp_path / "folder"))
    refuse_places(options, tmp_path / "folder2")
    with pytest.raises(ConfigError, match=r"is inside the source .*folder, which would be read with it"):
        refuse_places(options, tmp_path / "folder" / "tokens" / "x")
    run(options)
    with pytest.raises(ConfigError, match="prepared0 is prepared already; name its sources"):
        refuse_places(config(str(tmp_path / "prepared0")), tmp_path / "new")
