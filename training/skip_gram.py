"""Skip-gram with negative sampling (Mikolov et al. 2013, arXiv:1310.4546, section 2.2): two matrices, and a pure step.

V words, D numbers each, B pairs a batch, K negatives a pair.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from training.norms import global_norm
from training.step import Batch, Params, TrainState


def init_skip_gram(num_words: int, width: int, optimizer: optax.GradientTransformation, seed: int) -> TrainState:
    """The state of step 0, as the original program begins: the words' vectors small and uniform, the contexts' zero.

    Its params are `word_embedding/embedding` and `context_embedding/embedding`, float32 [V, D].
    """
    init_key, step_key = jax.random.split(jax.random.key(seed))
    bound = 0.5 / width
    params = {
        "word_embedding": {"embedding": jax.random.uniform(init_key, (num_words, width), minval=-bound, maxval=bound)},
        "context_embedding": {"embedding": jnp.zeros((num_words, width))},
    }
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), jax.random.key_data(step_key))


def skip_gram_loss(params: Params, batch: Batch) -> jax.Array:
    """The mean over pairs of -log s(u.v) - sum_k log s(-n_k.v), in nats; v is the word's vector, u its context's.

    The n_k are the negatives'; one that is the context itself does not count. Of the batch it reads `words` and `contexts`,
    int32 [B], and `negatives`, int32 [B, K].
    """
    contexts = params["context_embedding"]["embedding"]
    v_BD = params["word_embedding"]["embedding"][batch["words"]]
    u_BD = contexts[batch["contexts"]]
    n_BKD = contexts[batch["negatives"]]
    near_B = jnp.einsum("BD,BD->B", u_BD, v_BD)
    far_BK = jnp.einsum("BKD,BD->BK", n_BKD, v_BD)
    counts_BK = batch["negatives"] != batch["contexts"][:, None]
    return (jax.nn.softplus(-near_B) + jnp.where(counts_BK, jax.nn.softplus(far_BK), 0).sum(-1)).mean()


def make_skip_gram_step(
    optimizer: optax.GradientTransformation,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]:
    """The pure step `(state, batch) -> (state, metrics)`; float32 scalars: "loss", "grad_norm", "tokens" (the pairs)."""

    def step(state: TrainState, batch: Batch):
        loss, gradients = jax.value_and_grad(skip_gram_loss)(state.params, batch)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        grad_norm = global_norm(gradients)
        pairs = jnp.asarray(batch["words"].size, jnp.float32)
        metrics = {"loss": loss, "grad_norm": grad_norm, "tokens": pairs}
        return TrainState(state.step + 1, params, optimizer_state, state.key), metrics

    return step
