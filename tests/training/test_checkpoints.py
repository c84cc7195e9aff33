"""What is saved comes back bit for bit or not at all; what is damaged is found, said and moved away."""

import dataclasses
import errno
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from common.errors import UserError
from training.checkpoints import Checkpoints
from training.checksums import checksums
from training.sharding import MeshConfig, make_mesh
from training.step import TrainState

SPECS = {"matrix": PartitionSpec("fsdp", "tensor"), "vector": PartitionSpec("fsdp")}


def make_state(step, mesh=(1, 1, 1), width=8):
    """A state with values that depend on the step, over a mesh."""
    mesh = make_mesh(MeshConfig(*mesh))
    rng = np.random.default_rng(step)
    whole = NamedSharding(mesh, PartitionSpec())

    def arrays():
        values = {"matrix": rng.normal(size=(4, width)), "vector": rng.normal(size=8)}
        return {
            name: jax.device_put(value.astype(np.float32), NamedSharding(mesh, SPECS[name]))
            for name, value in values.items()
        }

    return TrainState(
        step=jax.device_put(np.int32(step), whole),
        params={"layer": arrays()},
        optimizer=({"count": jax.device_put(np.int32(step), whole), "mu": arrays()}, ()),
        key=jax.device_put(np.array([7, step], np.uint32), whole),
    )


def abstract_of(state):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)


def assert_bit_equal(state, other):
    leaves, others = jax.tree.leaves(state), jax.tree.leaves(other)
    assert jax.tree.structure(state) == jax.tree.structure(other)
    for leaf, its in zip(leaves, others, strict=True):
        assert leaf.dtype == its.dtype and np.asarray(leaf).tobytes() == np.asarray(its).tobytes()


def save(folder, steps, keep=9):
    """Checkpoints of `steps`, (step, validation loss or None) each."""
    checkpoints = Checkpoints(folder, keep)
    for step, loss in steps:
        checkpoints.save(make_state(step), None if loss is None else {"loss": loss})
    checkpoints.wait()
    checkpoints.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoints of steps 1, 2 and 3, to copy and damage."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    save(folder, [(1, 3.0), (2, None), (3, 2.0)])
    return folder


def restore(folder, step=1):
    """What a new process would restore, and what it would say."""
    said = []
    return Checkpoints(folder, 9).restore(abstract_of(make_state(step)), said.append), said


def test_round_trip(saved):
    state, said = restore(saved)
    assert_bit_equal(state, make_state(3))
    assert said == []
    assert Checkpoints(saved, read_only=True).steps() == [1, 2, 3]


def test_params_alone(saved):
    checkpoints = Checkpoints(saved, read_only=True)
    abstract = abstract_of(make_state(1).params)
    for step, expected in ((None, 3), (2, 2)):
        params, found = checkpoints.restore_params(abstract, pytest.fail, step)
        assert found == expected
        assert_bit_equal(params, make_state(expected).params)


def test_parameters_alone_begin_a_run(folder):
    """Converted weights: read in the dtype they are stored in, trained in the state's; the rest is new."""
    new, given = make_state(0), halved(make_state(9)).params
    checkpoints = Checkpoints(folder)
    checkpoints.save_params(given)
    checkpoints.wait()
    params, step = Checkpoints(folder, read_only=True).restore_params(abstract_of(new.params), pytest.fail)
    assert step == 0
    assert_bit_equal(params, given)
    state = Checkpoints(folder).restore(abstract_of(new), pytest.fail, fresh=lambda: new)
    assert_bit_equal(state, dataclasses.replace(new, params=jax.tree.map(lambda leaf: leaf.astype(jnp.float32), given)))
    averaged = dataclasses.replace(new, average=new.params)
    again = Checkpoints(folder).restore(abstract_of(averaged), pytest.fail, fresh=lambda: averaged)
    assert_bit_equal(again, dataclasses.replace(state, average=state.params))
    jax.block_until_ready(jax.jit(lambda state: state, donate_argnums=0)(again))  # no array is two of its parts


