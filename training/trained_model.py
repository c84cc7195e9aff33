"""A trained model, read from a run's folder alone."""

import dataclasses
from collections.abc import Callable

import jax

from common.errors import UserError
from data.chat_template import ChatTemplate
from data.forms import DIALOGUES
from data.tokenizer import Tokenizer
from data.tokenizer_files import read_tokenizer
from model import TransformerConfig
from model.parameters import Params, abstract_params
from tasks import TASKS
from training.checkpoints import Checkpoints
from training.config import Settings
from training.run_folder import RunFolder
from training.sharding import MeshConfig, make_mesh, parameter_shardings

ONE_DEVICE = MeshConfig(1, 1, 1)


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """Parameters with all that is needed to use them."""

    params: Params
    config: TransformerConfig
    tokenizer: Tokenizer | None
    step: int


def has_learned_dialogues(settings: Settings) -> bool:
    """Whether a run with these settings has a chat template that it was trained with."""
    return TASKS[settings["task"]].examples in DIALOGUES


def read_chat_template(path: str) -> ChatTemplate:
    """How the run at `path` has learned to read dialogues.

    Raises:
        UserError: there is no run, or it has learned none.
    """
    folder, _ = RunFolder.find(path)
    settings = folder.settings()
    if not has_learned_dialogues(settings):
        learned = [name for name, task in TASKS.items() if task.examples in DIALOGUES]
        raise UserError(
            f"{folder.path} has learned task={settings['task']!r}, and --chat is for what has learned {' or '.join(learned)}; "
            "configs/finetune/chat.py goes on from it"
        )
    return ChatTemplate.parse(settings["data"]["chat_template"])


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
    config = folder.config(tokenizer).model
    shapes = abstract_params(config)
    shardings = parameter_shardings(make_mesh(mesh), shapes)
    abstract = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)
    params, step = Checkpoints(folder.checkpoints, read_only=True).restore_params(abstract, say, step)
    return TrainedModel(params, config, tokenizer, step)
