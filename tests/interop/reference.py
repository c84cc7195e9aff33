"""Small random models of every family, and awkward ones, made with transformers' own classes."""

import importlib
import os

import pytest

HOW = "torch and transformers are missing: pip install -r requirements-parity.txt"


def required(name: str):
    """The module; where it is missing the tests of this file are skipped, or fail where none may be (as in CI)."""
    if os.environ.get("ZENFORMER_REQUIRE_PARITY") == "1":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=HOW)


SIZES = {"vocab_size": 99, "num_hidden_layers": 3, "hidden_size": 32, "intermediate_size": 48}
LLAMA = SIZES | {
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
BERT = SIZES | {"num_attention_heads": 4, "max_position_embeddings": 66}
T5 = {"vocab_size": 99, "d_model": 32, "d_kv": 6, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4}
T5 |= {"decoder_start_token_id": 0}
GPT2 = {
    "vocab_size": 99,
    "n_positions": 64,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def rope(kind: str, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 500.0, "factor": 4.0, **more}}


# name -> (class, config class, fields).
MODELS = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "gpt2, untied, wide": (
        "GPT2LMHeadModel",
        "GPT2Config",
        GPT2 | {"tie_word_embeddings": False, "n_inner": 40, "layer_norm_epsilon": 1e-3, "activation_function": "relu"},
    ),
    "llama": ("LlamaForCausalLM", "LlamaConfig", LLAMA),
    "llama, one kv head, small heads, tied": (
        "LlamaForCausalLM",
        "LlamaConfig",
        LLAMA | {"num_key_value_heads": 1, "head_dim": 6, "tie_word_embeddings": True, "rms_norm_eps": 1e-3},
    ),
    "llama, biases": ("LlamaForCausalLM", "LlamaConfig", LLAMA | {"attention_bias": True, "mlp_bias": True}),
    "llama, linear": ("LlamaForCausalLM", "LlamaConfig", LLAMA | rope("linear")),
    "llama, llama3": (
        "LlamaForCausalLM",
        "LlamaConfig",
        LLAMA | rope("llama3", low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16),
    ),
    "llama, yarn": (
        "LlamaForCausalLM",
        "LlamaConfig",
        LLAMA | rope("yarn", original_max_position_embeddings=16, beta_fast=8.0, beta_slow=1.0),
    ),
    "mistral, window": ("MistralForCausalLM", "MistralConfig", LLAMA | {"sliding_window": 5}),
    "mistral": ("MistralForCausalLM", "MistralConfig", LLAMA | {"sliding_window": None, "head_dim": 10}),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", LLAMA),
    "qwen2, window, tied": (
        "Qwen2ForCausalLM",
        "Qwen2Config",
        LLAMA | {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0, "tie_word_embeddings": True},
    ),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", LLAMA | {"head_dim": 10}),
    "bert": ("BertForMaskedLM", "BertConfig", BERT),
    "bert, relu, eps": ("BertForMaskedLM", "BertConfig", BERT | {"hidden_act": "relu", "layer_norm_eps": 1e-3}),
    "bert, untied": ("BertForMaskedLM", "BertConfig", BERT | {"tie_word_embeddings": False}),
    "bert, no head": ("BertModel", "BertConfig", BERT),
    "roberta": ("RobertaForMaskedLM", "RobertaConfig", BERT | {"type_vocab_size": 1}),
    "roberta, own output layer": ("RobertaForMaskedLM", "RobertaConfig", BERT | {"tie_word_embeddings": False}),
    "t5": ("T5ForConditionalGeneration", "T5Config", T5),
    "t5, gated, untied": (
        "T5ForConditionalGeneration",
        "T5Config",
        T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "layer_norm_epsilon": 1e-4},
    ),
    "t5, few buckets": (
        "T5ForConditionalGeneration",
        "T5Config",
        T5 | {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 9},
    ),
    "mt5, untied": ("MT5ForConditionalGeneration", "MT5Config", T5 | {"tie_word_embeddings": False}),
}


def make(name: str):
    """The model, with parameters so far from their start that each of them changes the result."""
    torch, transformers = required("torch"), required("transformers")
    class_name, config_name, fields = MODELS[name]
    torch.manual_seed(0)
    network = getattr(transformers, class_name)(getattr(transformers, config_name)(**fields)).eval()
    with torch.no_grad():
        if "untied" in name and hasattr(network, "lm_head"):  # T5's class ties them whatever its config says
            network.lm_head.weight = torch.nn.Parameter(torch.randn(network.lm_head.weight.shape))
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    network.set_attn_implementation("eager")
    return network
