"""What a resumed run may change."""

import json

import pytest

from common.configs import flatten
from tests.training.test_config import BASE, changed
from training.changes import HARMLESS, harmful_changes


def test_nothing_changed_is_no_harm():
    assert harmful_changes(BASE, BASE) == []
    assert harmful_changes(json.loads(json.dumps(BASE)), BASE) == []


SOURCES = ("data.train", "data.valid")


@pytest.mark.parametrize("key", SOURCES)
def test_text_may_be_moved_but_for_what_weights_count(key):
    """Whether it is still the same text, `RunFolder.begin` asks its fingerprint."""
    change = {key.replace(".", "__"): "elsewhere"}
    assert harmful_changes(BASE, changed(**change)) == []
    weighted = {"data__weights": (0.7, 0.3)}
    (line,) = harmful_changes(changed(**weighted), changed(**weighted, **change))
    assert line.startswith(f"{key}: ")


@pytest.mark.parametrize("key", HARMLESS)
def test_what_is_only_reported_or_laid_out_may_change(key):
    assert key in flatten(BASE)
    assert harmful_changes(BASE, changed(**{key.replace(".", "__"): "changed"})) == []


@pytest.mark.parametrize("key", sorted(flatten(BASE).keys() - set(HARMLESS) - {"training.microbatches", *SOURCES}))
def test_all_else_may_not(key):
    before = flatten(BASE)[key]
    before = ",".join(before) if isinstance(before, tuple) else before
    assert harmful_changes(BASE, changed(**{key.replace(".", "__"): "changed"})) == [f"{key}: {before!r} -> 'changed'"]


def test_all_changes_are_listed_in_order():
    before = changed(seed=0, model__embed_dim=192, training__log_every=20, data__clean=("nfc", "html"))
    after = changed(seed=1, model__embed_dim=96, training__log_every=1, data__clean=["nfkc"])
    assert harmful_changes(before, after) == [
        "data.clean: 'nfc,html' -> 'nfkc'",
        "model.embed_dim: 192 -> 96",
        "seed: 0 -> 1",
    ]


def test_a_key_that_one_side_lacks_is_a_change():
    assert harmful_changes(changed(seed=...), changed(seed=3)) == ["seed: None -> 3"]
    assert harmful_changes(BASE, changed(model__extra=1)) == ["model.extra: None -> 1"]


def test_the_same_in_another_spelling_is_no_change():
    weights = {"data__weights": (1.0, 2.0)}  # so that sources matter
    before = changed(**weights, data__train=("a.txt", "b.txt"), data__valid="a.txt")
    assert harmful_changes(before, changed(**weights, data__train=" a.txt, b.txt", data__valid=["a.txt "])) == []
    assert harmful_changes(changed(optimizer__clip_norm=1), changed(optimizer__clip_norm=1.0)) == []


@pytest.mark.parametrize(("dropout", "expected"), [(0.0, []), (0.1, ["training.microbatches: 1 -> 4"])])
def test_microbatches_are_no_change_without_dropout(dropout, expected):
    after = changed(model__dropout=dropout, training__microbatches=4)
    assert harmful_changes(changed(model__dropout=dropout), after) == expected


@pytest.mark.parametrize("schedule", ["constant", "rsqrt", "linear", "cosine", "wsd"])
def test_more_steps_are_no_change_where_the_schedule_does_not_look_at_the_end(schedule):
    before = changed(optimizer__schedule=schedule)
    after = changed(optimizer__schedule=schedule, training__num_steps=99)
    expected = (
        [] if schedule in ("constant", "rsqrt") else [f"training.num_steps: {BASE['training']['num_steps']} -> 99"]
    )
    assert harmful_changes(before, after) == expected
