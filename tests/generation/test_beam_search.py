"""Beam search against exhaustive search, and against the network's forward pass without a cache."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import ConfigError, UserError
from generation import beam_search as module
from generation.beam_search import Search, beam_search
from generation.completion import complete
from generation.config import GenerationConfig
from generation.decoder import generate
from generation.processors import MinNewTokens, NoRepeatNgram, Only, RepetitionPenalty
from generation.rows import Method, Status
from model import TransformerConfig
from model.parameters import init_params
from tests.generation.test_completion import tokenizer
from tests.generation.test_decoder import CONFIGS, GPT, GREEDY, PROMPTS, T5, forward, log_softmax, network


def found(decoded):
    """The new tokens of each row."""
    spans = zip(decoded.ids_BS, decoded.prompt_lengths_B, decoded.lengths_B, strict=True)
    return [row[start:length].tolist() for row, start, length in spans]


def run(config, prompts=PROMPTS, method=GREEDY, width=4, count=10, penalty=1.0, stopping=False, **options):
    """Of the best `width` texts of each prompt the new tokens, and the scores."""
    search = Search(width, np.float32(penalty), stopping)
    options = {"best": width, "max_new_tokens": count} | options
    decoded, scores = beam_search(network(config), config, prompts, method, search, **options)
    return found(decoded), scores


CHAIN = (RepetitionPenalty(np.float32(1.1)), NoRepeatNgram(3))


@functools.cache
def with_ends(config, chain=CHAIN):
    """A method with two ends that texts without an end hold here and there."""
    sources = PROMPTS if config is T5 else None
    texts, _ = run(config, [[1]] * 4 if sources else PROMPTS, sources=sources)
    counts = np.bincount(np.concatenate(texts), minlength=48)
    return Method(chain, np.argsort(-counts, kind="stable")[[1, 4]].astype(np.int32), greedy=True)


def everything(config, prompt, length, end, penalty, allowed, stop):
    """Every text that ends, or has so many tokens, as (score, tokens), best first; in NumPy, but for the network's logits."""
    texts = np.array(list(itertools.product(range(config.vocab_size), repeat=length)), np.int32)
    whole = np.concatenate([np.tile(np.int32(prompt), (len(texts), 1)), texts], axis=1)
    values = log_softmax(np.asarray(forward(network(config), whole, config)))[:, len(prompt) - 1 : -1]
    values = np.take_along_axis(values, texts[..., None], 2)[..., 0].cumsum(axis=1)
    scores = {}
    for text, sums in zip(texts.tolist(), values, strict=True):
        size = end_of(text, end, stop)
        if allowed(prompt, text[:size]):
            scores[tuple(text[:size])] = sums[size - 1] / size**penalty
    return sorted(((score, list(text)) for text, score in scores.items()), reverse=True)


def no_bigram_twice(prompt, text):
    pairs = list(itertools.pairwise([*prompt, *text]))
    return all(pair not in pairs[:place] for place, pair in enumerate(pairs) if place >= len(prompt) - 1)


CHAINS = {
    "no chain": ((), lambda prompt, text: True),
    "minimum": ((MinNewTokens(np.int32(2), np.array([2])),), lambda prompt, text: 2 not in text[:2]),
    "2-grams": ((NoRepeatNgram(2),), no_bigram_twice),
    "stop": ((), lambda prompt, text: True),
}
STOP = [1, 0]  # two tokens that end a text, where "stop" is asked for


def stops(prompt, new):
    return new[-2:] == STOP


def end_of(text, end, stop):
    """How many tokens of a text there are up to an end, or to where it is stopped."""
    ends = [text.index(end) + 1] if end in text else []
    ends += [place for place in range(2, len(text) + 1) if stop and stops(0, text[:place])]
    return min([*ends, len(text)])


