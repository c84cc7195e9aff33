"""A trained model, read from a run's folder alone."""

import dataclasses
from collections.abc import Callable

import jax

from data.tokenizer import Tokenizer
from data.tokenizer_files import read_tokenizer
from model import TransformerConfig
from model.parameters import Params, abstract_params
from training.checkpoints import Checkpoints
from training.run_folder import RunFolder
from training.sharding import MeshConfig, make_mesh, parameter_shardings

ONE_DEVICE = MeshConfig(1, 1, 1)


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """Parameters with all that is needed to use them.

    Attributes:
        ask: what a user types -> what the network is given to go on from, as the run has learned it.
    """

    params: Params
    config: TransformerConfig
    tokenizer: Tokenizer | None
    step: int
    ask: Callable[[str], str] = str


def load_model(
    path: str, say: Callable[[str], None], needs_tokenizer: bool = True, mesh: MeshConfig = ONE_DEVICE
) -> TrainedModel:
    """The model of a run's folder (its newest good checkpoint), of its `checkpoints`, or of one step, on one device or a mesh.

    `say` is told of checkpoints that cannot be read. Converted weights may have come without a tokenizer.

    Raises:
        ConfigError: the mesh cannot be made here, or does not divide the model.
        UserError: there is no run, or no good checkpoint.
    """
    folder, step = RunFolder.find(path)
    tokenizer = folder.tokenizer() if needs_tokenizer else read_tokenizer(folder.path)
    run = folder.config(tokenizer)
    shapes = abstract_params(run.model)
    shardings = parameter_shardings(make_mesh(mesh), shapes)
    abstract = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)
    params, step = Checkpoints(folder.checkpoints, read_only=True).restore_params(abstract, say, step)
    return TrainedModel(params, run.model, tokenizer, step, run.ask)
