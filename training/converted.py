"""Published weights as a run's folder, and a run's folder as published weights."""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from common.command import Say
from common.errors import UserError
from data.chat_template import ChatTemplate
from data.forms import DIALOGUES
from data.hf_tokenizer import HfTokenizer
from data.tokenizer import Tokenizer, read_companion
from data.tokenizer_files import read_tokenizer
from interop.export_tokenizer import export_tokenizer
from interop.weights import Published, family_of, look_through, read_params
from interop.writer import write_published
from model import TransformerConfig
from tasks import TASKS, tasks_of
from training.checkpoints import Checkpoints
from training.config import Settings
from training.run_folder import RunFolder
from training.trained_model import TrainedModel, load_model

AnyTokenizer = Tokenizer | HfTokenizer
MOST_PADDING = 0.05  # of the vocabulary: published ones are rounded up, to multiples of 64 or 128


def import_published(source: Path, name: str, folder: Path, settings: Settings, dtype: str, say: Say) -> TrainedModel:
    """Writes a run's folder from the published weights in `source`, which were asked for as `name`.

    `settings` are a config's, of which only what the weights determine is changed.

    Raises:
        UserError: something does not fit together; nothing was written then but in `folder`.
    """
    published = look_through(source)
    tokenizer = read_tokenizer(source, published.theirs)
    if tokenizer is None:
        say(f"{source} has no tokenizer: text can be neither read nor written with the converted model")
    else:
        refuse_other_vocabulary(tokenizer, published.config)
        if beyond := ends_beyond(tokenizer):
            say(f"eos_token_id: the tokenizer has no piece {', '.join(map(str, beyond))}; no text will end there")
    if published.left_out:
        say(f"left out, since the network has no place for it: {', '.join(published.left_out)}")
    params = jax.tree.map(lambda leaf: jax.device_put(leaf, may_alias=True), read_params(published, dtype))
    run = RunFolder(folder)
    run.begin(complete(settings, published, tokenizer), tokenizer, {"converted_from": origin(published, name, params)})
    checkpoints = Checkpoints(run.checkpoints)
    checkpoints.save_params(params)
    checkpoints.wait()
    checkpoints.close()
    return TrainedModel(params, tokenizer, 0, run.config(tokenizer))


def refuse_other_vocabulary(tokenizer: AnyTokenizer, config: TransformerConfig) -> None:
    """Raises UserError where the tokenizer cannot be that of this network."""
    pieces, rows = tokenizer.vocab_size, config.vocab_size
    if not rows * (1 - MOST_PADDING) <= pieces <= rows:
        raise UserError(
            f"the tokenizer has {pieces} pieces, but config.json says vocab_size={rows}: they do not belong "
            "together; bring the tokenizer of this model"
        )


def ends_beyond(tokenizer: AnyTokenizer) -> list[int]:
    """The ids at which texts are said to end, and which are no piece's."""
    said = read_companion(tokenizer.files, "generation_config.json").get("eos_token_id")
    ends = said if isinstance(said, list) else [said]
    return [end for end in ends if type(end) is int and not 0 <= end < tokenizer.vocab_size]


def origin(published: Published, name: str, params) -> dict[str, Any]:
    """What data.json says of where the weights came from; their whole config.json too, for the way back."""
    return {
        "source": name,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "left_out": list(published.left_out),
        "config": published.theirs,
    }


def complete(settings: Settings, published: Published, tokenizer: AnyTokenizer | None) -> Settings:
    """The settings with the network's, and with those that suit it where training is to go on."""
    config = published.config
    task = tasks_of(config.network)[0]
    prompts = {"decoder": ("The", "我"), "encoder": (), "encoder-decoder": ()}[config.network]
    changes = {
        "model": dataclasses.asdict(config) | {"dtype": "auto"},
        "tokenizer": {"vocab_size": config.vocab_size, "byte_fallback": False},
        "data": {"sequence_length": min(512, config.max_length)},
        "optimizer": {"learning_rate": 5e-5},
        "training": {"sample_prompts": prompts},
    }
    return settings | {"task": task} | {name: settings[name] | change for name, change in changes.items()}


def export_published(path: str, folder: Path, shard_size: int, say: Say) -> TrainedModel:
    """Writes the model of a run's folder as `transformers` keeps it.

    Raises:
        UserError: it is no run, or its architecture is of no published family; the message says why.
    """
    run, _ = RunFolder.find(path)
    model = load_model(path, say, needs_tokenizer=False)
    if model.run.model.head == "classes":
        raise UserError(f"{run.path} tells classes apart; only networks that give tokens are exported")
    came_from = (run.data() or {}).get("converted_from", {}).get("config", {})
    family = family_of(model.run.model, came_from.get("model_type"))
    extra = {name: value for name, value in came_from.items() if name.endswith("_token_id")}
    if model.tokenizer is not None:
        files = export_tokenizer(model.tokenizer, model.run.model)
        if TASKS[model.run.task].examples in DIALOGUES:
            end = model.tokenizer.piece(model.tokenizer.end_of_text)
            template = ChatTemplate.parse(model.run.data.chat_template)
            files["chat_template.jinja"] = template.as_jinja(end).encode()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        if not came_from:
            end = model.tokenizer.end_of_text
            extra = {"bos_token_id": end, "eos_token_id": end}
            if model.run.model.network == "encoder-decoder":
                extra |= {"pad_token_id": end, "decoder_start_token_id": model.tokenizer.decoder_start}
    write_published(folder, family, model.run.model, model.params, extra, shard_size)
    say(f"written as {family.model_type}")
    return model
