"""Optimizers and learning-rate schedules by name, composed from Optax."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from common.errors import check_choice, require
from model import lora
from model.config import DTYPES
from model.parameters import parameter_path
from training.layer_rates import with_layer_rates
from training.muon import scale_by_muon
from training.skipping import skip_steps


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How parameters follow gradients; `configs/base.py` says what each field means."""

    name: str
    learning_rate: float
    schedule: str
    warmup_steps: int
    final_fraction: float
    decay_fraction: float
    weight_decay: float
    b1: float
    b2: float
    eps: float
    clip_norm: float
    frozen: tuple[str, ...] = ()
    layer_decay: float = 1.0
    skip_above: float = 0.0
    state_dtype: str = "float32"

    def __post_init__(self):
        check_choice(OPTIMIZERS, self.name, "name")
        check_choice(SCHEDULES, self.schedule, "schedule")
        check_choice(DTYPES, self.state_dtype, "state_dtype")
        require(self.learning_rate > 0, f"learning_rate={self.learning_rate} must be above 0")
        require(self.eps > 0, f"eps={self.eps} must be above 0")
        for name in ("warmup_steps", "weight_decay", "clip_norm", "skip_above"):
            require(getattr(self, name) >= 0, f"{name}={getattr(self, name)} must not be negative")
        for name in ("final_fraction", "decay_fraction"):
            require(0 <= getattr(self, name) <= 1, f"{name}={getattr(self, name)} must be in [0, 1]")
        require(0 < self.layer_decay <= 1, f"layer_decay={self.layer_decay} must be above 0 and at most 1")
        for name in ("b1", "b2"):
            require(0 <= getattr(self, name) < 1, f"{name}={getattr(self, name)} must be in [0, 1)")
        require(
            self.name != "adam" or self.weight_decay == 0,
            f"weight_decay={self.weight_decay} with name='adam': use name='adamw', or loss.l2_penalty",
        )
        require(
            self.name != "adafactor" or self.state_dtype == "float32",
            f"state_dtype={self.state_dtype!r} is for first moments, and name='adafactor' keeps none; set float32",
        )
        decay = "b2" if self.name == "lion" else "b1"  # of the first moment
        require(
            self.state_dtype == "float32" or getattr(self, decay) <= 0.99,
            f"state_dtype={self.state_dtype!r} rounds small changes away: {decay}={getattr(self, decay)} must be at most 0.99",
        )


def warmup_stable_decay(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """The last `decay_fraction` of all steps, or what is left of it after warm-up, falls linearly.

    Hu et al. 2024 (arXiv:2404.06395).
    """
    falling = min(steps, round(config.decay_fraction * (config.warmup_steps + steps)))
    final = config.final_fraction * config.learning_rate
    return optax.linear_schedule(config.learning_rate, final, max(1, falling), transition_begin=steps - falling)


# name -> (config, steps after warm-up) -> schedule that starts at the peak, counted from the end of warm-up.
SCHEDULES: dict[str, Callable[[OptimizerConfig, int], optax.Schedule]] = {
    "constant": lambda c, steps: optax.constant_schedule(c.learning_rate),
    "linear": lambda c, steps: optax.linear_schedule(c.learning_rate, c.final_fraction * c.learning_rate, steps),
    "cosine": lambda c, steps: optax.cosine_decay_schedule(c.learning_rate, steps, alpha=c.final_fraction),
    # Vaswani et al. 2017, section 5.3, with the peak as a parameter.
    "rsqrt": lambda c, steps: (
        lambda count: c.learning_rate * jnp.sqrt(max(c.warmup_steps, 1) / (max(c.warmup_steps, 1) + count))
    ),
    "wsd": warmup_stable_decay,
}


def scale_by_adam(config: OptimizerConfig) -> optax.GradientTransformation:
    """The second moment is float32 always: a step changes it by a share of 1 - b2 or less, which bfloat16 would round away."""
    return optax.scale_by_adam(config.b1, config.b2, config.eps, mu_dtype=config.state_dtype)


# name -> gradients to directions; clipping, weight decay and the learning rate are added for all alike.
OPTIMIZERS: dict[str, Callable[[OptimizerConfig], optax.GradientTransformation]] = {
    "adamw": scale_by_adam,  # Loshchilov and Hutter 2017, arXiv:1711.05101
    "adam": scale_by_adam,  # Kingma and Ba 2014, arXiv:1412.6980
    "sgd": lambda c: optax.trace(decay=c.b1, accumulator_dtype=c.state_dtype),  # momentum b1
    # Chen et al. 2023, arXiv:2302.06675
    "lion": lambda c: optax.scale_by_lion(c.b1, c.b2, mu_dtype=c.state_dtype),
    # Shazeer and Stern 2018, arXiv:1804.04235. The two largest axes are factored where both are 32 or more, as a head's
    # size is; updates are clipped by the RMS of an array, which holds the kernels of all layers.
    "adafactor": lambda c: optax.chain(
        optax.scale_by_factored_rms(min_dim_size_to_factor=32), optax.clip_by_block_rms(1.0)
    ),
    # Jordan et al. 2024; embeddings, the head, norms and biases by AdamW
    "muon": lambda c: scale_by_muon(c.b1, scale_by_adam(c), c.state_dtype),
}


def make_schedule(config: OptimizerConfig, num_steps: int) -> optax.Schedule:
    """Step (int32 scalar, from 0) -> learning rate (float32 scalar): linear warm-up to the peak, then the named schedule."""
    after = SCHEDULES[config.schedule](config, max(1, num_steps - config.warmup_steps))
    warmup = config.warmup_steps

    def schedule(step):
        rising = config.learning_rate * (step + 1) / max(1, warmup)
        return jnp.where(step < warmup, rising, after(jnp.maximum(step - warmup, 0)))

    return schedule


def decay_mask(params):
    """True for each parameter that weight decay applies to: matrices and embeddings, not norms' scales nor biases."""
    matrices = ("kernel", "embedding", lora.A, lora.B)
    return jax.tree_util.tree_map_with_path(lambda path, _: parameter_path(path).endswith(matrices), params)


def rounded_once(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same, with first moments rounded where they are kept, and not before: in bfloat16 already 0.99 is another number."""

    def update(gradients, state, params=None):
        state = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf, state)
        return optimizer.update(gradients, state, params)

    return optax.GradientTransformation(optimizer.init, update)


def make_optimizer(config: OptimizerConfig, num_steps: int) -> optax.GradientTransformation:
    """Clip by global norm (0: do not), the named optimizer, decoupled weight decay, the schedule; all in float32 but the
    first moments, which are kept as `state_dtype` says.

    What is frozen counts for nothing in it, lower layers may learn more slowly, and steps may be left out.
    """
    parts = []
    if config.clip_norm:
        parts.append(optax.clip_by_global_norm(config.clip_norm))
    parts.append(rounded_once(OPTIMIZERS[config.name](config)))
    if config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=decay_mask))
    parts.append(optax.scale_by_learning_rate(make_schedule(config, num_steps)))
    optimizer = optax.chain(*parts)
    if config.frozen or config.layer_decay != 1:
        optimizer = with_layer_rates(optimizer, config.frozen, config.layer_decay)
    return skip_steps(optimizer, config.skip_above) if config.skip_above else optimizer
