"""Labels of a whole text that are not one class: numbers, and several classes; and what stands behind a text."""

import numpy as np
import pytest

from common.errors import UserError
from data.config import DataConfig
from data.examples import load_examples, read_examples
from data.forms import FORMS
from data.forms.form import Example, cut_to_rows
from data.tokenizer import TokenizerConfig

CHAR = TokenizerConfig(300, "char", 1.0, byte_fallback=False, split_digits=True)


def options(*train, **changes):
    return DataConfig(train or ("unused",), (), 0.25, 32, "unused", **changes)


@pytest.mark.parametrize(("label", "number"), [(3, 3.0), (-0.5, -0.5), ("2.5", 2.5), (" 1e-3 ", 0.001), ("-7", -7.0)])
def test_numbers(label, number):
    assert FORMS["scores"].check({"text": "a", "label": label}, options())["label"] == number


@pytest.mark.parametrize(
    "label", ["", "three", True, None, float("nan"), float("inf"), "-inf", 1e300, 10**400, [1], "1,5"]
)
def test_what_is_no_finite_number_is_told(label):
    with pytest.raises(UserError, match=r'"label" is .*; this task learns numbers, and finite ones'):
        FORMS["scores"].check({"text": "a", "label": label}, options())


@pytest.mark.parametrize(
    ("label", "names"),
    [
        (["b", "a", "b"], ("a", "b")),
        ("b, a", ("a", "b")),
        ([], ()),
        ("", ()),
        ([2, 10], ("10", "2")),
        ("one", ("one",)),
    ],
)
def test_several_labels(label, names):
    assert FORMS["label_sets"].check({"text": "a", "label": label}, options())["label"] == names


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (3, "is '3', not a list of labels"),
        (None, "not a list"),
        ([1.5], "not a list"),
        ("a,,b", "holds an empty label"),
    ],
)
def test_what_are_no_labels_is_told(label, message):
    with pytest.raises(UserError, match=message):
        FORMS["label_sets"].check({"text": "a", "label": label}, options())


def test_a_corpus_of_each(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label,grade\n" + "".join(f'the {n},"x{n % 2},y","{n / 4}"\n' for n in range(40)))
    sets = load_examples(options(str(path)), FORMS["label_sets"], CHAR, (), pytest.fail)
    assert sets.classes == ("x0", "x1", "y")
    for side in (sets.train, sets.valid):
        labels = side[str(path)].labels
        assert labels.dtype == np.int32 and (labels[:, 2] == 1).all() and (labels[:, :2].sum(1) == 1).all()
    numbers = load_examples(options(str(path), label_field="grade"), FORMS["scores"], CHAR, (), pytest.fail)
    assert numbers.classes == () and numbers.train[str(path)].labels.dtype == np.float32
    values = np.concatenate([side[str(path)].labels for side in (numbers.train, numbers.valid)])
    np.testing.assert_array_equal(np.sort(values), np.arange(40) / 4)
    path.write_text("text,label\n" + "a,1\n" * 3 + "b,one\n")
    with pytest.raises(UserError, match=r"a\.csv, line 5: \"label\" is 'one'; this task learns numbers"):
        load_examples(options(str(path)), FORMS["scores"], CHAR, (), pytest.fail)


def test_the_built_in_levels_are_numbers():
    data = options("builtin:hsk/zh", label_field="hsk_level")
    values = [example.values["label"] for example in read_examples(["builtin:hsk/zh"], FORMS["scores"], data)]
    assert set(values) == {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
    with pytest.raises(UserError, match="is 'greetings'; this task learns numbers"):
        next(read_examples(["builtin:hsk/zh"], FORMS["scores"], options("builtin:hsk/zh", label_field="topic")))


def test_what_the_tokenizer_puts_behind_a_text_is_kept_however_long_it_is():
    tokens, cut = cut_to_rows([[1, 2], [1, 2, 3], [1, 2, 3, 4]], 5, suffix=[9])
    assert tokens == [[1, 2, 9], [1, 2, 3, 9], [1, 2, 3, 9]] and cut == 1
    assert cut_to_rows([[1, 2, 3, 4], [1, 2, 3, 4, 5]], 5) == ([[1, 2, 3, 4]] * 2, 1)


@pytest.mark.parametrize("form", ["labels", "scores", "label_sets"])
def test_every_form_of_whole_texts_keeps_it(form):
    class Framed:
        suffix = (9,)

        def encode_all(self, texts):
            return [[1] * len(text) for text in texts]

    label = {"labels": "x", "scores": 1.0, "label_sets": ("x",)}[form]
    examples = [Example(text, "", values={"label": label}) for text in ("ab", "a" * 50)]
    found = FORMS[form].encode(examples, Framed(), ("x", "y"), options())
    assert found.tokens == [[1, 1, 9], [1] * 30 + [9]] and found.cut == 1
