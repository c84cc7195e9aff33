"""A LoRA run: it begins as its base, changes adapters alone, resumes and divides, and its folder is that of any model."""

import hashlib
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from common.errors import ConfigError, UserError
from interop.source import find_source
from interop.weights import look_through, read_params
from model.lora import A, B
from model.parameters import by_path
from tests.interop.folders import write_folder
from tests.training.conftest import ROOT, make_text
from tests.training.runs import left
from training.converted import export_published, import_published
from training.measurement import measure_run
from training.metrics_writer import read_metrics
from training.plan import plan_run
from training.settings import load_settings
from training.trained_model import abstract_model, load_model

GIVEN = ("model.", "tokenizer.")  # of the small run's settings: what comes from the parent
LORA = {"lora__rank": 4, "optimizer__learning_rate": 0.02, "optimizer__schedule": "constant"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Where the first test that needs them has left the runs."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def parent(shared, begin):
    return left(shared / "parent", lambda: begin("parent", training__num_steps=3))


@pytest.fixture
def other_text(shared):
    path = shared / "other.txt"
    path.write_text(make_text(7))
    return path


@pytest.fixture
def adapt(begin, parent, other_text):
    """`adapt(name, **changes)`: a trainer of adapters beside the parent's weights."""

    def make(name="lora", **changes):
        drop = (*GIVEN, "mesh.") if any(key.startswith("mesh") for key in changes) else GIVEN
        changes = {"init_from": parent, "data__train": other_text} | LORA | changes
        return begin(name, "base.py", drop, **changes)

    return make


@pytest.fixture
def run(shared, adapt):
    return left(shared / "lora", adapt)


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(folder / "metrics.jsonl")]


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def same(one, other) -> bool:
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: np.array_equal(x, y), one, other)))


def test_it_begins_as_its_base_and_adapters_alone_learn(adapt, parent, said):
    trainer, given = adapt(), load_model(str(parent), pytest.fail)
    state = trainer.init()
    assert same(trainer.base.merged(state.params), given.params)
    assert trainer.evaluate(trainer.base.merged(state.params)) == trainer.evaluate(given.params)
    assert {path.rpartition("/")[2] for path in by_path(trainer.abstract.params)} == {A, B}
    sizes = {path: leaf.size for path, leaf in by_path(trainer.abstract.params).items()}
    # Of each of 2 layers: queries, keys and values [16, 2, 8] and what comes after them [2, 8, 16], all 16 by 16.
    assert sum(sizes.values()) == 2 * 4 * 2 * (16 * 4)
    moments = sum(leaf.size for leaf in jax.tree.leaves(trainer.abstract.optimizer) if leaf.ndim)
    assert moments == 2 * sum(sizes.values()), "Adam's, of adapters alone"

    assert trainer.train() == 0
    share = 1024 / sum(leaf.size for leaf in jax.tree.leaves(given.params))
    assert any(line.startswith(f"of the parameters 1,024 learn, {share:.2%} as many") for line in said.lines)
    assert losses(trainer.folder.path)[-1] < losses(trainer.folder.path)[2], "validation at steps 6 and 3"
    trained = by_path(load_model(str(trainer.folder.path), pytest.fail).params)
    changed = {path for path, leaf in by_path(given.params).items() if not np.array_equal(leaf, trained[path])}
    assert changed == {f"decoder/blocks/attention/{name}/kernel" for name in ("query", "key", "value", "out")}


def test_its_folder_alone_is_enough_to_resume_to_the_bit(adapt, parent, run, tmp_path, said):
    elsewhere = shutil.copytree(parent, tmp_path / "elsewhere")
    half = adapt("half", init_from=elsewhere, training__num_steps=3)
    assert half.train() == 0
    kept = files(half.folder.base)
    assert kept and same(load_model(str(elsewhere), pytest.fail).params, half.base.values)
    shutil.rmtree(elsewhere)
    resumed = adapt("half", init_from=elsewhere)
    assert resumed.train() == 0 and "resuming at step 3 of 6" in said.lines
    assert files(half.folder.base) == kept, "it is written once"
    assert losses(resumed.folder.path) == losses(run)
    assert same(load_model(str(resumed.folder.path), pytest.fail).params, load_model(str(run), pytest.fail).params)
    with pytest.raises(ConfigError, match=r"lora\.rank: 4 -> 8"):
        adapt("half", init_from=elsewhere, lora__rank=8)


def test_on_eight_devices_the_losses_are_the_same(adapt, run):
    trainer = adapt("eight", mesh__data=2, mesh__fsdp=2, mesh__tensor=2)
    kernel = trainer.base.values["decoder"]["blocks"]["attention"]["query"]["kernel"]
    adapter = trainer.init().params["decoder"]["blocks"]["attention"]["query"]["kernel"]
    for leaf, parts in ((kernel, 4), (adapter[A], 2), (adapter[B], 2)):
        assert leaf.sharding.mesh.size == 8
        assert len({str(shard.index) for shard in leaf.addressable_shards}) == parts
    assert trainer.train() == 0
    assert losses(trainer.folder.path) == pytest.approx(losses(run), rel=1e-4)


def test_a_checkpoint_holds_adapters_alone(run, parent):
    def size(folder: Path) -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    names = [path.name for path in (run / "checkpoints" / "6").iterdir()]
    assert {"params", "state"} <= set(names)
    stored = json.loads((run / "checkpoints" / "6" / "checksums" / "metadata").read_text())
    assert all(path.endswith((A, B)) for path in stored["params"])
    assert size(run / "base") < size(parent / "checkpoints" / "3"), "which has the optimizer's state too"


