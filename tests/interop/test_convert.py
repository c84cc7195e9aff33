"""convert.py, there and back, and what it refuses: always one line, and nothing half-written."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from common.errors import UserError
from interop import reader
from interop.reader import open_tensors
from interop.weights import family_of, look_through, read_params
from tests.conftest import ROOT
from tests.interop.folders import PIECES, small, write_folder, write_tokenizer
from tests.interop.reference import required
from training.converted import export_published, import_published
from training.settings import load_settings
from training.trained_model import load_model


def convert(folder, target, dtype="float32", said=None):
    target.mkdir()
    settings = load_settings(ROOT / "configs" / "base.py")
    return import_published(folder, str(folder), target, settings, dtype, (said if said is not None else []).append)


def assert_same(ours, theirs):
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.asarray(mine).tobytes() == np.asarray(other).tobytes() and mine.dtype == other.dtype


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral", "qwen2", "qwen3", "bert", "roberta", "t5", "mt5"])
def test_there_and_back_is_the_same_to_the_bit(tmp_path, family):
    config, params = write_folder(tmp_path / "theirs", family, shard_size=5000)
    convert(tmp_path / "theirs", tmp_path / "run")
    model = load_model(str(tmp_path / "run"), pytest.fail)
    assert_same(model.params, params)
    assert model.step == 0 and model.tokenizer.encode("The fox") and model.run.model.embed_dim == config.embed_dim
    (tmp_path / "again").mkdir()
    export_published(str(tmp_path / "run"), tmp_path / "again", 1 << 30, lambda line: None)
    theirs, ours = open_tensors(tmp_path / "theirs"), open_tensors(tmp_path / "again")
    assert theirs.names == ours.names and len(list((tmp_path / "theirs").glob("*.safetensors"))) > 3
    assert all(next(theirs.pieces(name))[1].tobytes() == next(ours.pieces(name))[1].tobytes() for name in ours.names)
    assert json.loads((tmp_path / "again" / "config.json").read_text())["model_type"] == family


def test_what_was_trained_here_tells_where_its_texts_begin_and_end(tmp_path):
    write_folder(tmp_path / "theirs", "t5")
    convert(tmp_path / "theirs", tmp_path / "run")
    edit_json(tmp_path / "run" / "data.json", converted_from=None)
    (tmp_path / "again").mkdir()
    export_published(str(tmp_path / "run"), tmp_path / "again", 1 << 30, lambda line: None)
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    tokenizer = load_model(str(tmp_path / "run"), pytest.fail).tokenizer
    assert written["decoder_start_token_id"] == tokenizer.decoder_start == PIECES - 1
    assert {written[f"{role}_token_id"] for role in ("bos", "eos", "pad")} == {tokenizer.end_of_text}


def test_bfloat16_stays_as_it_is(tmp_path):
    _, params = write_folder(tmp_path / "theirs", "llama", dtype="bfloat16")
    convert(tmp_path / "theirs", tmp_path / "run", "bfloat16")
    assert_same(load_model(str(tmp_path / "run"), pytest.fail).params, params)
    convert(tmp_path / "theirs", tmp_path / "wide")
    wide = load_model(str(tmp_path / "wide"), pytest.fail).params
    assert_same(wide, jax.tree.map(lambda leaf: leaf.astype(np.float32), params))


@pytest.mark.slow
def test_the_commands(tmp_path, command, here):
    write_folder(tmp_path / "theirs", tie_embeddings=True)
    done = command("convert.py", "from-hf", "theirs", "run")
    assert (done.returncode, done.stdout, done.stderr) == (0, "run\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "theirs"]
    arguments = ("sample.py", "--ckpt", "run", "--prompt", "The", "--max_new_tokens", "5", "--json")
    sampled = here(*arguments)
    assert sampled.returncode == 0 and json.loads(sampled.stdout)["prompt"] == "The"
    done = command("convert.py", "to-hf", "run", "again")
    assert done.returncode == 0, done.stderr
    files = {path.name for path in (tmp_path / "again").iterdir()}
    assert files >= {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    # A second time, from what was written: the same text.
    assert here("convert.py", "from-hf", "again", "rerun").returncode == 0
    again = here(*(argument if argument != "run" else "rerun" for argument in arguments))
    assert json.loads(again.stdout) == json.loads(sampled.stdout)
    refused = here("convert.py", "from-hf", "theirs", "run")
    assert (
        refused.returncode == 1 and refused.stderr.startswith("convert.py: ") and "is there already" in refused.stderr
    )
    refused = here("convert.py", "to-hf", "theirs", "other")
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1 and not (tmp_path / "other").exists()
    trained = here(
        "train.py", "--config", "run/config.json", "--workdir", "run", "--config.training.num_steps=2",
        "--config.data.sequence_length=16", "--config.data.train=builtin:chat", "--config.training.sample_tokens=2",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert "converted_from" in json.loads((tmp_path / "run" / "data.json").read_text())


def test_interrupted_it_leaves_nothing_behind(tmp_path):
    write_folder(tmp_path / "theirs")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "convert.py"), "from-hf", "theirs", "run"], cwd=tmp_path, stderr=subprocess.PIPE
    )
    while not list(tmp_path.glob(".run.*")) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


# What is refused.


@pytest.fixture
def theirs(tmp_path):
    write_folder(tmp_path / "theirs")
    return tmp_path / "theirs"


def edit_json(path, **changes):
    content = json.loads(path.read_text())
    content |= {name: value for name, value in changes.items() if value is not None}
    path.write_text(json.dumps({name: value for name, value in content.items() if changes.get(name, 0) is not None}))


def edit_tensors(folder, change):
    tensors = dict(load_file(folder / "model.safetensors"))
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0x40
    path.write_bytes(content)


WTE = "transformer.wte.weight"
BAD = {
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
    "another family": (
        lambda f: edit_json(f / "config.json", model_type="gpt_neox"),
        "model_type='gpt_neox' is not known",
    ),
    "no family": (lambda f: edit_json(f / "config.json", model_type=None), "config.json has no model_type"),
    "many layers": (lambda f: edit_json(f / "config.json", n_layer=10**9), "look at n_layer=1000000000"),
    "a great width": (lambda f: edit_json(f / "config.json", n_inner=10**9, n_embd=10**9), "look at n_embd=1000000000"),
    "many pieces": (
        lambda f: edit_json(f / "config.json", vocab_size=10**15),
        "vocab_size=1000000000000000 is not supported",
    ),
    "a run": (
        lambda f: (f / "config.json").write_text(json.dumps({"task": "causal_lm", "model": {}})),
        "is a run's folder already; sample.py --ckpt",
    ),
    "a pointer": (
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "model.safetensors is a pointer of Git LFS, not the file itself; run `git lfs pull`",
    ),
    "no index": (
        lambda f: (f / "model.safetensors").rename(f / "model-00001-of-00002.safetensors"),
        "has model-00001-of-00002.safetensors but no model.safetensors.index.json",
    ),
    "no merges": (lambda f: (f / "merges.txt").unlink(), "but merges.txt, which belongs to it, is missing"),
    "beyond float32": (
        lambda f: edit_tensors(f, lambda t: t.update({WTE: np.full_like(t[WTE], 1e39, dtype=np.float64)})),
        "wte.weight holds 1e+39, which float32 cannot",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no weights"),
    "cut": (lambda f: cut(f / "model.safetensors", 9000), "model.safetensors is damaged"),
    "empty": (lambda f: cut(f / "model.safetensors", 0), "model.safetensors is damaged"),
    "a bit of its length": (lambda f: flip(f / "model.safetensors", 3), "model.safetensors is damaged"),
    "a bit of a name": (
        lambda f: flip(f / "model.safetensors", (f / "model.safetensors").read_bytes().index(b"wte.weight")),
        "wte.weight is missing",
    ),
    "not finite": (lambda f: edit_tensors(f, lambda t: t[WTE].__setitem__((3, 2), np.nan)), "wte.weight holds numbers"),
    "missing": (lambda f: edit_tensors(f, lambda t: t.pop("transformer.h.1.ln_2.bias")), "h.1.ln_2.bias is missing"),
    "surplus": (lambda f: edit_tensors(f, lambda t: t.update(extra=t[WTE])), "extra is not part of this network"),
    "more layers": (
        lambda f: edit_json(f / "config.json", n_layer=3),
        "transformer.h.2.attn.c_attn.bias is missing and",
    ),
    "fewer layers": (lambda f: edit_json(f / "config.json", n_layer=1), "is not part of this network and 11 more"),
    "another width": (
        lambda f: edit_json(f / "config.json", n_inner=25),
        "c_fc.weight has shape (16, 24), not (16, 25)",
    ),
    "another head": (
        lambda f: edit_tensors(f, lambda t: t.update({"lm_head.weight": t[WTE] + 1})),
        "lm_head.weight is not the same as transformer.wte.weight",
    ),
    "integers": (lambda f: edit_tensors(f, lambda t: t.update({WTE: t[WTE].astype(np.int8)})), "wte.weight is I8"),
    "a larger tokenizer": (lambda f: write_tokenizer(f, 310), "the tokenizer has 310 pieces, but config.json says"),
    "a smaller tokenizer": (lambda f: write_tokenizer(f, 280), "the tokenizer has 280 pieces, but config.json says"),
    "no tokenizer JSON": (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer.json is damaged"),
    "no SentencePiece": (lambda f: (f / "tokenizer.model").write_text("?"), "is not a SentencePiece model"),
    "no tokenizer config": (
        lambda f: (f / "tokenizer_config.json").write_text("["),
        "tokenizer_config.json is damaged",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_together(theirs, tmp_path, name):
    change, message = BAD[name]
    change(theirs)
    with pytest.raises(UserError) as caught:
        convert(theirs, tmp_path / "run")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert "; " in str(caught.value) or "is not supported" in str(caught.value)  # what to do
    assert not any((tmp_path / "run").iterdir())


def test_an_index_and_its_files_must_agree(tmp_path):
    write_folder(tmp_path / "theirs", shard_size=25_000)
    index = tmp_path / "theirs" / "model.safetensors.index.json"
    first = sorted((tmp_path / "theirs").glob("*.safetensors"))[0]
    content = json.loads(index.read_text())
    name = next(name for name, file in content["weight_map"].items() if file == first.name)
    for change, message in (
        (lambda: content["weight_map"].pop(name), f"has {name}, which"),
        (lambda: content["weight_map"].update({name: first.name, "more": first.name}), "has no more, which"),
        (lambda: content["weight_map"].update({"more": "../config.json"}), "has no ../config.json, which"),
        (lambda: first.unlink(), f"has no {first.name}, which"),
    ):
        change()
        index.write_text(json.dumps(content))
        with pytest.raises(UserError) as caught:
            look_through(tmp_path / "theirs")
        assert message in str(caught.value)
        content["weight_map"].pop("more", None)


def test_old_names_missing_prefixes_and_buffers_are_understood(theirs):
    expected = read_params(look_through(theirs))

    def old(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors["h.0.attn.bias"] = np.ones((1, 1, 32, 32), np.float32)
        tensors["lm_head.weight"] = tensors["wte.weight"].copy()

    edit_tensors(theirs, old)
    assert_same(read_params(look_through(theirs)), expected)


def test_old_names_and_other_heads_of_bert(tmp_path):
    write_folder(tmp_path / "theirs", "bert")
    expected = read_params(look_through(tmp_path / "theirs"))

    def old(tensors):
        for name in list(tensors):
            new = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            tensors[new] = tensors.pop(name)
        tensors["cls.seq_relationship.weight"] = np.ones((2, 16), np.float32)

    edit_tensors(tmp_path / "theirs", old)
    said = []
    assert_same(convert(tmp_path / "theirs", tmp_path / "run", said=said).params, expected)
    assert said == ["left out, since the network has no place for it: cls.seq_relationship.weight"]


def test_large_tensors_are_read_in_pieces(theirs, monkeypatch):
    expected = read_params(look_through(theirs))
    monkeypatch.setattr(reader, "PIECE", 400)
    published = look_through(theirs)
    assert len(list(published.tensors.pieces(WTE))) == 50
    assert_same(read_params(published), expected)


def test_pytorch_files_say_what_they_need(theirs):
    (theirs / "model.safetensors").rename(theirs / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"torch is not installed; pip install torch|is damaged, or holds more than"):
        look_through(theirs)


def test_pytorch_files_of_all_ages_are_read_and_what_is_no_state_is_refused(theirs):
    torch = required("torch")
    expected = read_params(look_through(theirs))
    state = {name: torch.tensor(array) for name, array in load_file(theirs / "model.safetensors").items()}
    (theirs / "model.safetensors").unlink()

    class Code:
        def __reduce__(self):
            return print, ("run",)

    for content, zipped, message in (
        (state, True, None),
        (state, False, None),
        (state | {"more": Code()}, True, "holds more than tensors, which is not read: it could run any program"),
        (state | {"more": Code()}, False, "holds more than tensors, which is not read: it could run any program"),
        (list(state.values()), True, "holds a list, not tensors by name"),
    ):
        torch.save(content, theirs / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        if message is None:
            assert_same(read_params(look_through(theirs)), expected)
            continue
        with pytest.raises(UserError, match=message) as caught:
            look_through(theirs)
        assert "weights_only" not in str(caught.value)


def test_heads_of_other_tasks_are_left_out_and_said(tmp_path):
    write_folder(tmp_path / "theirs", "bert")
    edit_tensors(tmp_path / "theirs", lambda t: t.update({"classifier.weight": np.ones((2, 16), np.float32)}))
    said = []
    convert(tmp_path / "theirs", tmp_path / "run", said=said)
    assert said == ["left out, since the network has no place for it: classifier.weight"]


def test_a_part_of_a_model_is_refused_as_one(tmp_path):
    write_folder(tmp_path / "theirs", "t5")
    edit_tensors(tmp_path / "theirs", lambda t: [t.pop(name) for name in list(t) if name.startswith("decoder.")])
    with pytest.raises(UserError, match="the weights have no decoder, and a part of a t5 alone is not supported"):
        look_through(tmp_path / "theirs")


def test_an_end_beyond_the_vocabulary_is_said(theirs, tmp_path):
    edit_json(theirs / "config.json", eos_token_id=[299, 1000])
    said = []
    convert(theirs, tmp_path / "run", said=said)
    assert said == ["eos_token_id: the tokenizer has no piece 1000; no text will end there"]


def test_what_bfloat16_cannot_hold_is_refused_without_a_warning(theirs, recwarn):
    def large(tensors):
        tensors[WTE][7, 3] = 3.4e38

    edit_tensors(theirs, large)
    assert np.isfinite(read_params(look_through(theirs))["token_embedding"]["embedding"]).all()
    with pytest.raises(UserError, match=r"wte.weight holds 3.4e\+38, which bfloat16 cannot"):
        read_params(look_through(theirs), "bfloat16")
    assert not recwarn.list


def test_published_weights_are_no_run(theirs):
    for path in (theirs, theirs / "checkpoints"):
        with pytest.raises(UserError, match=r"there is no|holds published weights, .*`python convert.py from-hf "):
            load_model(str(path), pytest.fail)


def test_a_bert_without_token_types_is_of_no_family(tmp_path):
    config = small("bert", num_token_types=0)
    with pytest.raises(UserError, match=r"nearest is bert, but for num_token_types=0 \(bert: 1\); to write it as one"):
        family_of(config)


def test_half_precision_is_read(tmp_path):
    write_folder(tmp_path / "theirs", "llama")
    expected = read_params(look_through(tmp_path / "theirs"))
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float64):
        edit_tensors(tmp_path / "theirs", lambda t, dtype=dtype: t.update({n: a.astype(dtype) for n, a in t.items()}))
        read = read_params(look_through(tmp_path / "theirs"))
        rounded = jax.tree.map(lambda leaf, dtype=dtype: leaf.astype(dtype).astype(np.float32), expected)
        assert_same(read, rounded)
        edit_tensors(tmp_path / "theirs", lambda t: t.update({n: a.astype(np.float32) for n, a in t.items()}))
        expected = read_params(look_through(tmp_path / "theirs"))


def test_a_refused_source_leaves_nothing_behind(tmp_path, command):
    (tmp_path / "empty").mkdir()
    for arguments in (("from-hf", "empty"), ("from-hf", "nowhere"), ("to-hf", "empty")):
        refused = command("convert.py", *arguments, "runs/deep/new")
        assert refused.returncode == 1 and refused.stderr.count("\n") == 1
        assert [path.name for path in tmp_path.rglob("*")] == ["empty"]
