import jax.numpy as jnp
import numpy as np

from model import TransformerConfig
from model.positions import rotate, rotations, sinusoidal
from tests.model import reference


def rope(head_dim, theta=10000.0, **scaling):
    return TransformerConfig(
        vocab_size=2,
        max_length=64,
        decoder_layers=1,
        embed_dim=8,
        num_heads=1,
        head_dim=head_dim,
        position="rope",
        rope_theta=theta,
        **scaling,
    )


POSITIONS = np.array([[0, 1, 2, 3], [511, 7, 7, 100]])


def test_sinusoids_are_the_paper_s():
    table = sinusoidal(jnp.asarray(POSITIONS), 6)
    assert table.dtype == jnp.float32
    for row in range(2):
        np.testing.assert_allclose(table[row], reference.sinusoids(POSITIONS[row], 6), atol=1e-4)
    np.testing.assert_array_equal(table[0, 0], [0, 1, 0, 1, 0, 1])


def test_rotation_is_a_product_of_complex_numbers():
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 6))
    turned = rotate(jnp.asarray(x, jnp.float32), rotations(jnp.asarray(POSITIONS), rope(6, 500.0)))
    for row in range(2):
        for head in range(3):
            expected = reference.rotate(x[row, :, head], POSITIONS[row], theta=500.0)
            np.testing.assert_allclose(turned[row, :, head], expected, atol=1e-4)


def test_a_quarter_turn_takes_the_first_half_to_the_second():
    """Worked by hand: at head size 2 the angle is the position itself; pi / 2 turns (1, 0) to (0, 1)."""
    quarter = jnp.array([[[[jnp.pi / 2]]]])
    turned = rotate(jnp.array([[[[1.0, 0.0]]]]), (jnp.cos(quarter), jnp.sin(quarter)))
    np.testing.assert_allclose(turned[0, 0, 0], [0, 1], atol=1e-6)
    cos, sin = rotations(jnp.array([[3]]), rope(2))
    np.testing.assert_allclose([cos.item(), sin.item()], [np.cos(3), np.sin(3)], rtol=1e-6)


def test_the_product_of_rotated_queries_and_keys_depends_on_their_distance():
    generator = np.random.default_rng(1)
    q, k = (jnp.asarray(generator.normal(size=(1, 1, 1, 8)), jnp.float32) for _ in range(2))

    def product(query_position, key_position):
        turned = [
            rotate(x, rotations(jnp.array([[position]]), rope(8)))
            for x, position in ((q, query_position), (k, key_position))
        ]
        return float(jnp.vdot(*turned))

    np.testing.assert_allclose(product(9, 4), product(105, 100), rtol=1e-4)
    np.testing.assert_allclose(product(0, 0), float(jnp.vdot(q, k)), rtol=1e-6)
    assert abs(product(9, 4) - product(4, 9)) > 0.01


def test_rotation_keeps_the_dtype_and_computes_in_float32():
    x = jnp.ones((1, 4, 1, 6), jnp.bfloat16)
    cos_sin = rotations(jnp.asarray(POSITIONS[1:]), rope(6))
    assert cos_sin[0].dtype == jnp.float32
    turned = rotate(x, cos_sin)
    assert turned.dtype == jnp.bfloat16
    np.testing.assert_array_equal(turned, rotate(x.astype(jnp.float32), cos_sin).astype(jnp.bfloat16))