def test_microbatches_and_an_unrolled_stack_change_nothing(adapt, run):
    trainer = adapt("parts", training__microbatches=2, model__scan_layers=True)
    assert trainer.train() == 0
    assert losses(trainer.folder.path) == pytest.approx(losses(run), rel=1e-4)


def test_it_is_measured_and_goes_on_as_any_other(run, adapt, parent):
    measured = measure_run(str(run), None, {}, None, pytest.fail, lambda *_: None)
    assert measured.metrics["loss"] == pytest.approx(losses(run)[-1], rel=1e-5)
    whole = load_model(str(run), pytest.fail).params
    jax.tree.map(
        lambda x, y: np.testing.assert_equal((x.shape, x.dtype), (y.shape, y.dtype)),
        abstract_model(str(run), pytest.fail),
        whole,
    )
    for name, changes in {"again": {}, "in_full": {"lora__rank": 0}}.items():
        grandchild = adapt(name, init_from=run, **changes)
        assert same(grandchild.base.merged(grandchild.init().params), whole)
        assert grandchild.train() == 0


def test_a_new_head_is_trained_in_full(begin, parent, tmp_path, said):
    path = tmp_path / "texts.jsonl"
    lines = make_text(3).split("\n\n")
    path.write_text("\n".join(json.dumps({"text": line.strip(), "label": "cat" in line}) for line in lines))
    kind = {"task": "classification", "model__head": "classes", "data__packing": "pad", "data__train": path}
    kind |= {"training__sample_prompts": "()", "data__valid_fraction": 0.2, "init_from": parent}
    trainer = begin("classes", "base.py", GIVEN, **LORA | kind)
    before = jax.device_get(trainer.init().params)
    assert before["head"]["classes"]["kernel"].shape == (16, 2)
    assert trainer.train() == 0
    assert any(line.endswith("; in full head/classes/bias, head/classes/kernel") for line in said.lines)
    after = load_model(str(trainer.folder.path), pytest.fail).params
    assert not np.array_equal(after["head"]["classes"]["kernel"], before["head"]["classes"]["kernel"])
    assert "head" not in trainer.base.values


def test_the_plan_counts_what_learns(overrides, parent, other_text):
    changes = overrides(**LORA, init_from=parent, data__train=other_text)
    given = [f"{key}={value}" for key, value in changes.items() if not key.startswith(GIVEN)]
    told = "\n".join(plan_run(str(ROOT / "configs" / "base.py"), given, "here", 0.4))
    assert "parameters 1,024 learn" in told and "decoder/blocks/attention/query/kernel/lora_a" in told
    # Adam's two moments of each, float32; steps and a key besides.
    assert "optimizer state: 8.00" in told and "gradients: 4 KiB" in told and "checkpoints: 12.0" in told
    assert "KiB of weights that stay as they are" in told


def test_work_is_less_where_no_gradient_is_computed(adapt, begin, parent, other_text):
    """A product of a kernel takes 6 operations a weight; 4 where only what comes from it is passed on."""
    whole = begin("whole", "base.py", GIVEN, init_from=parent, data__train=other_text)
    sizes = {path: leaf.size for path, leaf in by_path(whole.abstract.params).items()}
    fixed = [size for path, size in sizes.items() if "mlp/" in path or path == "token_embedding/embedding"]
    assert whole.flops_per_token() - adapt().flops_per_token() == 2 * sum(fixed)


def test_published_weights_and_back_with_adapters_added(begin, tmp_path, other_text):
    write_folder(tmp_path / "gpt2", "gpt2")
    settings = load_settings(ROOT / "configs" / "base.py")
    imported = tmp_path / "imported"
    imported.mkdir()
    import_published(find_source(str(tmp_path / "gpt2")), "gpt2", imported, settings, "bfloat16", lambda line: None)
    trainer = begin("child", "base.py", GIVEN, **LORA, init_from=imported, data__train=other_text)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(trainer.base.values)} == {"bfloat16"}
    assert trainer.train() == 0
    (tmp_path / "exported").mkdir()
    model = export_published(str(trainer.folder.path), tmp_path / "exported", 1 << 30, lambda line: None)
    back = read_params(look_through(tmp_path / "exported"), "float32")
    for path, leaf in by_path(model.params).items():
        np.testing.assert_array_equal(np.asarray(leaf, np.float32), np.asarray(by_path(back)[path]), path)
    given = by_path(load_model(str(imported), pytest.fail).params)
    assert not np.array_equal(
        given["decoder/blocks/attention/query/kernel"],
        model.params["decoder"]["blocks"]["attention"]["query"]["kernel"],
    )


def test_a_base_that_is_gone_is_told(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "broken")
    shutil.rmtree(folder / "base")
    with pytest.raises(UserError, match=r"broken has no weights in base/ that its adapters add to; bring back a copy"):
        load_model(str(folder), lambda line: None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_from": ""}, r"lora\.rank=4 adds to weights that are given; name them in init_from"),
        ({"lora__targets": "attn"}, r"lora\.targets: 'attn' matches no kernel; .*decoder/blocks/0/attention"),
        ({"optimizer__frozen": "mlp"}, r"optimizer\.frozen=\('mlp',\) is for parameters that are trained in full"),
        ({"optimizer__layer_decay": 0.9}, r"optimizer\.layer_decay=0\.9 is for parameters"),
        ({"training__layer_norms": True}, r"training\.layer_norms is for layers that are trained in full"),
        ({"lora__rank": -1}, r"lora\.rank=-1 must not be negative"),
    ],
)
def test_settings_that_make_no_sense_are_refused(adapt, changes, message):
    with pytest.raises(ConfigError, match=message):
        adapt("refused", **changes)
