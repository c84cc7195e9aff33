import pytest

from data.tokenizer import TokenizerConfig, train

TEXTS = ["今天天气很好，我们去公园。", "The cats are walking to the garden, and they're unbelievable!"] * 20
SPECIAL_TOKENS = ("[MASK]", *(f"<extra_id_{number}>" for number in reversed(range(30))))


@pytest.fixture(scope="session")
def tokenizer():
    """Bytes, some pieces in two scripts, a mask and 30 sentinels."""
    return train(TEXTS, TokenizerConfig(340, "bpe", 0.99, True, True, SPECIAL_TOKENS))
