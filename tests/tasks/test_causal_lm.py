import numpy as np

from tasks import TASKS, CorruptionConfig


def row(*lengths, padding=3):
    segments = np.repeat([*range(1, len(lengths) + 1), 0], [*lengths, padding])
    tokens = np.arange(len(segments), dtype=np.int32)
    return {
        "inputs": tokens,
        "targets": tokens + 1,
        "positions": np.concatenate([np.arange(length) for length in lengths] + [np.zeros(padding, int)]),
        "segment_ids": segments,
        "weights": (segments > 0) * np.float32(1),
    }


def test_causal_lm_takes_rows_as_they_are():
    given = row(4, 2)
    assert TASKS["causal_lm"].prepare(None, None, CorruptionConfig(), "decoder")(given, None) is given


def test_a_prefix_is_the_beginning_of_each_text_and_what_follows_is_the_target():
    prepare = TASKS["prefix_lm"].prepare(None, None, CorruptionConfig(), "decoder")
    sizes = set()
    for seed in range(100):
        given = row(5, 1, 3)
        fed = prepare(given, np.random.default_rng(seed))
        for segment, length in ((1, 5), (2, 1), (3, 3)):
            here = given["segment_ids"] == segment
            size = int(fed["prefix"][here].sum())
            assert 1 <= size <= max(1, length - 1)
            assert fed["prefix"][here].tolist() == [True] * size + [False] * (length - size)
            assert fed["weights"][here].tolist() == [0] * (size - 1) + [1] * (length - size + 1)
            sizes.add((segment, size))
        assert (
            not fed["prefix"][given["segment_ids"] == 0].any() and not fed["weights"][given["segment_ids"] == 0].any()
        )
    assert sizes == {(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (3, 1), (3, 2)}
