"""A model read from a run's folder alone."""

import jax
import numpy as np
import pytest

from common.errors import UserError
from model.parameters import abstract_params
from training.checkpoints import Checkpoints
from training.run_folder import RunFolder
from training.settings import load_settings
from training.step import TrainState
from training.trained_model import load_model


@pytest.fixture
def saved(tmp_path, run_config, overrides):
    """A run's folder with checkpoints of steps 1 and 2, and the parameters of each."""
    from data.corpus import load_corpus

    config = run_config()
    corpus = load_corpus(config.data, config.tokenizer)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    settings = load_settings("configs/tiny.py", [f"{key}={value}" for key, value in overrides().items()])
    folder.begin(settings, corpus.tokenizer, {"sources": {}, "fingerprint": corpus.fingerprint})
    config = folder.config(corpus.tokenizer)
    checkpoints, params, draw = Checkpoints(folder.checkpoints, 2), {}, np.random.default_rng(0)
    shapes = abstract_params(config.model)
    for step in (1, 2):
        params[step] = jax.tree.map(lambda leaf: draw.normal(size=leaf.shape).astype(np.float32), shapes)
        checkpoints.save(
            jax.device_put(TrainState(np.int32(step), params[step], {"count": np.int32(0)}, np.zeros(2, np.uint32))),
            None,
        )
    checkpoints.wait()
    return folder.path, config, params


def test_load_model(saved):
    path, config, params = saved
    for place, step in ((path, 2), (path / "checkpoints", 2), (path / "checkpoints" / "1", 1)):
        model = load_model(str(place), pytest.fail)
        assert model.step == step and model.run.model == config.model
        assert model.tokenizer.decode(model.tokenizer.encode("the cat")) == "the cat"
        jax.tree.map(np.testing.assert_array_equal, model.params, params[step])


def test_a_damaged_checkpoint_is_passed_over_but_left_where_it_is(saved):
    path, _, params = saved
    file = max((path / "checkpoints/2/params/d").iterdir(), key=lambda file: file.stat().st_size)
    file.write_bytes(file.read_bytes()[:50])
    said = []
    model = load_model(str(path), said.append)
    assert model.step == 1 and len(said) == 1 and "the checkpoint of step 2 cannot be read" in said[0]
    jax.tree.map(np.testing.assert_array_equal, model.params, params[1])
    assert (path / "checkpoints/2").is_dir()


def test_no_checkpoint_yet(saved, tmp_path):
    path, _, _ = saved
    (path / "checkpoints").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="has no checkpoint yet; train it first"):
        load_model(str(path), pytest.fail)
