"""A family of published models: its tables, and its configs to ours and back."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from common.errors import ConfigError, UserError, check_type
from interop.layout import Row
from model import TransformerConfig

REQUIRED = object()
Json = dict[str, Any]


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Fields of config.json that say nothing of the network's numbers, in all families.
IGNORED = words(
    """architectures model_type transformers_version torch_dtype dtype use_cache _name_or_path name_or_path
    id2label label2id problem_type num_labels return_dict return_dict_in_generate output_hidden_states
    output_attentions output_past output_scores task_specific_params finetuning_task tokenizer_class prefix
    bos_token_id eos_token_id pad_token_id sep_token_id mask_token_id cls_token_id decoder_start_token_id
    forced_bos_token_id forced_eos_token_id is_encoder_decoder chunk_size_feed_forward gradient_checkpointing
    classifier_dropout attn_implementation _attn_implementation _attn_implementation_autoset auto_map max_length
    min_length do_sample num_beams temperature top_k top_p typical_p repetition_penalty length_penalty
    no_repeat_ngram_size encoder_no_repeat_ngram_size num_return_sequences early_stopping diversity_penalty
    num_beam_groups bad_words_ids suppress_tokens begin_suppress_tokens exponential_decay_length_penalty
    remove_invalid_values tf_legacy_loss torchscript use_bfloat16 unsloth_version unsloth_fixed"""
)
# What must not be switched on, where a config has it.
NEVER = {"is_decoder": (False, None), "add_cross_attention": (False, None), "pruned_heads": ({}, None)}

# Choices of ours that change no number of a trained network, or that the fields beside them switch off.
UNCOUNTED = {"dropout", "initializer", "initializer_std", "attention", "dtype", "remat", "scan_layers"}
_ROPE = {"rope_scaling", "rope_factor", "rope_original_length", "rope_low_rotations", "rope_high_rotations"}
MEANINGLESS = (  # unless this field has this value, those mean nothing
    ("position", "rope", {"rope_theta", *_ROPE}),
    ("position", "relative_bias", {"relative_buckets", "relative_max_distance"}),
)
BY_SCALING = {"none": _ROPE - {"rope_scaling"}, "linear": _ROPE - {"rope_scaling", "rope_factor"}}


KINDS = typing.get_type_hints(TransformerConfig)
# Of all families: what a model has on top that does something else than our tasks.
OTHER_HEADS = r"(classifier|classification_head|qa_outputs|score)\..*"


class Field(NamedTuple):
    """A field of config.json and the one of `TransformerConfig` it is.

    `default` is what transformers takes where config.json is silent; `values` turns their values into ours.
    """

    theirs: str
    ours: str
    default: Any = REQUIRED
    values: Mapping[Any, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Family:
    """The tables of a family.

    Attributes:
        model_type: as config.json names it.
        classes: transformers' class for a model with each `head` of ours.
        fields: what differs among the family's models; `always`: what all share, in our terms.
        only: fields of theirs -> the values that are supported, the one that is taken for granted first.
        ignored: fields of theirs that change no number, beside `IGNORED`.
        rows: config -> the name table.
        prefix: what all names start with but those of `heads`, and none in the file of a model without a head.
        copies: tensors that may be there again under another name -> the name that counts.
        buffers: patterns of tensors that are no parameters: masks, frequencies, numbers of positions.
        left_out: patterns of parameters that the network does not use: heads of other tasks.
        renamed: parts of names as old files have them -> as they are now.
        to_ours: (config.json, names of tensors) -> further fields of ours, for what no table says; `to_theirs`: back.
    """

    model_type: str
    classes: Mapping[str, str]
    fields: tuple[Field, ...]
    always: Mapping[str, Any]
    rows: Callable[[TransformerConfig], tuple[Row, ...]]
    only: Mapping[str, tuple] = dataclasses.field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    prefix: str = ""
    heads: tuple[str, ...] = ()
    copies: Mapping[str, str] = dataclasses.field(default_factory=dict)
    buffers: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    to_ours: Callable[[Json, Collection[str]], Json] = lambda theirs, names: {}
    to_theirs: Callable[[TransformerConfig], Json] = lambda config: {}

    def config(self, theirs: Json, names: Collection[str], handled: Collection[str] = ()) -> TransformerConfig:
        """Our config of a config.json and the names of the tensors that come with it.

        Raises:
            UserError: a field that is missing, or that is not supported.
        """
        more = self.to_ours(theirs, names)
        only = NEVER | dict(self.only)
        known = {field.theirs for field in self.fields} | IGNORED | self.ignored | only.keys()
        for name, value in theirs.items():
            if name not in known and value not in (None, False, "", [], {}):
                raise UserError(
                    f"config.json: {name}={_short(value)} is not a field that is known of {self.model_type}"
                )
        for name, allowed in only.items():
            if theirs.get(name, allowed[0]) not in allowed:
                raise unsupported(name, theirs[name], f"supported: {', '.join(map(repr, allowed))}")
        ours = {field.ours: _to_ours(field, theirs) for field in self.fields}
        try:
            return TransformerConfig(**dict(self.always) | ours | more)
        except ConfigError as error:
            message = str(error)
            for field in self.fields:
                message = re.sub(rf"\b{field.ours}=", f"{field.theirs}=", message)
            raise UserError(f"config.json makes no network: {message}") from error

    def config_json(self, config: TransformerConfig) -> Json:
        """The config.json of one of our networks; whether the family has it all, `differences` says."""
        theirs: Json = {"model_type": self.model_type}
        theirs["architectures"] = [self.classes.get(config.head, next(iter(self.classes.values())))]
        for field in self.fields:
            value = getattr(config, field.ours)
            if field.values is None:
                theirs[field.theirs] = value
            elif value in field.values.values():
                theirs[field.theirs] = next(their for their, our in field.values.items() if our == value)
        return theirs | self.to_theirs(config)

    def differences(self, config: TransformerConfig, names: Collection[str]) -> list[str]:
        """What of `config` this family does not have, as `field=value (family: value)`."""
        try:
            back = self.config(self.config_json(config), names)
        except UserError as error:
            return [str(error).removeprefix("config.json: ")]
        silent = set(UNCOUNTED)
        for field, value, others in MEANINGLESS:
            silent |= others if getattr(config, field) != value else set()
        silent |= BY_SCALING.get(config.rope_scaling, set())
        return [
            f"{field.name}={getattr(config, field.name)!r} ({self.model_type}: {getattr(back, field.name)!r})"
            for field in dataclasses.fields(config)
            if field.name not in silent and getattr(config, field.name) != getattr(back, field.name)
        ]


def unsupported(name: str, value: Any, why: str = "") -> UserError:
    return UserError(f"config.json: {name}={_short(value)} is not supported" + (f" ({why})" if why else ""))


def take(theirs: Json, name: str, kind: Any, default: Any = REQUIRED, under: str = "") -> Any:
    """A field of config.json, of the type it must have; `under`: the name of what it is in, with a dot.

    Raises:
        UserError: it is of another type, or there is none, and no default.
    """
    if name not in theirs:
        if default is REQUIRED:
            raise UserError(f"config.json has no {under}{name}; fetch it again")
        return default
    try:
        return check_type(f"{under}{name}", theirs[name], kind)
    except ConfigError as error:
        raise UserError(f"config.json: {error}; fetch it again") from error


def _to_ours(field: Field, theirs: Json) -> Any:
    if field.values is None:
        return take(theirs, field.theirs, KINDS[field.ours], field.default)
    value = take(theirs, field.theirs, str, field.default)
    if value not in field.values:
        raise unsupported(field.theirs, value, f"supported: {', '.join(map(repr, field.values))}")
    return field.values[value]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
