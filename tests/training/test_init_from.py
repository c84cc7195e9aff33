"""A run that starts from another's folder: the same parameters, however it is divided; what it takes, what is refused."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from common.configs import flatten
from common.errors import ConfigError, UserError
from model.parameters import parameter_path
from tests.training.conftest import make_text
from tests.training.runs import left
from training.init_from import read_init
from training.trained_model import ONE_DEVICE, load_model


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Where the first test that needs the run to start from has left it."""
    return tmp_path_factory.mktemp("parent")


@pytest.fixture
def parent(shared, begin):
    """The folder of a run of 3 steps, whose network is not that of any config."""
    return left(
        shared / "run",
        lambda: begin("parent", training__num_steps=3, model__num_heads=4, model__mlp_dim=24, model__dropout=0.2),
    )


@pytest.fixture
def other_text(tmp_path):
    path = tmp_path / "other.txt"
    path.write_text(make_text(7))
    return path


SETS_NOTHING = ("model.", "tokenizer.")  # of the small run's settings


def test_it_starts_where_the_other_run_ended_on_other_text(begin, parent, other_text, said):
    trainer = begin("child", "base.py", SETS_NOTHING, init_from=parent, data__train=other_text)
    model = load_model(str(parent), pytest.fail)
    assert trainer.corpus.tokenizer.model == model.tokenizer.model
    assert trainer.config.model.num_heads == 4 and trainer.config.model.dropout == 0.0, "dropout is the new run's own"
    jax.tree.map(np.testing.assert_array_equal, trainer.init().params, model.params)
    size = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    told = [" ".join(line.split()) for line in said.lines[said.lines.index(f"parameters from {parent}, step 3:") + 1 :]]
    arrays = len(jax.tree.leaves(model.params))
    assert told == [
        f"loaded {arrays} arrays {size:,} parameters",
        *(f"{kind} 0 arrays 0 parameters" for kind in ("new", "skipped")),
    ]

    assert trainer.train() == 0
    trained = load_model(str(trainer.folder.path), pytest.fail)
    assert trained.run.model.num_heads == 4 and trained.step == 6


def test_its_folder_alone_is_enough_to_resume(begin, parent, tmp_path, said):
    parent = shutil.copytree(parent, tmp_path / "elsewhere")
    changes = {"init_from": parent, "optimizer__schedule": "constant"}
    whole = begin("whole", "base.py", SETS_NOTHING, **changes)
    assert whole.train() == 0
    half = begin("half", "base.py", SETS_NOTHING, **changes, training__num_steps=3)
    assert half.train() == 0
    shutil.rmtree(parent)
    resumed = begin("half", "base.py", SETS_NOTHING, **changes)
    assert resumed.train() == 0 and "resuming at step 3 of 6" in said.lines
    one, other = (load_model(str(trainer.folder.path), pytest.fail).params for trainer in (whole, resumed))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    stored = flatten(json.loads((resumed.folder.path / "config.json").read_text()))
    assert stored["model.embed_dim"] == 16 and stored["model.num_heads"] == 4 and stored["init_from"] == str(parent)
    with pytest.raises(ConfigError, match="init_from: there is no "):
        begin("new", "base.py", SETS_NOTHING, **changes)


def test_no_array_is_on_one_device(begin, parent):
    trainer = begin("divided", "base.py", (*SETS_NOTHING, "mesh."), init_from=parent, mesh__fsdp=2, mesh__tensor=2)
    given = read_init(str(parent), trainer.config.model, trainer.config.mesh, lambda line: None)
    params = trainer.init().params
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = parameter_path(path)
        assert leaf.sharding.mesh.size == 8
        if name.endswith(("kernel", "embedding")):
            assert len({str(shard.index) for shard in leaf.addressable_shards}) > 1, name
    jax.tree.map(
        lambda x, y: np.testing.assert_equal(x.sharding.is_equivalent_to(y.sharding, x.ndim), True), given, params
    )
    jax.tree.map(np.testing.assert_array_equal, params, load_model(str(parent), pytest.fail).params)
    assert trainer.train() == 0


def test_a_prefix_lm_of_a_causal_one(begin, parent):
    trainer = begin("prefix", "base.py", SETS_NOTHING, init_from=parent, task="prefix_lm")
    assert trainer.config.model.bidirectional_prefix
    assert trainer.train() == 0


