"""How well parameters predict the validation text."""

import jax
from jax.sharding import Mesh

from data.batches import PackedRows, valid_batches
from data.corpus import EncodedText
from metrics import bits_per_byte, perplexity
from training.sharding import local_rows, put_batch
from training.step import Batch, Params


class Evaluator:
    """Measures parameters on texts by source, each packed once, in batches laid over the mesh."""

    def __init__(self, eval_step, texts: dict[str, EncodedText], sequence_length: int, batch_size: int, mesh: Mesh):
        """`eval_step`: (params, batch) -> {"loss", "weight"} summed, as `make_eval_step` gives it."""
        self._step = jax.jit(eval_step)
        self._texts = {source: PackedRows.pack(text, sequence_length) for source, text in texts.items()}
        self._batch_size, self._mesh = batch_size, mesh

    def batch_loss(self, params: Params, batch: Batch) -> float:
        """The summed cross-entropy of one batch, in nats."""
        return float(self._step(params, batch)["loss"])

    def __call__(self, params: Params) -> dict[str, float]:
        """The "loss" (mean nats a token), "perplexity" and "bits_per_byte" of all texts together.

        Where there are several sources, also "bits_per_byte/SOURCE" of each.
        """
        sums = {source: self._sums(params, packed) for source, packed in self._texts.items()}
        sizes = {source: packed.text.num_bytes for source, packed in self._texts.items()}
        total = sum(loss for loss, _ in sums.values())
        loss = total / sum(weight for _, weight in sums.values())
        values = {"loss": loss, "perplexity": perplexity(loss)}
        values["bits_per_byte"] = bits_per_byte(total, sum(sizes.values()))
        if len(sums) > 1:
            values |= {f"bits_per_byte/{source}": bits_per_byte(sums[source][0], sizes[source]) for source in sums}
        return values

    def _sums(self, params: Params, packed: PackedRows) -> tuple[float, float]:
        """Summed cross-entropy, and the number of targets, of a whole text."""
        rows = local_rows(self._mesh, self._batch_size)
        sums = [
            self._step(params, put_batch(self._mesh, packed.batch(indices[rows]), self._batch_size))
            for indices in valid_batches(packed, self._batch_size)
        ]
        return sum(float(part["loss"]) for part in sums), sum(float(part["weight"]) for part in sums)