def test_nothing_to_restore(folder):
    assert Checkpoints(folder).restore(abstract_of(make_state(1)), pytest.fail) is None
    with pytest.raises(UserError, match="has no checkpoint yet; train it first"):
        Checkpoints(folder, read_only=True).restore_params(abstract_of(make_state(1).params), pytest.fail)


@pytest.mark.parametrize("mesh", [(1, 2, 4), (8, 1, 1), (1, 4, 1)])
def test_restored_on_another_mesh(saved, mesh):
    state = Checkpoints(saved, read_only=True).restore(abstract_of(make_state(1, mesh)), pytest.fail)
    assert_bit_equal(state, make_state(3))
    _, fsdp, tensor = mesh
    shards = state.params["layer"]["matrix"].addressable_shards
    assert {shard.data.shape for shard in shards} == {(4 // fsdp, 8 // tensor)}
    assert checksums(state.params) == checksums(make_state(3).params)


def test_saved_from_a_mesh_and_restored_on_one_device(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.save(make_state(5, (2, 2, 2)), None)
    checkpoints.wait()
    state, _ = restore(folder)
    assert_bit_equal(state, make_state(5))


@pytest.mark.parametrize(
    "losses, keep, kept, best",
    [
        ({1: 3.0, 2: 1.0, 3: 2.0, 4: 2.5, 5: 2.6}, 2, [2, 4, 5], 2),
        ({1: 3.0, 2: 2.0, 3: 1.0}, 1, [3], 3),
        ({1: 1.0, 2: None, 3: None, 4: None}, 2, [1, 3, 4], 1),
        ({1: None, 2: None, 3: None}, 2, [2, 3], None),
        ({1: 5.0, 2: 4.0, 3: None, 4: 6.0}, 1, [2, 4], 2),
    ],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_the_newest_and_the_best_are_kept(folder, losses, keep, kept, best, restarts):
    """Also where every save is in a process of its own."""
    if restarts:
        for step, loss in losses.items():
            save(folder, [(step, loss)], keep)
    else:
        save(folder, losses.items(), keep)
    assert sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) == kept
    for read_only in (True, False):
        checkpoints = Checkpoints(folder, keep, read_only)
        assert checkpoints.steps() == kept
        assert checkpoints.best_step() == best


@pytest.mark.parametrize(
    "name, kept, best",
    [("loss", [2, 5], 2), ("f1", [3, 5], 3), ("mse", [4, 5], 4), ("pearson", [1, 5], 1), ("recall", [5], None)],
)
def test_the_best_is_that_by_the_figure_that_is_asked_for(folder, name, kept, best):
    """More is better of some; the first of several best ones; what is no number, or not there, counts for nothing."""
    nan = float("nan")
    figures = {
        1: {"loss": 3.0, "f1": 0.1, "mse": 9.0, "pearson": 0.5},
        2: {"loss": 1.0, "f1": 0.2, "mse": 8.0, "pearson": nan},
        3: {"loss": 2.0, "f1": 0.9, "mse": 7.0, "pearson": nan},
        4: {"loss": 2.5, "f1": 0.9, "mse": 1.0, "pearson": 0.4},
        5: {"loss": 2.6, "f1": 0.3, "mse": 2.0, "pearson": -0.9},
    }
    checkpoints = Checkpoints(folder, 1, best_metric=name)
    for step, values in figures.items():
        checkpoints.save(make_state(step), values)
    checkpoints.wait()
    assert checkpoints.steps() == kept and checkpoints.best_step() == best
    assert Checkpoints(folder, 1, read_only=True, best_metric=name).best_step() == best


def test_a_checkpoint_without_validation_restores(folder):
    save(folder, [(4, None)])
    state, _ = restore(folder)
    assert_bit_equal(state, make_state(4))


# Damage


def largest(folder, part):
    """The file that holds most of the arrays."""
    return max((folder / part / "d").iterdir(), key=lambda path: path.stat().st_size)


def flip(path, at=0.5):
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 1
    path.write_bytes(data)


def other_values(step):
    """A step whose arrays are sound, but are not those that its checksums were taken of."""
    other = step.parent.parent / "other"
    checkpoints = Checkpoints(other)
    checkpoints.save(make_state(77), {"loss": 1.0})
    checkpoints.wait()
    shutil.rmtree(step / "params")
    shutil.copytree(other / "77" / "params", step / "params")


DAMAGE = {
    "a bit of the parameters": lambda step: flip(largest(step, "params")),
    "a bit of the state": lambda step: flip(largest(step, "state")),
    "a bit of the checksums": lambda step: flip(step / "checksums" / "metadata", 0.9),
    "cut off": lambda step: largest(step, "params").write_bytes(largest(step, "params").read_bytes()[:9]),
    "emptied files": lambda step: [path.write_bytes(b"") for path in step.rglob("*") if path.is_file()],
    "no parameters": lambda step: shutil.rmtree(step / "params"),
    "no state": lambda step: shutil.rmtree(step / "state"),
    "no checksums": lambda step: shutil.rmtree(step / "checksums"),
    "an empty folder": lambda step: [shutil.rmtree(step), step.mkdir()],
    "other values": other_values,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_checkpoint(saved, tmp_path, damage):
    """The one before is taken; the damaged one is said in one line and kept aside; saving goes on, the same step too."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    DAMAGE[damage](folder / "3")
    damaged = {path.relative_to(folder / "3") for path in (folder / "3").rglob("*")}

    said = []
    checkpoints = Checkpoints(folder, 9)
    state = checkpoints.restore(abstract_of(make_state(1)), said.append)
    assert_bit_equal(state, make_state(2))
    (line,) = said
    assert re.match(r"the checkpoint of step 3 cannot be read \(.*\)", line) and "\n" not in line
    assert {path.relative_to(tmp_path / "damaged/3") for path in (tmp_path / "damaged/3").rglob("*")} == damaged
    assert checkpoints.steps() == [1, 2]

    checkpoints.save(make_state(3), {"loss": 1.5})
    checkpoints.wait()
    state, said = restore(folder)
    assert_bit_equal(state, make_state(3))
    assert said == []


def test_damaged_twice(saved, tmp_path):
    """The same step again: both are kept aside."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    for _ in range(2):
        flip(largest(folder / "3", "params"))
        checkpoints = Checkpoints(folder, 9)
        checkpoints.restore(abstract_of(make_state(1)), lambda line: None)
        checkpoints.save(make_state(3), {"loss": 1.5})
        checkpoints.wait()
    assert len(list((tmp_path / "damaged").glob("3*"))) == 2
    assert not (tmp_path / "damaged" / "3" / "3").exists()


def test_all_damaged(saved, tmp_path):
    """One error, and every file is still where it was."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    for step in "123":
        flip(largest(folder / step, "params"))
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(UserError, match=r"no checkpoint in .* can be read \(last problem: .*\)") as caught:
        restore(folder)
    assert caught.value.status == 1
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()) == files


def wider(state):
    return dataclasses.replace(state, params=make_state(1, width=16).params)


def without_momentum(state):
    return dataclasses.replace(state, optimizer=({"count": state.optimizer[0]["count"]}, ()))


def halved(state):
    return dataclasses.replace(state, params=jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state.params))


@pytest.mark.parametrize(
    "change, difference",
    [
        (wider, r"\(layer/matrix: float32\[4, 8\] -> float32\[4, 16\]\)"),
        (without_momentum, r"\(optimizer/0/mu/matrix: float32\[4, 8\] -> none; optimizer/0/mu/vector: .* -> none\)"),
        (halved, r"layer/matrix: float32\[4, 8\] -> bfloat16\[4, 8\]; .*"),
    ],
)
def test_of_another_network_or_optimizer(saved, tmp_path, change, difference):
    """Said as what it is; nothing is damaged, and all stays where it was."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    with pytest.raises(
        UserError, match=f"step 3 holds other arrays than this code makes of config.json .*{difference}"
    ):
        Checkpoints(folder).restore(abstract_of(change(make_state(1))), pytest.fail)
    assert Checkpoints(folder).steps() == [1, 2, 3]
    assert not (tmp_path / "damaged").exists()


def loop_of_links(path):
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize("file", ["arrays", "checksums"])
def test_a_file_system_that_fails_damages_nothing(saved, tmp_path, monkeypatch, file):
    """As a network file system that is away for a moment: an error, and all stays where it was."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    if file == "arrays":
        loop_of_links(largest(folder / "3", "params"))  # a fault of the system that also root meets
    else:
        gone = OSError(errno.ESTALE, "Stale file handle")
        monkeypatch.setattr(Checkpoints, "_read", lambda *_: (_ for _ in ()).throw(gone))
    with pytest.raises(UserError, match=rf"{folder}/3 cannot be read now \(.*\); try again, or move it away"):
        restore(folder)
    assert (folder / "3").is_dir() and not (tmp_path / "damaged").exists()


def test_a_step_asked_for_is_not_replaced_by_another(saved, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    flip(largest(folder / "3", "params"))
    checkpoints = Checkpoints(folder, read_only=True)
    abstract = abstract_of(make_state(1).params)
    with pytest.raises(UserError, match=r"step 3 in .* cannot be read .*; give the run's folder to take another"):
        checkpoints.restore_params(abstract, lambda line: None, 3)
    assert checkpoints.restore_params(abstract, lambda line: None)[1] == 2
    assert (folder / "3").exists() and not (tmp_path / "damaged").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"loss": "x"}', b"{}", None])
def test_a_damaged_metric_harms_no_other_checkpoint(saved, tmp_path, content):
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    (metric,) = (path for path in (folder / "1").rglob("metrics") if path.is_file())
    metric.unlink() if content is None else metric.write_bytes(content)
    state, _ = restore(folder)
    assert_bit_equal(state, make_state(3))
    checkpoints = Checkpoints(folder, 1)
    assert checkpoints.best_step() == 3
    checkpoints.save(make_state(4), {"loss": 9.0})
    checkpoints.wait()
    assert checkpoints.steps() == [3, 4]


@pytest.mark.parametrize("left", ["params", "state", "_CHECKPOINT_METADATA", "commit_success.txt"])
def test_a_checkpoint_half_deleted_harms_no_other(saved, tmp_path, left):
    """As a process killed while it deleted an old checkpoint leaves it."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    for path in (folder / "1").iterdir():
        if path.name != left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    checkpoints = Checkpoints(folder, 1)
    assert_bit_equal(checkpoints.restore(abstract_of(make_state(1)), pytest.fail), make_state(3))
    checkpoints.save(make_state(4), {"loss": 3.0})
    checkpoints.wait()
    checkpoints.close()
    assert Checkpoints(folder, read_only=True).steps() == [3, 4]


def test_what_a_killed_save_left_is_swept_away(saved, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    left = folder / "4.orbax-checkpoint-tmp"
    shutil.copytree(saved / "3", left)
    (left / "commit_success.txt").unlink(missing_ok=True)
    state, said = restore(folder)
    assert_bit_equal(state, make_state(3))
    assert said == []
    assert Checkpoints(folder, 9).steps() == [1, 2, 3]


def test_an_overlapping_save_holds_the_state_as_it_was(folder):
    """The arrays are donated to, and overwritten by, steps that run while they are written."""
    step = jax.jit(
        lambda state: jax.tree.map(lambda leaf: leaf * 3 + 1 if leaf.dtype == jnp.float32 else leaf, state),
        donate_argnums=0,
    )
    size = 1 << 20
    state = TrainState(
        step=jnp.int32(1),
        params={"layer": {"matrix": jnp.arange(size, dtype=jnp.float32)}},
        optimizer=({"mu": jnp.ones(size)},),
        key=jnp.zeros(2, jnp.uint32),
    )
    expected = jax.tree.map(np.array, state)
    abstract = abstract_of(state)
    state = jax.block_until_ready(state)
    checkpoints = Checkpoints(folder)
    checkpoints.save(state, None)
    for _ in range(20):
        state = step(state)
    jax.block_until_ready(state)
    checkpoints.wait()
    assert_bit_equal(Checkpoints(folder).restore(abstract, pytest.fail), expected)
    assert json.loads((folder / "1/checksums/metadata").read_text())["params"] == checksums(expected.params)
