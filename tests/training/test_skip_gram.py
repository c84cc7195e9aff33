"""Skip-gram's loss and gradient against NumPy pair by pair; the step on one device and on eight; whole small runs."""

import re

import jax
import numpy as np
import pytest
from gensim.models import KeyedVectors

from common.errors import ConfigError
from data.word_text import read_words
from tests.conftest import ROOT
from training.checkpoints import Checkpoints
from training.config import build_config
from training.optimizer import OptimizerConfig, make_optimizer
from training.run_folder import RunFolder
from training.settings import load_settings
from training.sharding import MeshConfig, make_mesh, put_batch
from training.skip_gram import init_skip_gram, make_skip_gram_step, skip_gram_loss
from training.step import lay_out, shardings_of
from training.word_trainer import WordTrainer, load_word_vectors

V, D, B, K = 8, 4, 8, 3
SGD = OptimizerConfig("sgd", 1.0, "constant", 0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e-8, 0.0)  # parameters less the gradient


@pytest.fixture
def params():
    rng = np.random.default_rng(0)
    return {
        name: {"embedding": rng.normal(size=(V, D)).astype(np.float32)}
        for name in ("word_embedding", "context_embedding")
    }


@pytest.fixture
def batch():
    rng = np.random.default_rng(1)
    made = {
        "words": rng.integers(V, size=B),
        "contexts": rng.integers(V, size=B),
        "negatives": rng.integers(V, size=(B, K)),
    }
    made["negatives"][0, 0] = made["contexts"][0]  # one that does not count
    return {name: array.astype(np.int32) for name, array in made.items()}


def by_hand(params, batch):
    """The loss and its gradients, as the paper's formula has them, pair by pair."""
    words, contexts = (params[name]["embedding"].astype(np.float64) for name in ("word_embedding", "context_embedding"))
    loss, gradients = 0.0, {"word_embedding": np.zeros((V, D)), "context_embedding": np.zeros((V, D))}

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for word, context, negatives in zip(batch["words"], batch["contexts"], batch["negatives"], strict=True):
        targets = [(context, 1.0), *((negative, 0.0) for negative in negatives if negative != context)]
        for target, label in targets:
            chance = sigmoid(contexts[target] @ words[word])
            loss -= np.log(chance if label else 1 - chance)
            gradients["word_embedding"][word] += (chance - label) * contexts[target]
            gradients["context_embedding"][target] += (chance - label) * words[word]
    return loss / B, {name: gradient / B for name, gradient in gradients.items()}


def test_loss_and_gradient_are_the_papers(params, batch):
    loss, gradients = jax.value_and_grad(skip_gram_loss)(params, batch)
    expected, expected_gradients = by_hand(params, batch)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    for name, gradient in expected_gradients.items():
        np.testing.assert_allclose(gradients[name]["embedding"], gradient, rtol=1e-4, atol=1e-6)


def test_it_begins_as_the_original_does_and_a_step_follows_the_gradient(batch):
    optimizer = make_optimizer(SGD, 10)
    state = init_skip_gram(V, D, optimizer, 0)
    words = np.asarray(state.params["word_embedding"]["embedding"])
    assert 0 < np.abs(words).max() <= 0.5 / D and not state.params["context_embedding"]["embedding"].any()
    after, metrics = jax.jit(make_skip_gram_step(optimizer))(state, batch)
    pairs = 1 + (batch["negatives"] != batch["contexts"][:, None]).sum(1)
    assert float(metrics["loss"]) == pytest.approx(pairs.mean() * np.log(2))  # all scores are zero
    assert float(metrics["tokens"]) == B and int(after.step) == 1
    _, gradients = by_hand(jax.tree.map(np.asarray, state.params), batch)
    np.testing.assert_allclose(
        after.params["context_embedding"]["embedding"], -gradients["context_embedding"], atol=1e-6
    )
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
    assert float(metrics["grad_norm"]) == pytest.approx(norm, rel=1e-5)


def test_eight_devices_compute_what_one_does(batch):
    optimizer = make_optimizer(SGD, 10)
    results = []
    for sizes in ((1, 1, 1), (2, 2, 2)):
        mesh = make_mesh(MeshConfig(*sizes))
        abstract = lay_out(jax.eval_shape(lambda: init_skip_gram(V, D, optimizer, 0)), mesh)
        state = jax.jit(lambda: init_skip_gram(V, D, optimizer, 0), out_shardings=shardings_of(abstract))()
        step = jax.jit(make_skip_gram_step(optimizer), out_shardings=(shardings_of(abstract), None))
        for _ in range(3):
            state, metrics = step(state, put_batch(mesh, batch, B))
        table = state.params["word_embedding"]["embedding"]
        assert len({str(shard.index) for shard in table.addressable_shards}) == sizes[1] * sizes[2]
        results.append((np.asarray(table), float(metrics["loss"])))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5, atol=1e-7)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-5)


# Whole runs.

