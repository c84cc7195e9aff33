"""A trained model, read from a run's folder alone."""

import dataclasses
from collections.abc import Callable

import jax

from common.command import Say
from common.errors import UserError
from data.tokenizer import Tokenizer
from data.tokenizer_files import read_tokenizer
from model import lora
from model.lora import LoraConfig
from model.parameters import Params, abstract_params, by_path, nested
from training.checkpoints import Checkpoints
from training.config import RunConfig
from training.run_folder import RunFolder
from training.sharding import MeshConfig, make_mesh, on_mesh
from training.step import shardings_of

ONE_DEVICE = MeshConfig(1, 1, 1)


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """Parameters with all that is needed to use them.

    Attributes:
        tokenizer: None where converted weights came without one.
        step: at which the parameters were kept.
        run: all settings of the run: the network's (`run.model`), and the task that it has learned.
        classes: the names of the labels that it tells apart, by their numbers.
    """

    params: Params
    tokenizer: Tokenizer | None
    step: int
    run: RunConfig
    classes: tuple[str, ...] = ()


def load_model(path: str, say: Say, needs_tokenizer: bool = True, mesh: MeshConfig = ONE_DEVICE) -> TrainedModel:
    """The model of a run's folder (its newest good checkpoint), of its `checkpoints`, or of one step, on one device or a mesh.

    `say` is told of checkpoints that cannot be read, and of weights that are averaged. Converted weights may have come
    without a tokenizer. The adapters of a LoRA run are added to what they belong to.

    Raises:
        ConfigError: the mesh cannot be made here, or does not divide the model.
        UserError: there is no run, or no good checkpoint.
    """
    folder, step = RunFolder.find(path)
    tokenizer = folder.tokenizer() if needs_tokenizer else read_tokenizer(folder.path)
    config, shapes = _on_mesh(folder, tokenizer, mesh)
    checkpoints = Checkpoints(folder.checkpoints, read_only=True)
    if config.lora.rank:
        base = read_base(folder, shapes, say)
        trained, step = checkpoints.restore_params(_abstract_adapters(shapes, base, config.lora), say, step)
        params = make_merge(shapes, config.lora)(base, trained)
    else:
        params, step = checkpoints.restore_params(shapes, say, step)
    if config.training.ema_decay:
        say(f"{folder.path}, step {step}: the averaged weights (training.ema_decay={config.training.ema_decay})")
    return TrainedModel(params, tokenizer, step, config, folder.classes())


def abstract_model(path: str, say: Say, mesh: MeshConfig = ONE_DEVICE) -> Params:
    """Shapes, dtypes and shardings of the parameters that `load_model` gives; no array is read.

    Raises:
        ConfigError, UserError: as `load_model`.
    """
    folder, step = RunFolder.find(path)
    config, shapes = _on_mesh(folder, read_tokenizer(folder.path), mesh)
    if config.lora.rank:
        found = base = abstract_base(folder, shapes, say)
        if base is not None:
            trained = _abstract_adapters(shapes, base, config.lora)
            merged = by_path(jax.eval_shape(make_merge(shapes, config.lora), base, trained))
            found = nested({path: _like(leaf, merged[path].dtype) for path, leaf in by_path(shapes).items()})
    else:
        found = Checkpoints(folder.checkpoints, read_only=True).stored_params(shapes, say, step)
    if found is None:
        raise UserError(f"{folder.path} has no checkpoint yet; train it first")
    return found


def abstract_base(folder: RunFolder, shapes: Params, say: Say) -> Params | None:
    """What a LoRA run's folder keeps of a network with these `shapes`, in the dtypes it has there; None: nothing yet."""
    return Checkpoints(folder.base, read_only=True).stored_params(shapes, say) if folder.base.exists() else None


def read_base(folder: RunFolder, shapes: Params, say: Say) -> Params:
    """The arrays that adapters add to, from a LoRA run's folder, laid out as `shapes` are.

    Raises:
        UserError: it has none, or they cannot be read.
    """
    abstract = abstract_base(folder, shapes, say)
    if abstract is None:
        raise UserError(f"{folder.path} has no weights in base/ that its adapters add to; bring back a copy")
    return Checkpoints(folder.base, read_only=True).restore_params(abstract, say)[0]


def make_merge(shapes: Params, config: LoraConfig) -> Callable[[Params, Params], Params]:
    """`lora.merge` of a base and what was trained beside it, laid out as `shapes` are."""
    return jax.jit(lambda base, params: lora.merge(base, params, config), out_shardings=shardings_of(shapes))


def _abstract_adapters(shapes: Params, base: Params, config: LoraConfig) -> Params:
    """What a LoRA run trains beside a base, real or abstract."""
    made = jax.eval_shape(lambda *trees: lora.trainable(*trees, config, jax.random.key(0)), shapes, base)
    return on_mesh(jax.tree.leaves(shapes)[0].sharding.mesh, made)


def _on_mesh(folder: RunFolder, tokenizer: Tokenizer | None, mesh: MeshConfig) -> tuple[RunConfig, Params]:
    """The run's config, and its network's abstract parameters."""
    config = folder.config(tokenizer)
    return config, on_mesh(make_mesh(mesh), abstract_params(config.model))


def _like(leaf: jax.ShapeDtypeStruct, dtype) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=leaf.sharding)