def test_what_is_new_is_at_random_and_what_is_of_no_use_is_skipped(begin, parent, said):
    config = load_model(str(parent), pytest.fail).run.model
    wider = dataclasses.replace(config, qk_norm=True, tie_embeddings=False, decoder_layers=2)
    given = read_init(str(parent), wider, ONE_DEVICE, said.say)
    assert "head" not in given
    *_, new, skipped = said.lines
    assert "    new" in new and "head/output/kernel" in new and "decoder/blocks/attention/key_norm/scale" in new
    assert skipped.split() == ["skipped", "0", "arrays", "0", "parameters"]
    read_init(str(parent), dataclasses.replace(config, norm_position="post"), ONE_DEVICE, said.say)
    assert said.lines[-1].endswith(": decoder/final_norm/scale")
    with pytest.raises(
        UserError, match=r"init_from: decoder/blocks/attention/key/kernel in .* has the shape \[2, 16, 4, 4\]"
    ):
        read_init(str(parent), dataclasses.replace(config, num_kv_heads=2), ONE_DEVICE, said.say)


def test_settings_that_agree_may_be_set(begin, parent):
    trainer = begin("agreeing", init_from=parent, model__num_heads=4, model__mlp_dim=24, model__dropout=0.3)
    assert trainer.config.model.dropout == 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__embed_dim": 64}, r"model\.embed_dim=16, not 64; leave these keys out"),
        ({"model__embed_dim": 160}, r"model\.embed_dim=16, not 160"),  # as in configs/base.py, but set
        (
            {"model__norm": "layernorm", "model__use_bias": True},
            "norm='rmsnorm', not 'layernorm'; model.use_bias=False, not True",
        ),
        ({"tokenizer__model_type": "unigram"}, r"tokenizer\.model_type='char', not 'unigram'"),
        ({"tokenizer__special_tokens": "[MASK]"}, r"tokenizer\.special_tokens="),
        (
            {"task": "masked_lm"},
            "is of the kind 'decoder', which task='masked_lm' does not train; choose from: causal_lm, prefix",
        ),
        (
            {"task": "translation"},
            r"task='translation' is not known; --config configs/finetune/translation\.py has what",
        ),
        ({"task": "causal"}, r"task='causal' is not known \(did you mean 'causal_lm'\?\)"),
        ({"model__embed_dimm": 64}, r"--config\.model\.embed_dimm is not a key"),
        ({"init_from": "nowhere"}, r"init_from: there is no .*nowhere; give a run's folder"),
        ({"training__word_vectors": "v.txt"}, "init_from='.*' and training.word_vectors='v.txt' both say where"),
    ],
)
def test_what_contradicts_is_refused_with_its_path(begin, parent, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        begin("child", "base.py", SETS_NOTHING, **{"init_from": parent} | changes)
    assert caught.value.status == 2


def test_longer_texts_with_rotary_positions(begin, parent):
    longer = {
        "model__max_length": 64,
        "model__rope_scaling": "linear",
        "model__rope_factor": 2.0,
        "data__sequence_length": 64,
    }
    trainer = begin("longer", "base.py", SETS_NOTHING, init_from=parent, **longer)
    model = trainer.config.model
    assert (model.max_length, model.rope_original_length, model.rope_factor) == (64, 32, 2.0)
    with pytest.raises(ConfigError, match=r"data\.sequence_length=64 is above model\.max_length=32"):
        begin("too_long", "base.py", SETS_NOTHING, init_from=parent, data__sequence_length=64)


def test_a_begun_run_keeps_its_start(begin, parent):
    begin("run", "base.py", SETS_NOTHING, init_from=parent)
    with pytest.raises(ConfigError, match=r"init_from: '.*' -> ''"):
        begin("run", "base.py", SETS_NOTHING)


def test_weights_that_are_given_are_not_begun_anew(begin, parent, tmp_path):
    folder = shutil.copytree(parent, tmp_path / "converted")
    (folder / "data.json").write_text('{"converted_from": {}}')
    with pytest.raises(ConfigError, match=r"init_from='.*' is for a new folder, and .*/converted holds weights"):
        begin("converted", "base.py", SETS_NOTHING, init_from=parent)
