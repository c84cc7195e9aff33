import math

import jax
import pytest

from common.errors import ConfigError
from model import presets
from model.parameters import abstract_params

# As published with the weights; of BERT and RoBERTa with the masked-language-model head and without the pooler.
PARAMETERS = {
    ("gpt2", "124m"): 124_439_808,
    ("gpt2", "355m"): 354_823_168,
    ("gpt2", "774m"): 774_030_080,
    ("gpt2", "1558m"): 1_557_611_200,
    ("llama", "llama2-7b"): 6_738_415_616,
    ("llama", "llama2-13b"): 13_015_864_320,
    ("llama", "llama3-8b"): 8_030_261_248,
    ("llama", "llama3.2-1b"): 1_235_814_400,
    ("llama", "llama3.2-3b"): 3_212_749_824,
    ("llama", "tinyllama-1.1b"): 1_100_048_384,
    ("mistral", "7b-v0.1"): 7_241_732_096,
    ("mistral", "7b-v0.3"): 7_248_023_552,
    ("qwen2", "qwen2.5-0.5b"): 494_032_768,
    ("qwen2", "qwen2.5-1.5b"): 1_543_714_304,
    ("qwen2", "qwen2.5-7b"): 7_615_616_512,
    ("qwen3", "0.6b"): 596_049_920,
    ("qwen3", "1.7b"): 1_720_574_976,
    ("qwen3", "4b"): 4_022_468_096,
    ("qwen3", "8b"): 8_190_735_360,
    ("bert", "base-uncased"): 109_514_298,
    ("bert", "base-cased"): 108_340_804,
    ("bert", "base-chinese"): 102_290_312,
    ("bert", "large-uncased"): 335_174_458,
    ("bert", "large-cased"): 333_610_308,
    ("roberta", "base"): 124_697_433,
    ("roberta", "large"): 355_412_057,
    ("t5", "small"): 60_506_624,
    ("t5", "base"): 222_903_552,
    ("t5", "large"): 737_668_096,
    ("t5", "3b"): 2_851_598_336,
    ("t5", "v1.1-small"): 76_961_152,
    ("t5", "v1.1-base"): 247_577_856,
    ("mt5", "small"): 300_176_768,
    ("mt5", "base"): 582_401_280,
}
ROUGHLY = {("vaswani2017", "base"): 65e6, ("vaswani2017", "big"): 213e6}  # the paper's table 3


def count(family: str, size: str) -> int:
    params = abstract_params(presets.preset(family, size))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(("family", "size"), PARAMETERS)
def test_parameters_are_as_many_as_published(family, size):
    assert count(family, size) == PARAMETERS[family, size]


@pytest.mark.parametrize(("family", "size"), ROUGHLY)
def test_the_transformer_of_2017_is_as_large_as_the_paper_says(family, size):
    assert count(family, size) == pytest.approx(ROUGHLY[family, size], rel=0.04)


def test_every_size_is_counted():
    every = {(name, size) for name, family in presets.FAMILIES.items() for size in family.sizes}
    assert every == PARAMETERS.keys() | ROUGHLY.keys()


@pytest.mark.parametrize(
    ("family", "size", "nearest"), [("gpt2", "124M", "124m"), ("llama", "llama-8b", "llama3-8b"), ("t5", "3B", "3b")]
)
def test_an_unknown_size_names_the_nearest_and_lists_all(family, size, nearest):
    with pytest.raises(ConfigError) as caught:
        getattr(presets, family)(size)
    message = str(caught.value)
    assert size in message and all(name in message for name in presets.FAMILIES[family].sizes)
    assert f"did you mean {nearest!r}?" in message


def test_an_unknown_family_lists_all():
    with pytest.raises(ConfigError, match=r"did you mean 'bert'.*vaswani2017"):
        presets.preset("BERT", "base")
