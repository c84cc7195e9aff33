"""What a LoRA run starts from and leaves as it is: kept once in its folder, in `base/`, beside checkpoints of adapters."""

import functools
from collections.abc import Sequence

from jax.sharding import Mesh

from common.command import Say
from model.parameters import Params, abstract_params
from training.checkpoints import Checkpoints
from training.config import RunConfig
from training.init_from import abstract_init, read_init
from training.run_folder import RunFolder
from training.sharding import on_mesh
from training.trained_model import abstract_base, make_merge, read_base


class BaseWeights:
    """The weights that do not learn, of a run that trains adapters; every other run has none, and `values` is {}.

    Attributes:
        abstract: their shapes, dtypes and shardings.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        mesh: Mesh,
        say: Say,
        classes: Sequence[str] = (),
    ):
        """They are in the run's folder, once it keeps them, so that the one it started from may be gone; else in `init_from`.

        Raises:
            ConfigError: the mesh does not divide them.
            UserError: they cannot be read.
        """
        self.config, self.folder, self.say, self.classes = config, folder, say, classes
        self.shapes = on_mesh(mesh, abstract_params(config.model))
        self.abstract: Params = {}
        if config.lora.rank:
            self._kept = abstract_base(folder, self.shapes, say)
            self.abstract = self._kept or abstract_init(config.init_from, config.model, config.mesh, say, classes)
        self._merge = make_merge(self.shapes, config.lora)

    @functools.cached_property
    def values(self) -> Params:
        """The arrays; they are read when they are first asked for."""
        if not self.abstract:
            return {}
        if self._kept:
            return read_base(self.folder, self.shapes, self.say)
        return read_init(self.config.init_from, self.config.model, self.config.mesh, self.say, self.classes)

    def keep(self) -> None:
        """Writes them to the run's folder, if it does not keep them yet: whole, or not at all."""
        if self.values and not self._kept:
            checkpoints = Checkpoints(self.folder.base)
            checkpoints.save_params(self.values)
            checkpoints.wait()
            checkpoints.close()

    def merged(self, params: Params) -> Params:
        """The network's parameters: what is trained or, of adapters, what they make of these weights."""
        return self._merge(self.values, params) if self.abstract else params
