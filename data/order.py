"""The order of training: which source the n-th row comes from, and which of its rows it is, without a list of either."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from common.errors import require
from data.scripts import mix

ROUNDS = 4
BLOCK = 10_000  # rows of a mixture in which the sources' shares are exact


def shuffled(places: np.ndarray, size: int, seed: Sequence[int]) -> np.ndarray:
    """What stands at `places`, int64 [N], of the permutation of 0 … size - 1 that `seed` gives.

    A Feistel network over the pairs (high, low) of which a number consists, and what falls outside goes through it again
    (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"): as good as a shuffled list, but any place of it costs
    the same, and there is no list.
    """
    base = math.isqrt(size - 1) + 1
    sizes = -(-size // base), base  # of high and of low; their product is hardly above `size`
    keys = np.random.SeedSequence(seed).generate_state(2 * ROUNDS, np.uint64)

    def encrypt(numbers: np.ndarray) -> np.ndarray:
        halves = list(np.divmod(numbers, base))
        for turn, key in enumerate(keys):
            side = turn % 2
            noise = mix(halves[1 - side].astype(np.uint64) ^ key) % np.uint64(sizes[side])
            halves[side] = (halves[side] + noise.astype(np.int64)) % sizes[side]
        return halves[0] * base + halves[1]

    numbers = encrypt(np.asarray(places, np.int64))
    while (outside := numbers >= size).any():
        numbers[outside] = encrypt(numbers[outside])
    return numbers


@dataclasses.dataclass(frozen=True)
class Mixture:
    """An endless line of sources in given shares: each block of `BLOCK` has exactly its share of each, in a random order.

    Attributes:
        quotas: rows of each source in a block; `BLOCK` in sum.
    """

    quotas: tuple[int, ...]
    seed: int

    @classmethod
    def of_weights(cls, weights: Sequence[float], seed: int) -> "Mixture":
        """Shares in proportion to `weights`, to four digits.

        Raises:
            ConfigError: a share is less than one row in `BLOCK`.
        """
        shares = BLOCK * np.asarray(weights, float) / np.sum(weights)
        quotas = np.floor(shares).astype(int)
        rest = np.argsort(quotas - shares, kind="stable")[: BLOCK - quotas.sum()]  # the largest remainders
        quotas[rest] += 1
        require(
            quotas.min() >= 1,
            f"data.weights: source {quotas.argmin() + 1} gets less than one row in {BLOCK:,}; raise it, or leave it out",
        )
        return cls(tuple(quotas.tolist()), seed)

    def at(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The source of each of the `numbers` [N] of the line, and how many of that source come before it: int64 [N] each."""
        blocks, places = np.divmod(numbers, BLOCK)
        sources, ranks = np.empty_like(numbers), np.empty_like(numbers)
        for block in np.unique(blocks):
            order, before = self._block(int(block))
            here = blocks == block
            sources[here], ranks[here] = order[places[here]], before[places[here]]
        return sources, blocks * np.array(self.quotas)[sources] + ranks

    def counts(self, number: int) -> np.ndarray:
        """How many of each source there are before `number`, int64 [sources]."""
        block, place = divmod(number, BLOCK)
        order, _ = self._block(block)
        return block * np.array(self.quotas) + np.bincount(order[:place], minlength=len(self.quotas))

    def _block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        return _order_of_block(self.quotas, self.seed, block)


@functools.lru_cache(maxsize=4)  # a batch may have rows of two blocks
def _order_of_block(quotas: tuple[int, ...], seed: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """The sources of a block in order, and how many of the same source stand before each: [BLOCK] each."""
    order = np.random.default_rng([seed, block]).permutation(np.repeat(np.arange(len(quotas)), quotas))
    before = np.empty_like(order)
    for source in range(len(quotas)):
        (places,) = np.nonzero(order == source)
        before[places] = np.arange(len(places))
    return order, before
