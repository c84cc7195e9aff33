import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """These arrays are tiny and the programs many: compiling costs far more than running."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
