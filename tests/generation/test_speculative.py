"""Speculative decoding: the same tokens, or the same distribution, as the large model alone."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from common.errors import ConfigError
from data.tokenizer import TokenizerConfig, train
from generation.completion import complete
from generation.config import GenerationConfig
from generation.decoder import generate
from generation.processors import (
    AllowedBy,
    MinNewTokens,
    NoRepeatNgram,
    RepetitionPenalty,
    Seen,
    Temperature,
    TopK,
    TopP,
    apply_chain,
)
from generation.rows import Method, Status
from generation.speculative import Draft, generate_speculatively
from model import Tokens, Transformer, TransformerConfig
from model.parameters import init_params, split_layers

GPT = TransformerConfig(
    vocab_size=48,
    max_length=64,
    decoder_layers=1,
    embed_dim=16,
    num_heads=2,
    initializer_std=0.6,
    tie_embeddings=False,
)
LLAMA = dataclasses.replace(GPT, norm="rmsnorm", position="rope", activation="swiglu", use_bias=False)
CONFIGS = {
    "learned": GPT,
    "rope": LLAMA,
    "prefix": dataclasses.replace(GPT, bidirectional_prefix=True),
    "window": dataclasses.replace(LLAMA, sliding_window=5),
    "encoder-decoder": dataclasses.replace(LLAMA, encoder_layers=1, position="relative_bias"),
}
NO_END = np.array([-1], np.int32)
GREEDY = Method((), NO_END, greedy=True)
PROMPTS = [[1, 7, 3], list(range(2, 22)), [5], [1, 9, 9, 9, 9, 30, 2]]


@functools.cache
def network(config: TransformerConfig):
    return init_params(config, jax.random.key(3))


@functools.cache
def similar(config: TransformerConfig, size: float = 0.03) -> Draft:
    """The same network with noise: it is right often, and not always."""
    leaves, tree = jax.tree.flatten(network(config))
    random = np.random.default_rng(1)
    noisy = [leaf + size * np.float32(random.normal(size=leaf.shape)) for leaf in leaves]
    return Draft(jax.tree.unflatten(tree, noisy), config)


@functools.cache
def small(config: TransformerConfig) -> Draft:
    """Another network, smaller: it is hardly ever right."""
    config = dataclasses.replace(config, embed_dim=8)
    return Draft(init_params(config, jax.random.key(9)), config)


def texts(decoded) -> list[list[int]]:
    return [row[:length].tolist() for row, length in zip(decoded.ids_BS, decoded.lengths_B, strict=True)]


def check_same(config, draft, method=GREEDY, prompts=PROMPTS, draft_tokens=4, count=30, **options):
    """Draft or not, greedily the same rows come out."""
    params = network(config)
    (alone,) = generate(params, config, prompts, method, max_new_tokens=count, **options)
    (found,) = generate_speculatively(
        params, config, draft, prompts, method, draft_tokens=draft_tokens, max_new_tokens=count, **options
    )
    assert texts(found) == texts(alone)
    assert found.status_B.tolist() == alone.status_B.tolist()
    assert found.prompt_lengths_B.tolist() == alone.prompt_lengths_B.tolist()
    for start, length, one, other in zip(
        alone.prompt_lengths_B, alone.lengths_B, alone.logprobs_BS, found.logprobs_BS, strict=True
    ):
        np.testing.assert_allclose(one[start:length], other[start:length], atol=1e-4)
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_tokens_are_those_of_the_model_alone(name):
    """Prompts of several lengths, of whose proposals different numbers are taken, with a draft that is often right."""
    config = CONFIGS[name]
    options = {"prompts": [[1]] * 4, "sources": PROMPTS} if config.encoder_layers else {}
    found = check_same(config, similar(config), **options)
    assert len({token for text in texts(found) for token in text[-20:]}) > 4


@pytest.mark.parametrize("draft_tokens", [1, 3])
def test_a_draft_that_knows_nothing_changes_nothing(draft_tokens):
    check_same(GPT, small(GPT), draft_tokens=draft_tokens)


def test_layers_one_by_one_and_a_draft_that_gives_no_numbers():
    draft = Draft(split_layers(similar(GPT).params), GPT)
    check_same(GPT, draft, count=8)
    broken = Draft(jax.tree.map(lambda leaf: leaf * jnp.nan, network(GPT)), GPT)
    check_same(GPT, broken, count=8)


def passes(config, draft, prompts, method=GREEDY, count=30, draft_tokens=4, **options):
    """The lengths of all texts after each pass of the model, [passes, B]."""
    looks = generate_speculatively(
        network(config),
        config,
        draft,
        prompts,
        method,
        draft_tokens=draft_tokens,
        max_new_tokens=count,
        steps=1,
        **options,
    )
    return np.array([look.lengths_B for look in looks])


def test_a_draft_that_is_the_model_is_always_right():
    hot = Method((Temperature(np.float32(1.5)),), NO_END, greedy=False)
    for method in (GREEDY, hot):
        lengths = passes(LLAMA, Draft(network(LLAMA), LLAMA), PROMPTS, method, count=31, draft_tokens=4)
        assert len(lengths) == 7
        assert (np.diff(lengths, axis=0) == 5).all()


def test_there_are_fewer_passes_than_tokens():
    """As the papers have it: with chance a for each, (1 - a^(K + 1)) / (1 - a) tokens a pass."""
    lengths = passes(GPT, similar(GPT), PROMPTS[:1], count=50)
    gains = np.diff(lengths[:, 0])
    assert gains.min() < 5 and gains.max() > 1 and gains.mean() > 1.5
    assert len(lengths) < 35


CHAINS = {
    "plain": (),
    "temperature": (Temperature(np.float32(0.7)),),
    "top_k": (Temperature(np.float32(1.5)), TopK(3)),
    "top_p": (Temperature(np.float32(1.2)), TopP(np.float32(0.8))),
    "penalty": (RepetitionPenalty(np.float32(1.8)), Temperature(np.float32(1.0))),
}
TINY = TransformerConfig(
    vocab_size=4, max_length=16, decoder_layers=1, embed_dim=8, num_heads=1, initializer_std=0.5, tie_embeddings=False
)
DRAFT = dataclasses.replace(TINY, embed_dim=4, position="rope", initializer_std=0.7)
NEW = 4


def chances(config, params, prompt, chain) -> np.ndarray:
    """Of every text of NEW tokens, by definition: the product over its tokens, [V ** NEW]."""
    endings = np.array(list(itertools.product(range(4), repeat=NEW)), np.int32)
    ids = np.concatenate([np.tile(prompt, (len(endings), 1)), endings], axis=1).astype(np.int32)
    places = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    forward = jax.jit(Transformer(config).apply)
    logits = forward({"params": params}, Tokens(ids, places, np.ones_like(ids))).logits_BTV
    total = np.ones(len(endings))
    for new in range(NEW):
        lengths = np.full(len(endings), len(prompt) + new)
        seen = Seen(jnp.asarray(ids), lengths, lengths - len(prompt))
        weights = np.exp(np.float64(apply_chain(chain, logits[:, len(prompt) + new - 1], seen)))
        total *= weights[np.arange(len(endings)), endings[:, new]] / weights.sum(-1)
    return total


def pvalue(counts, expected) -> float:
    """Of a chi-square test, rare texts taken together."""
    rare = expected < 5
    counts, expected = (np.append(values[~rare], values[rare].sum()) for values in (counts, expected))
    there = expected > 0
    assert not counts[~there].any()
    return chisquare(counts[there], expected[there] * counts.sum() / expected.sum()).pvalue


@pytest.mark.parametrize(("chain", "draft_tokens"), list(zip(CHAINS, (1, 2, 3, 4, 2), strict=True)))
def test_texts_have_the_distribution_of_the_model_alone(chain, draft_tokens):
    """Whole texts, so that tokens that depend on each other in a wrong way would be noticed as well."""
    params, draft = network(TINY), Draft(init_params(DRAFT, jax.random.key(5)), DRAFT)
    prompt, draws = [1, 3, 2], 16384
    method = Method(CHAINS[chain], NO_END, greedy=False)
    (decoded,) = generate_speculatively(
        params, TINY, draft, [prompt], method, draft_tokens=draft_tokens, max_new_tokens=NEW, samples=draws, seed=2
    )
    number = decoded.ids_BS[:, 3 : 3 + NEW] @ (4 ** np.arange(NEW)[::-1])
    counts = np.bincount(number, minlength=4**NEW)
    assert pvalue(counts, draws * chances(TINY, params, prompt, CHAINS[chain])) > 1e-3
    assert pvalue_of_another(counts, draws * chances(DRAFT, draft.params, prompt, CHAINS[chain])) < 1e-9


def pvalue_of_another(counts, expected) -> float:
    """As `pvalue`, where the counts may hold what should never come."""
    return pvalue(counts, np.maximum(expected, 1e-3))


def test_rows_draw_together_what_they_draw_alone_however_often_one_looks():
    hot = Method((Temperature(np.float32(3)),), NO_END, greedy=False)
    options = {"draft_tokens": 3, "max_new_tokens": 25, "seed": 4}
    arguments = network(GPT), GPT, similar(GPT)
    (together,) = generate_speculatively(*arguments, PROMPTS, hot, **options)
    *_, looked = generate_speculatively(*arguments, PROMPTS, hot, steps=2, **options)
    assert texts(looked) == texts(together)
    (first,) = generate_speculatively(*arguments, PROMPTS[:1], hot, **options)
    assert texts(first) == texts(together)[:1]
    (last,) = generate_speculatively(*arguments, PROMPTS[3:], hot, first_row=3, **options)
    assert texts(last) == texts(together)[3:]
    (samples,) = generate_speculatively(*arguments, PROMPTS[:1], hot, samples=5, **options)
    assert len({tuple(text) for text in texts(samples)}) == 5


def test_an_end_within_what_was_proposed_is_the_end():
    (alone,) = generate(network(GPT), GPT, PROMPTS, GREEDY, max_new_tokens=30)
    new = [text[start:] for text, start in zip(texts(alone), alone.prompt_lengths_B, strict=True)]
    ended = 0
    for place in range(1, 6):
        method = Method((), np.array([47, new[0][place]], np.int32), greedy=True)
        found = check_same(GPT, Draft(network(GPT), GPT), method)
        ended += (found.status_B == Status.ENDED).sum()
    assert ended >= 5


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_as_many_tokens_as_asked_for(count):
    found = check_same(GPT, similar(GPT), count=count)
    assert (found.lengths_B - found.prompt_lengths_B == count).all()


@pytest.mark.parametrize("name", ["learned", "rope"])
def test_the_last_place_of_the_context_is_used(name):
    """Proposals beyond it are not seen; one prompt leaves room for one token only."""
    config = dataclasses.replace(CONFIGS[name], max_length=20)
    prompts = [[3] * 20, [4, 5] * 8, [7]]
    for draft in (similar(config), Draft(network(config), config)):
        found = check_same(config, draft, prompts=prompts, count=50)
        assert found.lengths_B.tolist() == [21] * 3


def test_the_shorter_context_is_the_end():
    short = dataclasses.replace(GPT, max_length=12, embed_dim=8)
    draft = Draft(network(short), short)
    options = {"draft_tokens": 4, "max_new_tokens": 40}
    (found,) = generate_speculatively(network(GPT), GPT, draft, [[1, 7, 3], [5] * 12], GREEDY, **options)
    (alone,) = generate(network(GPT), GPT, [[1, 7, 3], [5] * 12], GREEDY, max_new_tokens=40)
    assert found.lengths_B.tolist() == [13, 13]
    assert texts(found) == [text[:13] for text in texts(alone)]
    with pytest.raises(ConfigError, match="a prompt of 13 tokens is too long: the draft reads 12"):
        next(generate_speculatively(network(GPT), GPT, draft, [[5] * 13], GREEDY, **options))


def test_processors_see_the_text_in_front_of_each_place():
    ends = np.arange(40, 48, dtype=np.int32)
    chain = (RepetitionPenalty(np.float32(1.3)), NoRepeatNgram(2), MinNewTokens(np.int32(9), ends))
    found = check_same(GPT, similar(GPT), Method(chain, ends, greedy=True), count=40)
    assert (found.lengths_B - found.prompt_lengths_B > 9).all()


def test_where_nothing_may_come_a_row_stops_after_what_was_good():
    def five(seen):
        return jnp.broadcast_to(seen.new_B[:, None] < 5, (len(seen.new_B), 48))

    method = Method((AllowedBy(five),), NO_END, greedy=True)
    found = check_same(GPT, Draft(network(GPT), GPT), method)
    assert (found.status_B == Status.NOTHING_ALLOWED).all() and (found.lengths_B - found.prompt_lengths_B == 5).all()
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, network(GPT))
    (found,) = generate_speculatively(broken, GPT, similar(GPT), PROMPTS, GREEDY, draft_tokens=3, max_new_tokens=5)
    assert (found.status_B == Status.NOT_FINITE).all()


def test_a_cache_that_grows_changes_nothing():
    """Rows at different speeds leave slots unused, so there are more of them than tokens."""
    config = dataclasses.replace(LLAMA, max_length=256)
    check_same(config, similar(config), count=200)


def test_a_draft_of_another_kind_is_refused_in_one_line():
    def refused(**changes):
        config = dataclasses.replace(GPT, **changes)
        options = {"draft_tokens": 4, "max_new_tokens": 4}
        next(generate_speculatively({}, GPT, Draft({}, config), PROMPTS, GREEDY, **options))

    with pytest.raises(ConfigError, match="the draft's vocabulary of 50 must be the model's, which has 48"):
        refused(vocab_size=50)
    with pytest.raises(ConfigError, match="the draft is of kind encoder-decoder, the model decoder"):
        refused(encoder_layers=1)


def test_a_draft_changes_no_completion():
    config = dataclasses.replace(GPT, vocab_size=290)
    words = train(["the cat sat on the mat"] * 20, TokenizerConfig(290, "bpe", 1.0, True, True))
    generation = GenerationConfig(temperature=0.0, max_new_tokens=20, stop=("e",), draft_tokens=3)
    arguments = network(config), config, words, ["the", "the cat"]
    alone = complete(*arguments, generation)
    seen = []
    found = complete(*arguments, generation, draft=similar(config), on_text=lambda row, text: seen.append((row, text)))
    for row, (one, other) in enumerate(zip(alone, found, strict=True)):
        assert (one.text, one.tokens, one.finish_reason) == (other.text, other.tokens, other.finish_reason)
        assert "".join(text for number, text in seen if number == row) == one.text
    for fields in ({"slide": True}, {"beam": 2}):
        with pytest.raises(ConfigError, match="a draft is for models that write on, without beams and slide"):
            complete(*arguments, GenerationConfig(temperature=0.0, **fields), draft=similar(config))
