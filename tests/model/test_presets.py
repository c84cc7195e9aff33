import math

import jax
import pytest

from common.errors import ConfigError
from model import presets
from tests.model.networks import abstract_params

# As published with the weights.
PARAMETERS = {
    (presets.gpt2, "124m"): 124_439_808,
    (presets.gpt2, "355m"): 354_823_168,
    (presets.gpt2, "774m"): 774_030_080,
    (presets.gpt2, "1558m"): 1_557_611_200,
    (presets.llama, "llama3.2-1b"): 1_235_814_400,
    (presets.llama, "llama3-8b"): 8_030_261_248,
    (presets.llama, "tinyllama-1.1b"): 1_100_048_384,
}


@pytest.mark.parametrize(("preset", "size"), PARAMETERS)
def test_parameters_are_as_many_as_published(preset, size):
    params = abstract_params(preset(size))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == PARAMETERS[preset, size]


def test_every_size_is_counted():
    counted = {size for _, size in PARAMETERS}
    assert counted == set(presets.GPT2_SIZES) | set(presets.LLAMA_SIZES)


@pytest.mark.parametrize(
    ("preset", "size", "nearest"), [(presets.gpt2, "124M", "124m"), (presets.llama, "llama-8b", "llama3-8b")]
)
def test_an_unknown_size_names_the_nearest_and_lists_all(preset, size, nearest):
    with pytest.raises(ConfigError) as caught:
        preset(size)
    message = str(caught.value)
    assert size in message and f"did you mean {nearest!r}?" in message
    sizes = presets.GPT2_SIZES if preset is presets.gpt2 else presets.LLAMA_SIZES
    assert all(name in message for name in sizes)
