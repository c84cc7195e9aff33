"""The training step: one pure function for every task, sharded by jit."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from model import Output, Transformer, TransformerConfig
from model import lora as adapters
from model.lora import LoraConfig
from model.parameters import Params, by_path, init_params, nested
from tasks import Batch, LossConfig, Task, as_tokens
from training.average import add_to_average, begin_average
from training.norms import global_norm, layer_norms
from training.optimizer import decay_mask
from training.sharding import constrain_batch, gather_tables, optimizer_shardings, parameter_shardings, replicated
from training.skipping import is_kept

IN_FULL = LoraConfig()  # no adapters


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """All that a run is at one step.

    Attributes:
        step: int32 scalar, steps done; also the number of the batch that comes next.
        params: float32, nested dicts: the network's or, with LoRA, what is trained beside a base.
        optimizer: Optax's state.
        key: uint32, the run's random key (`jax.random.key_data`); the randomness of a step is `fold_in(key, step)`.
        average: of the parameters over the steps, like them; {} where a run keeps none.
    """

    step: jax.Array
    params: Params
    optimizer: optax.OptState
    key: jax.Array
    average: Params = dataclasses.field(default_factory=dict)

    @property
    def outcome(self) -> Params:
        """The parameters that are measured, sampled from and read by others: the average, where there is one."""
        return self.average or self.params


class MeshedNetwork:
    """The network over a mesh, as tasks call it (`tasks.task.Apply`)."""

    def __init__(self, config: TransformerConfig, mesh: Mesh):
        self._network, self._config, self._mesh = Transformer(config, constrain_batch(mesh)), config, mesh

    def __call__(self, params: Params, batch: Batch, key: jax.Array | None) -> Output:
        return self._apply(params, batch, rngs={} if key is None else {"dropout": key})

    def intermediates(self, params: Params, batch: Batch) -> dict[str, Any]:
        """What the layers of each stack sow on the way, without dropout: arrays [L, ...] by the names of modules."""
        return self._apply(params, batch, mutable="intermediates")[1]["intermediates"]

    def _apply(self, params: Params, batch: Batch, **how: Any) -> Any:
        variables = {"params": gather_tables(self._mesh, params)}
        return self._network.apply(variables, *as_tokens(batch, self._config), **how)

    def logits(self, params: Params, hidden_BTD: jax.Array) -> jax.Array:
        variables = {"params": gather_tables(self._mesh, params)}
        return self._network.apply(variables, hidden_BTD, method=Transformer.logits)


def init_state(
    config: TransformerConfig,
    optimizer: optax.GradientTransformation,
    seed: int,
    given: Params | None = None,
    lora: LoraConfig = IN_FULL,
    base: Params | None = None,
    ema_decay: float = 0.0,
) -> TrainState:
    """The state of step 0; the parameters that are `given`, all or some, start there, and the others at random.

    Those in `base`, of which shapes are enough, are no part of the state: adapters are, as `lora` says.
    """
    init_key, step_key = jax.random.split(jax.random.key(seed))
    params = init_params(config, init_key)
    start = by_path(given or {})
    params = nested({path: start.get(path, leaf).astype(leaf.dtype) for path, leaf in by_path(params).items()})
    params = adapters.trainable(params, base or {}, lora, init_key)
    average = begin_average(params, ema_decay > 0)
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), jax.random.key_data(step_key), average)


def abstract_state(
    config: TransformerConfig,
    optimizer: optax.GradientTransformation,
    seed: int,
    mesh: Mesh,
    lora: LoraConfig = IN_FULL,
    base: Params | None = None,
    ema_decay: float = 0.0,
) -> TrainState:
    """Shapes, dtypes and shardings of the state that `init_state` gives; nothing is allocated.

    Raises:
        ConfigError: an axis that the mesh does not divide.
    """
    return lay_out(jax.eval_shape(lambda: init_state(config, optimizer, seed, None, lora, base, ema_decay)), mesh)


def lay_out(shapes: TrainState, mesh: Mesh) -> TrainState:
    """A state's abstract arrays with the shardings they have on `mesh`.

    Raises:
        ConfigError: an axis that the mesh does not divide.
    """
    shardings = parameter_shardings(mesh, shapes.params)
    sharding_of = TrainState(
        step=replicated(mesh),
        params=shardings,
        optimizer=optimizer_shardings(mesh, shapes.optimizer, shapes.params, shardings),
        key=replicated(mesh),
        average=shardings if shapes.average else {},
    )
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes, sharding_of
    )


def shardings_of(tree):
    """The shardings of abstract or real arrays."""
    return jax.tree.map(lambda leaf: leaf.sharding, tree)


def penalty(params: Params, config: LossConfig) -> jax.Array:
    """l1 * sum |w| + l2 * sum w^2, over the parameters that weight decay applies to."""
    weights = jax.tree.leaves(jax.tree.map(lambda leaf, decays: leaf if decays else None, params, decay_mask(params)))
    l1 = sum(jnp.abs(weight).sum() for weight in weights)
    l2 = sum(jnp.square(weight).sum() for weight in weights)
    return config.l1_penalty * l1 + config.l2_penalty * l2


def make_train_step(
    model: TransformerConfig,
    task: Task,
    loss_config: LossConfig,
    optimizer: optax.GradientTransformation,
    microbatches: int,
    mesh: Mesh,
    with_layer_norms: bool = False,
    lora: LoraConfig = IN_FULL,
    ema_decay: float = 0.0,
    skip_above: float = 0.0,
) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
    """The pure step `(state, batch) -> (state, metrics)`; with LoRA `(state, batch, base)`, of which the base never changes.

    The batch is taken in `microbatches` parts, one after the other; their gradients of summed losses are added and divided
    by the summed weights once, so the result does not depend on the cut. Metrics are float32 scalars: "loss" (mean
    cross-entropy in nats) and the task's other means, "tokens" (all that the network read), "grad_norm" (before clipping)
    and, `with_layer_norms`, what `layer_norms` tells of gradients and updates. `skip_above`: as in the optimizer's config; what
    it skips is not averaged.
    """
    apply = MeshedNetwork(model, mesh)

    def objective(params, base, batch, key):
        weights = adapters.merge(base, params, lora)
        return jax.tree.map(jnp.sum, task.loss(apply, weights, batch, key, loss_config))

    def train_step(state: TrainState, batch: Batch, base: Params | None = None):
        base = base or {}
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)

        def accumulate(total, part):
            microbatch, index = part
            dropout_key = jax.random.fold_in(key, index) if model.dropout else None
            (_, sums), gradients = jax.value_and_grad(objective, has_aux=True)(
                state.params, base, microbatch, dropout_key
            )
            return jax.tree.map(jnp.add, total, (gradients, sums)), None

        # Row r goes to microbatch r mod M: so every device has rows in each microbatch.
        parts = jax.tree.map(lambda x: x.reshape(-1, microbatches, *x.shape[1:]).swapaxes(0, 1), batch)
        first = jax.tree.map(lambda x: x[0], parts)
        _, sums = jax.eval_shape(objective, state.params, base, first, None)
        total = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (state.params, sums))
        (gradients, sums), _ = jax.lax.scan(accumulate, total, (parts, jnp.arange(microbatches)))
        weight = jnp.maximum(sums["weight"], 1)
        gradients = jax.tree.map(lambda gradient: gradient / weight, gradients)
        if loss_config.l1_penalty or loss_config.l2_penalty:
            gradients = jax.tree.map(jnp.add, gradients, jax.grad(penalty)(state.params, loss_config))

        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        grad_norm = global_norm(gradients)
        tokens = sum((batch[name] > 0).sum() for name in ("segment_ids", "encoder_segment_ids") if name in batch)
        means = {name: value / weight for name, value in sums.items() if name != "weight"}
        metrics = means | {"tokens": tokens.astype(jnp.float32), "grad_norm": grad_norm}
        if with_layer_norms:
            metrics |= layer_norms("grad_norm", gradients) | layer_norms("update_norm", updates)
        kept = is_kept(grad_norm, skip_above)
        average = add_to_average(state.average, params, state.step + 1, ema_decay, kept)
        return TrainState(state.step + 1, params, optimizer_state, state.key, average), metrics

    return train_step


def make_eval_step(
    model: TransformerConfig, task: Task, loss_config: LossConfig, mesh: Mesh
) -> Callable[[Params, Batch], dict[str, jax.Array]]:
    """The pure function `(params, batch) -> values` of each target of a task, without dropout, and what it would answer."""
    apply = MeshedNetwork(model, mesh)

    def eval_step(params: Params, batch: Batch) -> dict[str, jax.Array]:
        answers = {} if task.predict is None else task.predict(apply, params, batch)
        return task.loss(apply, params, batch, None, loss_config)[1] | answers

    return eval_step


def compile_train_step(train_step, state: TrainState, batch: Batch, base: Params | None = None):
    """`train_step` compiled for the shardings of its arguments (abstract or real), the state's buffers donated.

    It takes as many arguments as are given here.
    """
    mesh = batch["inputs"].sharding.mesh
    jitted = jax.jit(train_step, donate_argnums=0, out_shardings=(shardings_of(state), replicated(mesh)))
    return jitted.lower(state, batch, *([] if base is None else [base])).compile()
