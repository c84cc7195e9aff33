"""Which settings may change while a run goes on, and which would make another run of it."""

from typing import Any

from common.configs import flatten
from data.sources import split_sources
from training.config import Settings

# A change to one of these does not change what a run computes, only what it reports, keeps, or how it is laid out.
HARMLESS = (
    "training.log_every",
    "training.eval_every",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.patience",
    "training.best_metric",
    "training.sample_prompts",
    "training.sample_tokens",
    "training.tensorboard",
    "training.layer_norms",
    "training.activations_every",
    "loss.chunks",
    "training.wandb_project",
    "data.cache_dir",
    "model.attention",
    "model.remat",
    "model.scan_layers",
    "mesh.data",
    "mesh.fsdp",
    "mesh.tensor",
)


def harmful_changes(before: Settings, after: Settings) -> list[str]:
    """The settings, as `key: old -> new`, whose change would make a resumed run another run."""

    def plain(settings: Settings) -> dict[str, Any]:
        """Texts are equal whether given as one, as a tuple or as the list that JSON makes of it; sources with commas, too."""
        values = flatten(settings)
        texts = {key: value for key, value in values.items() if isinstance(value, str | tuple | list)}
        texts |= {key: split_sources(texts[key]) for key in ("data.train", "data.valid") if key in texts}
        return values | {
            key: value if isinstance(value, str) else ",".join(map(str, value)) for key, value in texts.items()
        }

    before, after = plain(before), plain(after)
    harmless = set(HARMLESS)
    if not after.get("data.weights"):  # they go by the order of the sources
        harmless |= {"data.train", "data.valid"}  # where the text lies; what it is, its fingerprint tells
    if after.get("optimizer.schedule") in ("constant", "rsqrt"):
        harmless |= {"training.num_steps", "training.epochs"}  # the schedule does not look at the end
    if not after.get("model.dropout"):
        harmless.add("training.microbatches")  # each of them has dropout masks of its own
    return [
        f"{key}: {before.get(key)!r} -> {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and key not in harmless
    ]
