"""The mesh, and the one table that says how every array is laid over it.

A parameter's path gives its logical axes (`PARAMETER_AXES`), a logical axis gives mesh axes (`MESH_OF`). One device is a
mesh of one: there is no other code path.
"""

import dataclasses
import math
import re

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from common.errors import ConfigError, require
from model import lora
from model.parameters import by_path, parameter_path

MESH_AXES = ("data", "fsdp", "tensor")

# Logical axis -> the mesh axes that divide it. The batch is divided by both kinds of data parallelism.
MESH_OF = {
    "batch": ("data", "fsdp"),
    "layer": None,
    "embed": "fsdp",
    "heads": "tensor",
    "kv_heads": "tensor",
    "head": None,
    "mlp": "tensor",
    "vocab": "tensor",
    "features": "tensor",
    "position": None,
    "type": None,
    "bucket": None,
    "classes": None,
    "rank": None,
}

# Logical axis that the mesh divides -> the setting of the network that is its size.
SETTING_OF = {
    "embed": "embed_dim",
    "heads": "num_heads",
    "kv_heads": "num_kv_heads",
    "mlp": "mlp_dim",
    "vocab": "vocab_size",
    "features": "embed_dim",
}

# The end of a parameter's path -> its logical axes. Exactly one row must match.
PARAMETER_AXES = (
    (r"(token|word|context)_embedding/embedding", ("vocab", "embed")),
    (r"position_embedding/embedding", ("position", "embed")),
    (r"token_type_embedding/embedding", ("type", "embed")),
    (r"relative_bias/embedding", ("bucket", "heads")),
    (r"(cross_)?attention/query/kernel", ("layer", "embed", "heads", "head")),
    (r"(cross_)?attention/(key|value)/kernel", ("layer", "embed", "kv_heads", "head")),
    (r"(cross_)?attention/out/kernel", ("layer", "heads", "head", "embed")),
    (r"(cross_)?attention/query/bias", ("layer", "heads", "head")),
    (r"(cross_)?attention/(key|value)/bias", ("layer", "kv_heads", "head")),
    (r"(cross_)?attention/(query|key)_norm/(scale|bias)", ("layer", "head")),
    (r"mlp/(up|gate)/kernel", ("layer", "embed", "mlp")),
    (r"mlp/(up|gate)/bias", ("layer", "mlp")),
    (r"mlp/down/kernel", ("layer", "mlp", "embed")),
    (r"((cross_)?attention/out|mlp/down)/bias", ("layer", "embed")),
    (r"((cross_)?attention|mlp)_norm/(scale|bias)", ("layer", "embed")),
    (r"(embedding_norm|final_norm|head/norm)/(scale|bias)", ("embed",)),
    (r"(pooler|head/transform)/kernel", ("embed", "features")),
    (r"(pooler|head/transform)/bias", ("features",)),
    (r"head/output/kernel", ("embed", "vocab")),
    (r"head/bias", ("vocab",)),
    (r"head/classes/kernel", ("embed", "classes")),
    (r"head/classes/bias", ("classes",)),
)


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """How many devices each mesh axis has; -1 in one of them: all that are left."""

    data: int
    fsdp: int
    tensor: int

    def __post_init__(self):
        sizes = dataclasses.astuple(self)
        for name, size in zip(MESH_AXES, sizes, strict=True):
            require(size >= 1 or size == -1, f"{name}={size} must be at least 1, or -1 for the devices that are left")
        require(sizes.count(-1) <= 1, "only one of data, fsdp and tensor can be -1")


def make_mesh(config: MeshConfig) -> Mesh:
    """A mesh of (data, fsdp, tensor) over all devices, or over the first of them where fewer are asked for.

    Raises:
        ConfigError: more devices are asked for than there are, -1 does not come out even, or a process has none of them.
    """
    sizes = list(dataclasses.astuple(config))
    devices = jax.device_count()
    if -1 in sizes:
        asked = math.prod(size for size in sizes if size != -1)
        require(
            devices % asked == 0,
            f"mesh {_describe(sizes)}: {asked} does not divide the {devices} devices that are here",
        )
        sizes[sizes.index(-1)] = devices // asked
    total = math.prod(sizes)
    require(total <= devices, f"mesh {_describe(sizes)} asks for {total} devices, but {devices} are here")
    chosen = jax.devices()[:total]
    require(
        len({device.process_index for device in chosen}) == jax.process_count(),
        f"mesh {_describe(sizes)} leaves some of the {jax.process_count()} processes without a device; take all {devices}",
    )
    return Mesh(np.array(chosen).reshape(sizes), MESH_AXES)


def _describe(sizes) -> str:
    return " ".join(f"mesh.{name}={size}" for name, size in zip(MESH_AXES, sizes, strict=True))