# Each of four kinds of line has words of its own, of which any two may be neighbours.
KINDS = ("red green blue white", "cat dog bird cow", "rice bread fish egg", "老师 学生 学校 作业")


@pytest.fixture(scope="module")
def text():
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.permutation(KINDS[number % 4].split())) for number in range(400)]
    return read_words(lines, 5)


@pytest.fixture
def make_trainer(text, said, tmp_path):
    def make(folder="run", **changes):
        small = {
            "model.embed_dim": 16,
            "optimizer.learning_rate": 0.02,
            "training.num_steps": 60,
            "training.batch_size": 64,
        }
        small |= {
            "training.tensorboard": False,
            "training.log_every": 20,
            "training.checkpoint_every": 30,
            "mesh.data": 1,
        }
        small |= {"words.subsample": 1.0, "model.num_heads": 4, "training.sample_prompts": "cat"}
        small |= {key.replace("__", "."): value for key, value in changes.items()}
        settings = load_settings(ROOT / "configs/word2vec.py", [f"{key}={value}" for key, value in small.items()])
        folder = RunFolder(tmp_path / folder)
        folder.path.mkdir(exist_ok=True)
        trainer = WordTrainer(build_config(settings), text, folder, said)
        folder.begin(settings, text, {"fingerprint": text.fingerprint})
        return trainer

    return make


def test_words_of_a_kind_come_near_each_other(make_trainer, capsys, said):
    trainer = make_trainer()
    assert trainer.train() == 0
    assert re.fullmatch(r"cat: (\S+ -?\d\.\d\d, ){9}\S+ -?\d\.\d\d\n", capsys.readouterr().out)
    vectors = load_word_vectors(str(trainer.folder.path), pytest.fail)
    for kind in KINDS:
        for word in kind.split():
            assert {other for other, _ in vectors.nearest(word, 3)} == set(kind.split()) - {word}
    losses = [values["loss"] for _, values in said.updates]
    assert losses[0] == pytest.approx(6 * np.log(2), rel=0.1) and losses[-1] < losses[0] * 0.7
    assert all(values["mfu"] > 0 for _, values in said.updates)


def test_a_run_resumed_is_the_run_uninterrupted(make_trainer, said):
    make_trainer("whole").train()
    part = make_trainer("part")
    part.train()
    (part.folder.path / "checkpoints" / "60").rename(part.folder.path / "gone")
    again = make_trainer("part")
    assert again.checkpoints.steps() == [30] and again.train() == 0
    assert "resuming at step 30 of 60" in said.lines
    states = [
        Checkpoints(trainer.folder.checkpoints, read_only=True).restore(trainer.abstract, pytest.fail)
        for trainer in (make_trainer("whole"), again)
    ]
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_what_it_cannot_do_is_refused(make_trainer):
    with pytest.raises(ConfigError, match=r"training\.batch_size=63 must be a multiple of the 2 devices"):
        make_trainer(training__batch_size=63, mesh__data=2)
    with pytest.raises(ConfigError, match=r"training\.ema_decay is for networks"):
        make_trainer(training__ema_decay=0.9)


@pytest.mark.slow
def test_the_command_trains_exports_and_names_the_nearest(command, here, tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(f"{kind}" for kind in KINDS * 50), encoding="utf-8")
    shared = ["--config", str(ROOT / "configs/word2vec.py"), "--workdir", "run", "--config.data.train=text.txt"]
    shared += ["--config.training.num_steps=20", "--config.training.batch_size=32", "--config.words.subsample=1.0"]
    done = command("word_vectors.py", "train", *shared)
    assert done.returncode == 0, done.stderr
    assert "done: " in done.stderr and "老师: " in done.stdout
    assert {"config.json", "data.json", "vocabulary.txt", "checkpoints", "metrics.jsonl"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }
    assert here("word_vectors.py", "export", "run", "vectors.txt").stdout == "vectors.txt\n"
    keyed = KeyedVectors.load_word2vec_format(str(tmp_path / "vectors.txt"))
    assert keyed.vectors.shape == (16, 160)
    near = here("word_vectors.py", "nearest", "run", "老师", "cat", "--count", "3").stdout
    assert near == here("word_vectors.py", "nearest", "vectors.txt", "老师", "cat", "--count", "3").stdout
    assert near.splitlines()[1].startswith(f"cat: {keyed.most_similar('cat')[0][0]} ")
    for arguments, status, message in [
        (["nearest", "run", "cats"], 1, "there is no vector for 'cats' (did you mean 'cat'?)"),
        (["nearest", "run", "cat", "--count", "0"], 2, "--count must be at least 1"),
        (["train", *shared, "--config.words.window=2"], 2, "was begun with other settings (words.window: 5 -> 2)"),
        (["train", *shared, "more"], 2, "unknown argument 'more'"),
        (["export", "nowhere", "f"], 1, "there is no "),
    ]:
        failed = here("word_vectors.py", *arguments)
        assert failed.returncode == status and message in failed.stderr and failed.stderr.count("\n") == 1, (
            failed.stderr
        )
