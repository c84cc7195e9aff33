"""Permutations and mixtures that are nowhere written down."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from data.order import BLOCK, Mixture, shuffled


@given(st.integers(1, 3000), st.integers(0, 2**32), st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_a_permutation_has_each_number_once(size, seed, epoch):
    assert sorted(shuffled(np.arange(size), size, (seed, epoch))) == list(range(size))


@given(st.integers(1, 10**12), st.lists(st.integers(0, 10**12 - 1), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_a_place_is_found_without_the_others(size, places):
    places = np.array(places) % size
    together = shuffled(places, size, (1, 2))
    assert ((together >= 0) & (together < size)).all()
    assert [int(shuffled(places[at : at + 1], size, (1, 2))[0]) for at in range(len(places))] == together.tolist()


def chi_square(counts: np.ndarray) -> float:
    """Over its degrees of freedom: about 1 where all are as likely."""
    return float(((counts - counts.mean()) ** 2).sum() / counts.mean() / (counts.size - 1))


def test_every_order_of_four_is_as_likely():
    orders = [tuple(shuffled(np.arange(4), 4, (seed, 0)).tolist()) for seed in range(4800)]
    counts = np.array([orders.count(order) for order in itertools.permutations(range(4))])
    assert chi_square(counts) < 2


@pytest.mark.parametrize("size", [17, 100])
def test_every_number_is_as_likely_at_every_place(size):
    draws = 100 * size
    table = np.zeros((size, size))
    for seed in range(draws):
        table[np.arange(size), shuffled(np.arange(size), size, (7, seed))] += 1
    assert 0.8 < chi_square(table) < 1.2


def test_neighbours_are_torn_apart():
    size = 100_003
    order = shuffled(np.arange(size), size, (3, 0))
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(np.arange(size), order)[0, 1]) < 0.02
    assert (abs(np.diff(order)) == 1).sum() < 12  # 2 are expected
    assert (order == shuffled(np.arange(size), size, (3, 1))).sum() < 8  # 1 is expected


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=6), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_a_block_has_each_source_as_often_as_its_weight_says(weights, seed):
    mixture = Mixture.of_weights(weights, seed) if min(weights) / sum(weights) > 1 / BLOCK else None
    if mixture is None:
        return
    sources, _ = mixture.at(np.arange(BLOCK) + 3 * BLOCK)
    shares = np.bincount(sources, minlength=len(weights)) / BLOCK
    np.testing.assert_allclose(shares, np.array(weights) / sum(weights), atol=1 / BLOCK)
    assert mixture.quotas == tuple((shares * BLOCK).round().astype(int))


@given(st.integers(0, 5 * BLOCK), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_each_source_is_counted_from_zero_without_a_gap(number, seed):
    mixture = Mixture.of_weights((5, 3, 1), seed)
    all_sources, all_ranks = mixture.at(np.arange(6 * BLOCK))
    for source in range(3):
        assert (all_ranks[all_sources == source] == np.arange((all_sources == source).sum())).all()
    sources, ranks = mixture.at(np.arange(number, number + 7))
    assert sources.tolist() == all_sources[number : number + 7].tolist()
    assert ranks.tolist() == all_ranks[number : number + 7].tolist()
    assert mixture.counts(number).tolist() == np.bincount(all_sources[:number], minlength=3).tolist()


def test_blocks_and_seeds_differ():
    lines = [Mixture.of_weights((1, 1), seed).at(np.arange(2 * BLOCK))[0] for seed in (0, 1)]
    parts = [part.tolist() for line in lines for part in (line[:BLOCK], line[BLOCK:])]
    assert len({tuple(part) for part in parts}) == 4
    for part in parts:
        assert abs(sum(part[:100]) - 50) < 30, "sources are mixed, not one behind the other"


def test_a_share_that_is_next_to_nothing_is_refused():
    with pytest.raises(ConfigError, match="source 2 gets less than one row in 10,000"):
        Mixture.of_weights((1, 1e-6), 0)
