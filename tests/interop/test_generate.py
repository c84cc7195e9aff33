"""Greedy and beam search against transformers' `generate`: the same tokens, for small random models of every family."""

import dataclasses
import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

from generation.beam_search import Search, beam_search
from generation.decoder import generate
from generation.processors import MinNewTokens, NoRepeatNgram, Only, RepetitionPenalty
from generation.rows import Method
from interop.weights import look_through, read_params
from tests.interop.reference import make, required

torch, transformers = required("torch"), required("transformers")
pytestmark = pytest.mark.parity

LENGTHS = (5, 1, 11, 8)
PROMPTS = [np.random.default_rng(0).integers(3, 99, length).tolist() for length in LENGTHS]
PAD, START, NEW = 0, 0, 14  # the token that pads theirs, that begins a T5's text, and how many are generated
ALLOWED = np.arange(99) != PAD  # so that theirs may pad on the left and take it for text: it changes nothing


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is asked of both."""

    beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    min_new_tokens: int = 0
    num_return_sequences: int = 1


PROCESSORS = {
    "repetition penalty": {"repetition_penalty": 1.4},
    "reward of repetition": {"repetition_penalty": 0.7},
    "min new tokens": {"min_new_tokens": 7},
    "no repeated 2-grams": {"no_repeat_ngram_size": 2},
    "all": {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "min_new_tokens": 5},
}
# A few programs, each with many numbers: compiling takes nearly all the time of these tests.
FEW = {
    "greedy, all": Cell(**PROCESSORS["all"]),
    "4 beams": Cell(4, num_return_sequences=4),
    "4 beams, all": Cell(4, num_return_sequences=4, **PROCESSORS["all"]),
}
CELLS = FEW | {"greedy": Cell(), "5 beams, the best 3": Cell(5, 1.0, "never", num_return_sequences=3)}
for name, fields in PROCESSORS.items():
    CELLS[f"greedy, {name}"] = Cell(**fields)
    CELLS[f"4 beams, {name}"] = Cell(4, num_return_sequences=4, **fields)
for penalty in (0.0, 1.0, 2.0, -1.0):
    CELLS |= {
        f"4 beams, length penalty {penalty}": Cell(4, penalty, False, num_return_sequences=4),
        f"5 beams, stopping never, length penalty {penalty}": Cell(5, penalty, "never", num_return_sequences=5),
        f"2 beams, stopping True, no repeated 3-grams, length penalty {penalty}": Cell(
            2, penalty, True, no_repeat_ngram_size=3, num_return_sequences=2
        ),
    }
# A search sees a network through its cache and its logits alone: one of each kind of cache gets all of them; the other
# families, and what else tells one cache from another, those that say most; test_parity.py has the logits of every variant.
WHOLE = ("gpt2", "mistral, window", "t5")
OTHERS = (
    "llama",
    "llama, one kv head, small heads, tied",
    "qwen2",
    "qwen2, window, tied",
    "qwen3",
    "t5, few buckets",
    "mt5, untied",
)
CASES = [(model, name) for model in WHOLE for name in CELLS] + [(model, name) for model in OTHERS for name in FEW]


@functools.cache
def load(name: str):
    """A model of transformers, ours, and three ends: tokens that texts without an end hold here and there."""
    network = make(name)
    with tempfile.TemporaryDirectory() as folder:
        network.save_pretrained(folder)
        published = look_through(Path(folder))
        params = read_params(published)
    found, _ = ours(params, published.config, Cell(4, num_return_sequences=4), [-1] * 3)
    counts = np.bincount(np.concatenate(found), minlength=99)
    return network, params, published.config, np.argsort(-counts, kind="stable")[1:7:2].tolist()


def ours(params, config, cell: Cell, ends, prompts=PROMPTS):
    """The new tokens of each text, and the scores of beams."""
    chain = (RepetitionPenalty(np.float32(cell.repetition_penalty)), Only(ALLOWED))
    chain += (NoRepeatNgram(cell.no_repeat_ngram_size),) if cell.no_repeat_ngram_size else ()
    chain += (MinNewTokens(np.int32(cell.min_new_tokens), np.array(ends)),)
    method = Method(chain, np.array(ends, np.int32), greedy=True)
    both = config.network == "encoder-decoder"
    arguments = (params, config, [[START]] * len(prompts) if both else prompts, method)
    options = {"max_new_tokens": NEW, "sources": prompts if both else None}
    if cell.beams == 1:
        (decoded,), scores = generate(*arguments, **options), None
    else:
        search = Search(cell.beams, np.float32(cell.length_penalty), cell.early_stopping)
        decoded, scores = beam_search(*arguments, search, best=cell.num_return_sequences, **options)
    spans = zip(decoded.ids_BS, decoded.prompt_lengths_B, decoded.lengths_B, strict=True)
    return [row[start:length].tolist() for row, start, length in spans], scores


def theirs(network, cell: Cell, ends, prompts=PROMPTS):
    """The same of transformers: decoders' prompts are padded on the left, an encoder's on the right."""
    both = network.config.is_encoder_decoder
    longest = max(map(len, prompts))
    ids, mask = np.full((len(prompts), longest), PAD), np.zeros((len(prompts), longest), int)
    for row, prompt in enumerate(prompts):
        place = slice(0, len(prompt)) if both else slice(longest - len(prompt), None)
        ids[row, place], mask[row, place] = prompt, 1
    fields = dataclasses.asdict(cell)
    fields["num_beams"] = fields.pop("beams")
    if cell.beams == 1:
        del fields["length_penalty"], fields["early_stopping"]
    output = network.generate(
        torch.tensor(ids),
        attention_mask=torch.tensor(mask),
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=ends,
        pad_token_id=PAD,
        use_cache=not both,  # of an encoder-decoder theirs has as many layers as the encoder, here too few
        suppress_tokens=[PAD],
        return_dict_in_generate=True,
        output_scores=True,
        **fields,
    )
    rows = output.sequences[:, 1 if both else longest :].tolist()
    found = [row[: next((place for place, token in enumerate(row, 1) if token in ends), NEW)] for row in rows]
    return found, output.sequences_scores.numpy() if cell.beams > 1 else None


@pytest.mark.parametrize(("model", "cell"), CASES)
def test_the_same_tokens(model, cell):
    """Prompts of several lengths in one batch on both sides; all beams that are returned, in order, and their scores."""
    network, params, config, ends = load(model)
    cell = CELLS[cell]
    expected, expected_scores = theirs(network, cell, ends)
    found, scores = ours(params, config, cell, ends)
    assert found == expected
    assert all(len(row) >= cell.min_new_tokens for row in found)
    if scores is not None:
        np.testing.assert_allclose(scores, expected_scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", WHOLE)
def test_alone_as_together(model):
    """Their result for each prompt alone, without any padding, is ours for all of them at once."""
    network, params, config, ends = load(model)
    for cell in (Cell(), CELLS["4 beams, all"]):
        alone = [row for prompt in PROMPTS for row in theirs(network, cell, ends, [prompt])[0]]
        assert ours(params, config, cell, ends)[0] == alone


@pytest.mark.parametrize("model", WHOLE)
def test_these_texts_put_the_search_to_the_test(model):
    """Beams end at several lengths, by each of several ends; what may be chosen changes what is found."""
    _, params, config, ends = load(model)
    results = {name: ours(params, config, cell, ends)[0] for name, cell in CELLS.items()}
    rows = [row for name, found in results.items() if "beams" in name for row in found]
    assert len({len(row) for row in rows}) >= 5
    assert {row[-1] for row in rows} >= set(ends) and any(row[-1] not in ends for row in rows)
    for part, different in (("greedy", 3), ("4 beams, length", 2), ("5 beams, stopping", 2), ("2 beams", 2)):
        assert len({str(found) for name, found in results.items() if part in name}) >= different, part
    assert results["greedy"] != results["4 beams"][::4]