@pytest.mark.parametrize(
    ("vocabulary", "length", "chain"),
    [(4, 3, "no chain"), (4, 3, "minimum"), (4, 3, "2-grams"), (3, 4, "no chain"), (4, 3, "stop"), (3, 4, "stop")],
)
def test_with_as_many_beams_as_there_are_texts_it_is_exhaustive_search(vocabulary, length, chain):
    """All texts, in order; where processors leave fewer than were asked for, the others are not there."""
    config, end = dataclasses.replace(GPT, vocab_size=vocabulary), 2
    prompts, width = [[0, 1], [1], [0, 0, 2, 1, 1]], vocabulary**length
    processors, allowed = CHAINS[chain]
    method = Method(processors, np.array([end], np.int32), greedy=True)
    for penalty in (0.0, 1.0, 2.0, -1.0):
        hook = {"stops": stops} if chain == "stop" else {}
        texts, scores = run(config, prompts, method, width, length, penalty, "never", **hook)
        for number, prompt in enumerate(prompts):
            expected = everything(config, prompt, length, end, penalty, allowed, stop=chain == "stop")
            part = slice(number * width, number * width + len(expected))
            np.testing.assert_allclose(scores[part], [score for score, _ in expected], rtol=1e-4)
            assert texts[part] == [text for _, text in expected]
            assert (scores[part.stop : (number + 1) * width] == -np.inf).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_log_probabilities_and_scores_are_those_of_the_forward_pass(name):
    """Under the network's own distribution; the score is their sum over the length, where no processor changes it."""
    config = CONFIGS[name]
    method, count = with_ends(config, ()), 10
    search = Search(4, np.float32(0.7), "never")
    decoded, scores = beam_search(network(config), config, PROMPTS, method, search, max_new_tokens=count, best=3)
    whole = decoded.ids_BS[:, :32]
    logits = np.asarray(forward(network(config), whole, config))
    for row, (start, length) in enumerate(zip(decoded.prompt_lengths_B, decoded.lengths_B, strict=True)):
        values = log_softmax(logits[row, start - 1 : length - 1])
        values = np.take_along_axis(values, whole[row, start:length, None], 1)[:, 0]
        np.testing.assert_allclose(decoded.logprobs_BS[row, start:length], values, atol=1e-5)
        assert scores[row] == pytest.approx(values.sum() / (length - start) ** 0.7, rel=1e-4)
        finished = whole[row, length - 1] in method.ends
        assert decoded.status_B[row] == (Status.ENDED if finished else Status.FULL) and (
            finished or length - start == count
        )
    assert Status.ENDED in decoded.status_B


@pytest.mark.parametrize(("name", "stopping"), [("llama", False), ("t5", True), ("gpt", "never")])
def test_together_as_alone_and_in_any_order(name, stopping):
    """Prompts, or sources, of several lengths, whose searches are over at several times."""
    config = (CONFIGS | {"t5": T5})[name]
    method, order = with_ends(config), [2, 0, 3, 1]

    def search(texts):
        prompts, sources = ([[1]] * len(texts), texts) if config is T5 else (texts, None)
        return run(config, prompts, method, stopping=stopping, sources=sources)

    texts, scores = search(PROMPTS)
    permuted_texts, permuted_scores = search([PROMPTS[number] for number in order])
    for place, number in enumerate(order):
        part, permuted = slice(4 * number, 4 * number + 4), slice(4 * place, 4 * place + 4)
        alone_texts, alone_scores = search([PROMPTS[number]])
        assert texts[part] == alone_texts == permuted_texts[permuted]
        np.testing.assert_allclose(alone_scores, scores[part], rtol=1e-4)
        np.testing.assert_allclose(permuted_scores[permuted], scores[part], rtol=1e-4)
    assert len({len(text) for text in texts}) >= 3


def test_one_beam_that_stops_at_its_end_is_greedy():
    method = with_ends(GPT, ())
    (decoded,) = generate(network(GPT), GPT, PROMPTS, method, max_new_tokens=10)
    texts, _ = run(GPT, method=method, width=1, stopping=True)
    assert texts == found(decoded)


def test_the_best_of_a_search_are_the_first_of_all_that_it_keeps():
    method = with_ends(GPT)
    all_texts, all_scores = run(GPT, method=method)
    texts, scores = run(GPT, method=method, best=2)
    kept = [4 * prompt + number for prompt in range(len(PROMPTS)) for number in range(2)]
    assert texts == [all_texts[row] for row in kept]
    np.testing.assert_array_equal(scores, all_scores[kept])


def test_a_cache_that_grows_changes_nothing():
    """Texts of 200 tokens, whose cache doubles on the way: their log-probabilities are those of the forward pass."""
    config = dataclasses.replace(CONFIGS["llama"], max_length=256)
    search = Search(3, np.float32(0))
    decoded, scores = beam_search(network(config), config, PROMPTS[:1], GREEDY, search, max_new_tokens=200, best=3)
    start, length = decoded.prompt_lengths_B[0], decoded.lengths_B[0]
    assert length - start == 200 and decoded.ids_BS.shape[1] == 256
    values = log_softmax(np.asarray(forward(network(config), decoded.ids_BS[:, :length], config)))[:, start - 1 : -1]
    values = np.take_along_axis(values, decoded.ids_BS[:, start:length, None], 2)[..., 0]
    np.testing.assert_allclose(decoded.logprobs_BS[:, start:length], values, atol=1e-4)
    np.testing.assert_allclose(scores, values.sum(1), rtol=1e-4)


def test_a_prompt_that_fills_the_context_gets_one_token():
    prompt = (list(range(48)) * 2)[: GPT.max_length]
    texts, scores = run(GPT, [prompt, [5]], count=6)
    assert [len(text) for text in texts] == [1] * 4 + [6] * 4 and np.isfinite(scores).all()


