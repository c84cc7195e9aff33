"""The table of steps, and what the cleaner counts."""

import itertools
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError, UserError
from data.cleaning import SAMPLES, STEPS, Cleaner, Sample, Stage, add_stages, make_sample, make_step
from data.document import Document
from data.sources import read_documents

ROOT = Path(__file__).parent.parent.parent
ANY = st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n\t .。,<>&;/pbré你好1８😀\u200d\ufeff"))


@pytest.mark.parametrize("name", STEPS)
@given(ANY)
@settings(deadline=None, max_examples=50)
def test_any_text_can_be_cleaned(name, text):
    cleaned = make_step(name)(text)
    assert cleaned is None or cleaned.encode().decode().strip()


@pytest.mark.parametrize("name", STEPS)
def test_a_step_with_its_default_is_the_step(name):
    step, summary = STEPS[name], STEPS[name].summary
    assert "," not in step.default and "\n" not in summary and summary
    text = "Hello <b>Ｗorld</b>. 你好，a@b.cn！\n" * 2
    assert make_step(f" {name} ")(text) == make_step(name)(text)
    if step.default:
        assert make_step(f"{name}={step.default}")(text) == make_step(name)(text)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("urlz", "data.clean='urlz' is not known (did you mean 'urls'?); choose from: alphabetic, boilerplate, "),
        ("", "data.clean='' is not known; choose from: "),
        ("urls=mast", "data.clean='urls=mast': 'mast' is not known (did you mean 'mask'?); choose from: mask, remove, drop"),
        ("urls=", "data.clean='urls=': '' is not known; choose from: mask, remove, drop"),
        ("punctuation=ascii", "choose from: fold, remove"),
        ("chinese=simple", "(did you mean 'simplified'?)"),
        ("nfc=yes", "data.clean='nfc=yes': it takes no value, not 'yes'"),
        ("unicode=1", "it takes no value"),
        ("html=1", "it takes no value"),
        ("min_words=many", "data.clean='min_words=many': 'many' must be a number, at least 0"),
        ("letters=-1", "'-1' must be a number, at least 0"),
        ("letters=nan", "must be a number"),
        ("word_length=5", "'5' must be SHORTEST+LONGEST, such as 3+10"),
        ("word_length=5+", "'' must be a number"),
        ("word_length=9+3", "'9+3' must be SHORTEST+LONGEST, such as 3+10"),
        ("top_ngrams=2", "'2' must be N:SHARE, such as 5:0.15; several are joined by +"),
        ("top_ngrams=0:1", "'0:1' must be N:SHARE"),
        ("language=en+xx", "data.clean='language=en+xx': 'xx' is not known"),
    ],
)  # fmt: skip
def test_a_spec_that_is_none_is_refused(spec, message):
    with pytest.raises(ConfigError) as caught:
        make_step(spec)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "module", "name"),
    [
        ("unicode", "ftfy", "ftfy"),
        ("html", "selectolax.lexbor", "selectolax"),
        ("chinese=traditional", "opencc", "opencc"),
        ("language", "py3langid", "py3langid"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, spec, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    step = spec.partition("=")[0]
    with pytest.raises(
        UserError, match=f"^data.clean={step} needs the package {name} .*pip install -r requirements-data.txt"
    ):
        make_step(spec)
    assert name in (ROOT / "requirements-data.txt").read_text()


def test_no_package_is_imported_before_its_step_is_made():
    code = "import sys, data.cleaning; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "data.normalize" in loaded and not loaded & {"ftfy", "selectolax", "opencc", "py3langid", "jax"}


SPECS = ["nfkc", "whitespace", "urls=remove", "emails=drop", "min_words=3"]
TEXTS = [
    "One  two three",
    "one two",
    "Ｔhree words here",
    "see http://a.com",
    "mail a@b.cn to me",
    "你好吗",
    "http://only.com",
    "one two three four",
]


def test_counts_by_hand():
    cleaner = Cleaner(SPECS)
    documents = [Document(text, "s", key="k") for text in TEXTS]
    kept = list(cleaner.clean(documents))
    assert [document.text for document in kept] == ["One two three", "Three words here", "你好吗", "one two three four"]
    assert all((document.source, document.key) == ("s", "k") for document in kept)
    assert kept[3] is documents[7]
    assert [stage.name for stage in cleaner.stages] == SPECS
    counts = [(stage.documents_in, stage.documents_out, stage.changed) for stage in cleaner.stages]
    assert counts == [(8, 8, 1), (8, 8, 1), (8, 7, 1), (7, 6, 0), (6, 4, 0)]
    sizes = [len(text.encode()) for text in TEXTS]
    assert cleaner.stages[0].bytes_in == sum(sizes)
    assert cleaner.stages[0].bytes_out == sum(sizes) - 2 == cleaner.stages[1].bytes_in
    assert cleaner.stages[-1].bytes_out == sum(len(document.text.encode()) for document in kept)
    assert [(sample.before, sample.after, sample.dropped) for sample in cleaner.stages[3].samples] == [
        ("mail a@b.cn to me", "", True)
    ]


def test_a_sample_of_equal_texts_begins_where_they_do():
    assert make_sample(0, "今天天气很好。" * 5, "今天天气很好。" * 5).before == "今天天气很好。" * 5
    assert make_sample(0, "ab" * 50, None) == Sample(0, "ab" * 40 + "…", "", True)


def test_samples_show_where_the_text_begins_to_differ():
    cleaner = Cleaner(["urls"])
    text = f"{'x' * 500} at http://a.com, {'y' * 500}"
    assert cleaner.clean_text(text) is not None
    (sample,) = cleaner.stages[0].samples
    assert sample.before.startswith("…xxx") and " at http://a.com, yyy" in sample.before and len(sample.before) <= 82
    assert sample.before.endswith("yyy…")
    assert " at <url>, yyy" in sample.after and not sample.dropped


CORPUS = [document.text for document in itertools.islice(read_documents(["builtin:chat"]), 300)] * 2
CORPUS_SPECS = ["control", "punctuation", "whitespace", "language", "min_words=5", "stop_words=1"]


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("seed", [None, 1])
def test_partitions_add_up_in_any_order(parts, seed):
    def run(texts) -> tuple[list[str], list[Stage]]:
        cleaner = Cleaner(CORPUS_SPECS)
        return [document.text for document in cleaner.clean(Document(text, "s") for text in texts)], cleaner.stages

    texts = list(CORPUS)
    if seed:
        random.Random(seed).shuffle(texts)
    done = [run(texts[part::parts]) for part in range(parts)]
    whole, stages = run(CORPUS)
    assert sorted(itertools.chain(*(kept for kept, _ in done))) == sorted(whole)
    assert add_stages(stages for _, stages in reversed(done)) == tuple(stages)
    assert 0 < len(whole) < len(CORPUS) and any(len(stage.samples) == SAMPLES for stage in stages)


STAGES = st.builds(
    Stage,
    st.just("x"),
    *[st.integers(0, 9)] * 5,
    st.sets(st.integers(0, 9), max_size=SAMPLES).map(
        lambda ranks: tuple(Sample(r, "b", "a", False) for r in sorted(ranks))
    ),
)


@given(STAGES, STAGES, STAGES)
def test_adding_stages_is_a_sum(a, b, c):
    assert a + b == b + a and (a + b) + c == a + (b + c) and a + Stage("x") == a
    assert (a + b).documents_in == a.documents_in + b.documents_in


def test_stages_of_two_steps_do_not_add_up():
    with pytest.raises(ValueError, match="two steps, a and b"):
        Stage("a") + Stage("b")
