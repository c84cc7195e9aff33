"""Every preset against transformers' class, built of the published config.json without memory: name by name, shape by shape."""

import pytest

from interop.families import FAMILIES
from interop.layout import shape, views
from interop.weights import empty_params
from model import presets
from model.parameters import by_path
from tests.interop.reference import required

torch, transformers = required("torch"), required("transformers")
pytestmark = pytest.mark.parity


def sizes(*names):
    """The fields of one family's config.json, a row a size."""
    return lambda *values, **more: dict(zip(names, values, strict=True)) | more


_gpt2 = sizes("n_layer", "n_embd", "n_head")
_llama = sizes(
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"
)
_bert = sizes("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_t5 = sizes("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads")
TIED = {"tie_word_embeddings": True}
QWEN3 = {"head_dim": 128}
ROBERTA = {"max_position_embeddings": 514, "type_vocab_size": 1}
V1_1 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}

CLASSES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "bert": "BertForMaskedLM",
    "roberta": "RobertaForMaskedLM",
    "t5": "T5ForConditionalGeneration",
    "mt5": "MT5ForConditionalGeneration",
}
PUBLISHED = {
    ("gpt2", "124m"): _gpt2(12, 768, 12),
    ("gpt2", "355m"): _gpt2(24, 1024, 16),
    ("gpt2", "774m"): _gpt2(36, 1280, 20),
    ("gpt2", "1558m"): _gpt2(48, 1600, 25),
    ("llama", "llama2-7b"): _llama(32000, 4096, 11008, 32, 32, 32),
    ("llama", "llama2-13b"): _llama(32000, 5120, 13824, 40, 40, 40),
    ("llama", "llama3-8b"): _llama(128256, 4096, 14336, 32, 32, 8),
    ("llama", "llama3.2-1b"): _llama(128256, 2048, 8192, 16, 32, 8, head_dim=64, **TIED),
    ("llama", "llama3.2-3b"): _llama(128256, 3072, 8192, 28, 24, 8, head_dim=128, **TIED),
    ("llama", "tinyllama-1.1b"): _llama(32000, 2048, 5632, 22, 32, 4),
    ("mistral", "7b-v0.1"): _llama(32000, 4096, 14336, 32, 32, 8),
    ("mistral", "7b-v0.3"): _llama(32768, 4096, 14336, 32, 32, 8),
    ("qwen2", "qwen2.5-0.5b"): _llama(151936, 896, 4864, 24, 14, 2, **TIED),
    ("qwen2", "qwen2.5-1.5b"): _llama(151936, 1536, 8960, 28, 12, 2, **TIED),
    ("qwen2", "qwen2.5-7b"): _llama(152064, 3584, 18944, 28, 28, 4),
    ("qwen3", "0.6b"): _llama(151936, 1024, 3072, 28, 16, 8, **QWEN3, **TIED),
    ("qwen3", "1.7b"): _llama(151936, 2048, 6144, 28, 16, 8, **QWEN3, **TIED),
    ("qwen3", "4b"): _llama(151936, 2560, 9728, 36, 32, 8, **QWEN3, **TIED),
    ("qwen3", "8b"): _llama(151936, 4096, 12288, 36, 32, 8, **QWEN3),
    ("bert", "base-uncased"): _bert(30522, 768, 3072, 12, 12),
    ("bert", "base-cased"): _bert(28996, 768, 3072, 12, 12),
    ("bert", "base-chinese"): _bert(21128, 768, 3072, 12, 12),
    ("bert", "large-uncased"): _bert(30522, 1024, 4096, 24, 16),
    ("bert", "large-cased"): _bert(28996, 1024, 4096, 24, 16),
    ("roberta", "base"): _bert(50265, 768, 3072, 12, 12, **ROBERTA),
    ("roberta", "large"): _bert(50265, 1024, 4096, 24, 16, **ROBERTA),
    ("t5", "small"): _t5(32128, 512, 64, 2048, 6, 8),
    ("t5", "base"): _t5(32128, 768, 64, 3072, 12, 12),
    ("t5", "large"): _t5(32128, 1024, 64, 4096, 24, 16),
    ("t5", "3b"): _t5(32128, 1024, 128, 16384, 24, 32),
    ("t5", "v1.1-small"): _t5(32128, 512, 64, 1024, 8, 6, **V1_1),
    ("t5", "v1.1-base"): _t5(32128, 768, 64, 2048, 12, 12, **V1_1),
    ("mt5", "small"): _t5(250112, 512, 64, 1024, 8, 6, **V1_1),
    ("mt5", "base"): _t5(250112, 768, 64, 2048, 12, 12, **V1_1),
}


def test_every_preset_that_was_published_is_here():
    every = {(name, size) for name, family in presets.FAMILIES.items() for size in family.sizes}
    assert PUBLISHED.keys() == {(name, size) for name, size in every if name != "vaswani2017"}


@pytest.mark.parametrize(("name", "size"), PUBLISHED)
def test_the_parameters_of_a_preset_are_those_of_transformers_class(name, size):
    kind = getattr(transformers, CLASSES[name])
    fields = PUBLISHED[name, size]
    with torch.device("meta"):
        network = kind(kind.config_class(**fields))
    theirs = {parameter: tuple(value.shape) for parameter, value in network.named_parameters()}
    if not fields.get("tie_word_embeddings", True) and name in ("t5", "mt5"):
        theirs["lm_head.weight"] = tuple(network.lm_head.weight.shape)  # the class ties it whatever its config says
    config = presets.preset(name, size)
    parts = views(FAMILIES[name].rows(config), by_path(empty_params(config)))
    assert {tensor: shape(pieces) for tensor, pieces in parts.items()} == theirs
