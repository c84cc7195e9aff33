"""What a network writes while it trains: the samples of a run."""

from collections.abc import Sequence

from common.errors import ConfigError, UserError
from data.tokenizer import Tokenizer
from generation.asking import Asking
from generation.completion import complete
from generation.config import GenerationConfig
from generation.encoding import encode_prompts
from model import TransformerConfig
from model.parameters import Params


class Sampler:
    """`sampler(params) -> texts`: each prompt with what follows or, of a network that `answers`, with its answer."""

    def __init__(
        self,
        model: TransformerConfig,
        tokenizer: Tokenizer,
        prompts: Sequence[str],
        max_new_tokens: int,
        seed: int,
        asking: Asking | None = None,
    ):
        """`asking`: how the network is asked; None: the prompts go on as they are."""
        asking = asking or Asking()
        self._network, self._prompts, self._seed, self._answers = (model, tokenizer), prompts, seed, asking.answers
        self._asked = [asking.prompt(prompt) for prompt in prompts]
        self._options = GenerationConfig(max_new_tokens=max_new_tokens, stop=asking.stop)

    def check(self) -> None:
        """Raises ConfigError where a prompt is too long for the network."""
        try:
            if self._asked:
                encode_prompts(self._asked, *self._network)
        except UserError as error:
            raise ConfigError(f"training.sample_prompts: {error}") from error

    def __call__(self, params: Params) -> list[str]:
        if not self._asked:
            return []
        model, tokenizer = self._network
        completions = complete(params, model, tokenizer, self._asked, self._options, self._seed)
        if self._answers:
            return [f"{prompt} → {each.text}" for prompt, each in zip(self._prompts, completions, strict=True)]
        continues = model.network == "decoder"  # the others give the whole text, filled
        return [(completion.prompt if continues else "") + completion.text for completion in completions]
