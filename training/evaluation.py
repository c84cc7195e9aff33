"""How well parameters predict the validation text."""

import jax
from jax.sharding import Mesh

from data.batches import ValidBatches
from metrics import bits_per_byte, perplexity
from training.sharding import local_rows, put_batch
from training.step import Batch, Params


class Evaluator:
    """Measures parameters on texts by source, each packed once, in batches laid over the mesh."""

    def __init__(self, eval_step, batches: dict[str, ValidBatches], every_token: bool, mesh: Mesh):
        """`eval_step`: (params, batch) -> {"loss", "weight"} summed, as `make_eval_step` gives it.

        `every_token`: whether each token is a target once, so that bits a byte can be told.
        """
        self._step = jax.jit(eval_step)
        self._batches, self._every_token, self._mesh = batches, every_token, mesh

    def batch_loss(self, params: Params, batch: Batch) -> float:
        """The summed cross-entropy of one batch, arrays [B, T] over the mesh, in nats."""
        return float(self._step(params, batch)["loss"])

    def __call__(self, params: Params) -> dict[str, float]:
        """The "loss" (mean nats a target) and "perplexity" of all texts together.

        Where every token is a target, "bits_per_byte" as well and, of several sources, "bits_per_byte/SOURCE" of each.
        """
        sums = {source: self._sums(params, batches) for source, batches in self._batches.items()}
        sizes = {source: batches.packed.texts[0].num_bytes for source, batches in self._batches.items()}
        total, weight = map(sum, zip(*sums.values(), strict=True))
        values = {"loss": total / weight, "perplexity": perplexity(total / weight)}
        if self._every_token:
            values["bits_per_byte"] = bits_per_byte(total, sum(sizes.values()))
            if len(sums) > 1:
                values |= {f"bits_per_byte/{source}": bits_per_byte(sums[source][0], sizes[source]) for source in sums}
        return values

    def _sums(self, params: Params, batches: ValidBatches) -> tuple[float, float]:
        """Summed cross-entropy, and the number of targets, of a whole text."""
        rows = local_rows(self._mesh, batches.batch_size)
        sums = [
            self._step(params, put_batch(self._mesh, batches(number, rows), batches.batch_size))
            for number in range(len(batches))
        ]
        return sum(float(part["loss"]) for part in sums), sum(float(part["weight"]) for part in sums)
