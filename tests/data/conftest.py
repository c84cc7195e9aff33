"""A small tokenizer, and files to read."""

import pytest

from data.tokenizer import TokenizerConfig, train
from tests.data.texts import TEXTS


@pytest.fixture
def tokenizer_config():
    """`tokenizer_config(**changes)`: how the small tokenizer is trained."""

    def make(**changes) -> TokenizerConfig:
        return TokenizerConfig(
            **{
                "vocab_size": 400,
                "model_type": "bpe",
                "character_coverage": 0.98,
                "byte_fallback": True,
                "split_digits": True,
            }
            | changes
        )

    return make


@pytest.fixture(scope="session")
def tokenizer():
    """Pieces for a few words and most of their characters, bytes for all the rest."""
    return train(TEXTS, TokenizerConfig(400, "bpe", 0.98, True, True))


@pytest.fixture
def write(tmp_path):
    """`write(name, content)`: a file in the test's folder, its path as text."""

    def make(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return make