def test_fifty_prompts_need_few_compilations():
    """A beginning for each power of two, a loop for each size of the cache; penalties need none."""
    config = dataclasses.replace(GPT, embed_dim=8, decoder_layers=1, max_length=256)
    functions = (module.begin, module.grow, module.decode)
    before = [function._cache_size() for function in functions]
    for length in range(1, 100, 2):
        method = Method((RepetitionPenalty(np.float32(1 + length)),), np.array([-1], np.int32), greedy=True)
        run(config, [[1] * length], method, 2, 90, penalty=length / 50)
    counts = tuple(function._cache_size() - size for function, size in zip(functions, before, strict=True))
    assert counts == (4, 1, 2)  # 16, 32, 64, 128 tokens; caches of 128 and 256


def test_batches_of_one_to_eight_need_four_compilations():
    config = dataclasses.replace(GPT, embed_dim=8, decoder_layers=1)
    before = module.begin._cache_size(), module.decode._cache_size()
    for size in range(1, 9):
        texts, _ = run(config, [[1, 2, 3]] * size, width=3, count=3)
        assert texts == texts[:3] * size
    assert (module.begin._cache_size() - before[0], module.decode._cache_size() - before[1]) == (4, 4)


def test_a_model_with_nan_and_processors_that_allow_nothing_are_told():
    nothing = Method((Only(np.zeros(48, bool)),), np.array([1], np.int32), True)
    search = Search(2, np.float32(1))
    decoded, scores = beam_search(network(GPT), GPT, PROMPTS, nothing, search, max_new_tokens=5)
    assert (decoded.status_B == Status.NOTHING_ALLOWED).all() and (decoded.lengths_B == decoded.prompt_lengths_B).all()
    assert (scores == -np.inf).all()
    broken = jax.tree.map(lambda leaf: leaf * np.nan, network(GPT))
    decoded, _ = beam_search(broken, GPT, PROMPTS, GREEDY, search, max_new_tokens=5)
    assert (decoded.status_B == Status.NOT_FINITE).all()


# In text.

SMALL = TransformerConfig(vocab_size=320, max_length=24, decoder_layers=1, embed_dim=8, num_heads=1)
BEST = GenerationConfig(max_new_tokens=8, temperature=0, beam=3, num_samples=2)


@functools.cache
def small():
    return jax.tree.map(lambda leaf: 3 * leaf, init_params(SMALL, jax.random.key(1)))


def test_completions_are_the_best_texts_best_first():
    completions = complete(small(), SMALL, tokenizer(), ["the cat", "你好"], BEST)
    assert [each.prompt for each in completions] == ["the cat"] * 2 + ["你好"] * 2
    assert completions[0].tokens != completions[1].tokens
    means = [np.mean(each.logprobs) for each in completions]
    assert means[0] > means[1] and means[2] > means[3]
    assert all(len(each.logprobs) == len(each.tokens) <= 8 for each in completions)


def test_a_stop_string_ends_a_text_within_the_search():
    """So the texts are ranked by what is left of them, and differ."""
    whole = complete(small(), SMALL, tokenizer(), ["the cat"], BEST)
    stop = whole[0].text[len(whole[0].text) // 2 :][:2]
    streamed = ["", ""]

    def on_text(row, text):
        streamed[row] += text

    cut = complete(small(), SMALL, tokenizer(), ["the cat"], dataclasses.replace(BEST, stop=(stop,)), on_text=on_text)
    assert [each.text for each in cut] == streamed and not any(stop in text for text in streamed)
    assert cut[0].tokens != cut[1].tokens
    ended = [each for each in cut if each.finish_reason == "stop"]
    assert ended and all(stop in tokenizer().decode(each.tokens) for each in ended)
    assert all(stop not in tokenizer().decode(each.tokens[:-1]) for each in ended)
    means = [np.mean(each.logprobs) for each in cut]
    assert means[0] >= means[1]


def test_what_is_polled_can_end_a_search():
    def press(row, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        complete(small(), SMALL, tokenizer(), ["the cat"], BEST, on_text=press)


def test_fewer_texts_than_are_wanted_are_told():
    def one_way(seen):
        return jnp.arange(320) == 5

    with pytest.raises(UserError, match="1 of 2 texts cannot be"):
        complete(small(), SMALL, tokenizer(), ["the cat"], dataclasses.replace(BEST, allowed=one_way))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beam": 0}, "beam=0 must be at least 1"),
        ({"beam": 2}, "beams draw nothing: with beam above 1 set temperature=0 and no top_k, top_p or min_p"),
        ({"beam": 2, "temperature": 0, "top_p": 0.9}, "beams draw nothing"),
        ({"beam": 2, "temperature": 0, "num_samples": 3}, "num_samples=3 must be at most beam=2"),
        ({"early_stopping": "soon"}, "early_stopping=soon must be False, True or 'never'"),
        ({"length_penalty": float("nan")}, "length_penalty=nan must be a finite number"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        GenerationConfig(**fields)