def logical_axes(path: str) -> tuple[str, ...]:
    """The logical axes of the parameter at `path`; those of an adapter are its kernel's, and "rank".

    Raises:
        KeyError: no row of the table matches, or several do.
    """
    kernel, _, name = path.rpartition("/")
    if name in (lora.A, lora.B):
        return lora.factors(kernel, logical_axes(kernel), "rank")[name]
    rows = [axes for pattern, axes in PARAMETER_AXES if re.search(rf"(^|/){pattern}$", path)]
    if len(rows) != 1:
        raise KeyError(f"{path} matches {len(rows)} rows of PARAMETER_AXES; it must match one")
    return rows[0]


def parameter_shardings(mesh: Mesh, params):
    """A NamedSharding for every parameter of an abstract tree.

    Raises:
        ConfigError: an axis that the mesh does not divide.
    """

    def sharding(path, leaf):
        name = parameter_path(path)
        axes = logical_axes(name)
        if len(axes) != leaf.ndim:
            raise KeyError(f"{name} has shape {leaf.shape}, but PARAMETER_AXES gives it the axes {axes}")
        for axis, size in zip(axes, leaf.shape, strict=True):
            mesh_axis = MESH_OF[axis]
            if mesh_axis and size % (parts := mesh.shape[mesh_axis]):
                is_given = axis == "vocab" and not name.startswith(("token_", "head/"))  # by the words of a text
                raise ConfigError(
                    f"mesh.{mesh_axis}={parts} does not divide the {axis} axis of {name}, which is {size}; take a divisor "
                    f"of it{'' if is_given else f', or a multiple of {parts} for model.{SETTING_OF[axis]}'}"
                )
        return NamedSharding(mesh, PartitionSpec(*(MESH_OF[axis] for axis in axes)))

    return jax.tree_util.tree_map_with_path(sharding, params)


def on_mesh(mesh: Mesh, shapes):
    """Abstract parameters with the shardings they have on the mesh.

    Raises:
        ConfigError: an axis that the mesh does not divide.
    """
    shardings = parameter_shardings(mesh, shapes)
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)


def optimizer_shardings(mesh: Mesh, optimizer_state, params, shardings):
    """Shardings of an abstract optimizer state: what has a parameter's path and shape lies as that parameter does.

    Counters and Adafactor's rows and columns, which are small, are on every device.
    """
    sharding_of = by_path(shardings)
    of_parameter = {path: (leaf.shape, sharding_of[path]) for path, leaf in by_path(params).items()}

    def sharding(path, leaf):
        name = parameter_path(path)
        for parameter, (shape, its_sharding) in of_parameter.items():
            if name.endswith("/" + parameter) and leaf.shape == shape:
                return its_sharding
        return replicated(mesh)

    return jax.tree_util.tree_map_with_path(sharding, optimizer_state)


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Of arrays [B, ...]: divided over `data` and `fsdp`."""
    return NamedSharding(mesh, PartitionSpec(MESH_OF["batch"]))


def constrain_batch(mesh: Mesh):
    """A function that lays activations [B, ...] over the mesh by their rows.

    Without it XLA may take the layout of the parameters for that of the activations, and compute the whole batch everywhere.
    """
    return lambda x: jax.lax.with_sharding_constraint(x, batch_sharding(mesh))


def gather_tables(mesh: Mesh, params):
    """The parameters, each table that is looked up gathered over `fsdp`, as a layer's kernels are when it is their turn.

    Left to itself XLA looks the ids of the whole batch up in each part of the table instead, and puts the activations of all
    rows together on every device.
    """

    def gather(path, leaf):
        name = parameter_path(path)
        if not name.endswith("/embedding"):
            return leaf
        axes = (MESH_OF[axis] for axis in logical_axes(name))
        spec = PartitionSpec(*(None if axis == "fsdp" else axis for axis in axes))
        return jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, spec))

    return jax.tree_util.tree_map_with_path(gather, params)


def batch_divisor(mesh: Mesh) -> int:
    """How many parts a batch is divided into."""
    return math.prod(mesh.shape[axis] for axis in MESH_OF["batch"])


def local_rows(mesh: Mesh, batch_size: int) -> slice:
    """The rows of a batch that this process's devices hold."""
    spans = batch_sharding(mesh).addressable_devices_indices_map((batch_size,)).values()
    bounds = [span[0].indices(batch_size) for span in spans]
    return slice(min(start for start, _, _ in bounds), max(stop for _, stop, _ in bounds))


def put_batch(mesh: Mesh, rows: dict[str, np.ndarray], batch_size: int) -> dict[str, jax.Array]:
    """Global arrays [batch_size, ...] from the rows of this process (see `local_rows`)."""
    sharding = batch_sharding(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, array, (batch_size, *array.shape[1:]))
        for name, array in rows.items()
    }
