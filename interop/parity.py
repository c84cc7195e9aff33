"""The proof of a conversion: both networks on the same texts, number by number. Needs torch and transformers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from common.errors import UserError
from data.hf_tokenizer import HfTokenizer
from data.tokenizer import Tokenizer
from interop.families import FAMILIES
from model import Tokens, Transformer, TransformerConfig

MOST = 1e-4  # the largest difference, over the largest number of the reference
SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "In 1492, Columbus sailed the ocean blue; what he found was not what he had looked for, and he never knew.",
    "Hello!",
    "学而时习之，不亦说乎？",
    "今天天气很好，我们一起去公园散步吧。",
    "机器翻译 (machine translation) 把一种语言的文字变成另一种语言的文字，意思不变。",
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of one array: the largest difference, that over the largest number of the reference, and whether argmax agrees."""

    name: str
    absolute: float
    relative: float
    same_argmax: bool | None = None

    def __str__(self) -> str:
        agrees = {None: "", True: "  argmax agrees everywhere", False: "  argmax differs somewhere"}[self.same_argmax]
        return f"{self.name:<20} absolute {self.absolute:.2e}  relative {self.relative:.2e}{agrees}"


def require_parity() -> None:
    """Raises UserError, with what to do, where torch or transformers is missing."""
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--check needs torch and transformers ({error.name} is missing); pip install -r requirements-parity.txt"
        ) from None


def compare(
    reference: Path,
    params,
    config: TransformerConfig,
    tokenizer: Tokenizer | HfTokenizer | None,
    say: Callable[[object], None],
) -> list[Difference]:
    """Says each layer's difference from the model in the folder `reference`, in float32.

    The texts are real ones, of several lengths and padded; where there is no tokenizer, drawn token ids.

    Raises:
        UserError: torch or transformers is missing; a difference is above `MOST`.
    """
    require_parity()
    config = dataclasses.replace(config, dtype="float32")
    ids, lengths = texts_as_ids(config, tokenizer)
    network = load_reference(reference, params, config)
    with jax.default_matmul_precision("highest"):
        ours = run_ours(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params), config, ids, lengths)
    differences = list(differ(ours, run_reference(network, config, ids, lengths), lengths, config))
    for difference in differences:
        say(difference)
    worst = max(differences, key=lambda difference: difference.relative)
    if not worst.relative <= MOST:
        raise UserError(
            f"the two models differ: {worst.name} by {worst.relative:.2e}, where at most {MOST:.0e} is allowed"
        )
    return differences


def texts_as_ids(config: TransformerConfig, tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Token ids, int32 [B, T], padded with zeros, and the lengths [B]."""
    if tokenizer is None:
        generator = np.random.default_rng(0)
        rows = [generator.integers(0, config.vocab_size, size).tolist() for size in (23, 11, 3, 17)]
    else:
        frame = tokenizer.suffix if config.encoder_layers else ()
        rows = [[*tokenizer.prefix, *tokenizer.encode(text), *frame] for text in SENTENCES]
    rows = [row[: config.max_length] for row in rows if row]
    lengths = np.array([len(row) for row in rows])
    ids = np.zeros((len(rows), lengths.max()), np.int32)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = tokens
    return ids, lengths


def run_ours(params, config: TransformerConfig, ids: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Every block's output, what the stacks give, and the logits, by name. An encoder-decoder reads and writes the text."""
    places = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    tokens = Tokens(jnp.asarray(ids), places, (places < lengths[:, None]).astype(jnp.int32))
    both = config.network == "encoder-decoder"
    apply = Transformer(config).apply
    output, kept = apply({"params": params}, tokens, tokens if both else None, mutable="intermediates")
    found = {}
    for side in ("encoder", "decoder"):
        if side in kept["intermediates"]:
            (x_LBTD,) = kept["intermediates"][side]["blocks"]["x_BTD"]
            found |= {f"{side} layer {layer}": x_BTD for layer, x_BTD in enumerate(np.asarray(x_LBTD), 1)}
    found["last hidden"] = np.asarray(output.hidden_BTD)
    if output.pooled_BD is not None:
        found["pooled"] = np.asarray(output.pooled_BD)
    if output.logits_BTV is not None:
        found["logits"] = np.asarray(output.logits_BTV)
    return found


def load_reference(folder: Path, params, config: TransformerConfig):
    """transformers' model of the folder with the head that ours has, in float32; rounded to the dtype of `params` first."""
    import torch
    import transformers

    theirs = transformers.AutoConfig.from_pretrained(folder)
    kind = getattr(transformers, FAMILIES[theirs.model_type].classes[config.head])
    dtype = getattr(torch, str(jax.tree.leaves(params)[0].dtype))
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    network = kind.from_pretrained(folder, torch_dtype=dtype, attn_implementation="eager")
    return network.float().eval()


def run_reference(network, config: TransformerConfig, ids: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """The same from transformers' model."""
    import torch

    tokens = torch.tensor(ids, dtype=torch.long)
    mask = torch.tensor(np.arange(ids.shape[1]) < lengths[:, None]).long()
    both = {}
    if config.network == "encoder-decoder":
        both = {"decoder_input_ids": tokens, "decoder_attention_mask": mask}
    found = {}

    def keep(name: str):
        def hook(block, inputs, output) -> None:
            found[name] = (output[0] if isinstance(output, tuple) else output).detach().numpy()

        return hook

    hooks = [
        block.register_forward_hook(keep(f"{side} layer {layer}"))
        for side, blocks in zip(config.network.split("-"), _stacks(network), strict=True)
        for layer, block in enumerate(blocks, 1)
    ]
    with torch.no_grad():
        output = network(input_ids=tokens, attention_mask=mask, output_hidden_states=True, **both)
    for hook in hooks:
        hook.remove()
    found["last hidden"] = getattr(output, "decoder_hidden_states" if both else "hidden_states")[-1].numpy()
    if config.pooler and getattr(output, "pooler_output", None) is not None:
        found["pooled"] = output.pooler_output.numpy()
    if config.head != "none":
        found["logits"] = output.logits.numpy()
    return found


def _stacks(network) -> list:
    """transformers' lists of blocks, the encoder's first; a list within a block is none."""
    import torch

    lists = {name: module for name, module in network.named_modules() if isinstance(module, torch.nn.ModuleList)}
    return [module for name, module in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]


def differ(ours: dict, theirs: dict, lengths: Sequence[int], config: TransformerConfig) -> Iterator[Difference]:
    """The difference of each array that both have, padding left out."""
    for name, mine in ours.items():
        if name not in theirs:
            continue
        mine, other = mine.astype(np.float64), theirs[name].astype(np.float64)
        if mine.ndim == 3:
            keep = np.arange(mine.shape[1]) < np.asarray(lengths)[:, None]
            mine, other = mine[keep], other[keep]
        absolute = float(np.abs(mine - other).max())
        same = bool((mine.argmax(-1) == other.argmax(-1)).all()) if name == "logits" else None
        yield Difference(name, absolute, absolute / float(np.abs(other).max()), same)
