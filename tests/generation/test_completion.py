"""Text from prompts: what is streamed, where it stops, and what is refused."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError, UserError
from data.tokenizer import Tokenizer, TokenizerConfig, train
from generation import completion as module
from generation.completion import complete
from generation.config import GenerationConfig
from generation.encoding import encode_prompts
from generation.rows import Decoded, Status
from generation.streams import TextStream
from model import TransformerConfig
from model.parameters import init_params

GREEDY = GenerationConfig(temperature=0.0, max_new_tokens=16)


@functools.cache
def tokenizer() -> Tokenizer:
    """Knows a few words and characters; spells all others in bytes."""
    texts = ["the cat sat on the mat\nthe end", "你好，世界", "你们好 the 世界"] * 20
    return train(texts, TokenizerConfig(310, "bpe", 1.0, byte_fallback=True, split_digits=True))


def stream_all(tokens, stop=()) -> tuple[list[str], TextStream]:
    """The pieces in the order they come, and the stream at its end."""
    stream = TextStream(tokenizer(), stop)
    pieces = []
    for token in tokens:
        pieces.append(stream.add(token))
        if stream.stopped:
            break
    return [*pieces, stream.end()], stream


def first_stop(tokens, stop) -> str:
    """By definition: the text of the first tokens that contain a stop string, before it; or all the text."""
    for count in range(1, len(tokens) + 1):
        text = tokenizer().decode(tokens[:count])
        places = [text.index(end) for end in stop if end in text]
        if places:
            return text[: min(places)]
    return tokenizer().decode(tokens)


def test_the_tokenizer_of_these_tests_spells_in_bytes():
    pieces = [tokenizer().piece(token) for token in tokenizer().encode("é😀")]
    assert len(pieces) == 6 and all(piece.startswith("<0x") for piece in pieces)


TEXTS = st.text(st.sampled_from("the cat你好界é😀爱\n"), max_size=12)
STOPS = st.lists(st.text(st.sampled_from("the你好é😀\n"), min_size=1, max_size=3), max_size=3)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, stop=STOPS)
def test_pieces_are_whole_characters_and_join_to_the_text_before_the_stop(text, stop):
    tokens = tokenizer().encode(text)
    pieces, stream = stream_all(tokens, stop)
    assert "".join(pieces) == stream.text == first_stop(tokens, stop)
    assert not any("\ufffd" in piece for piece in pieces)


@settings(max_examples=150, deadline=None)
@given(tokens=st.lists(st.integers(2, 309), max_size=12), stop=STOPS)
def test_pieces_join_to_the_text_also_of_bytes_that_are_no_characters(tokens, stop):
    pieces, stream = stream_all(tokens, stop)
    assert "".join(pieces) == stream.text == first_stop(tokens, stop)


def test_an_emoji_comes_whole_with_its_last_byte():
    pieces, _ = stream_all(tokenizer().encode("a😀b"))
    assert pieces == ["a", "", "", "", "😀", "b", ""]


def test_half_a_character_at_the_end_is_shown_as_such():
    pieces, stream = stream_all(tokenizer().encode("a😀")[:3])
    assert pieces[:3] == ["a", "", ""]
    assert set(pieces[3]) == {"\ufffd"} and stream.text == "a" + pieces[3]


def test_what_may_be_a_stop_string_is_held_back_until_it_is_not():
    stop = ["好\n😀"]
    pieces, stream = stream_all(tokenizer().encode("你好\n好\n😀c"), stop)
    assert stream.stopped and stream.text == "你好\n"
    assert "".join(pieces) == "你好\n"
    pieces, stream = stream_all(tokenizer().encode("你好\n"), stop)
    assert "".join(pieces[:-1]) == "你" and pieces[-1] == "好\n" and not stream.stopped


# From here on with scripted tokens in the network's place.

CONFIG = TransformerConfig(vocab_size=320, max_length=24, decoder_layers=1, embed_dim=8, num_heads=1)


def script(monkeypatch, *rows: list[int], status: Status = Status.FULL) -> None:
    """Makes the network say `rows`, and after them end-of-text; a row that is longer than it may be ends with `status`."""

    def generate(params, config, prompts, method, *, max_new_tokens, steps, **options):
        starts = np.array([len(prompt) for prompt in prompts])
        most = np.minimum(max_new_tokens, config.max_length + 1 - starts)
        texts = [[*row, tokenizer().end_of_text][:room] for row, room in zip(rows, most, strict=True)]
        lengths = np.array([len(text) for text in texts])
        ids = np.zeros((len(rows), 64), np.int32)
        for line, start, text in zip(ids, starts, texts, strict=True):
            line[start : start + len(text)] = text
        for count in (*range(1, lengths.max(), steps or 64), lengths.max()):
            now = np.minimum(count, lengths)
            last = [Status.ENDED if text[-1] == tokenizer().end_of_text else status for text in texts]
            yield Decoded(ids, np.full(ids.shape, -0.5), starts + now, starts, np.where(now == lengths, last, 0))

    monkeypatch.setattr(module, "generate", generate)


def scripted(prompts, **options):
    """Completions, and the text that was streamed for each row."""
    streamed = [""] * len(prompts)

    def on_text(row, text):
        streamed[row] += text

    config = dataclasses.replace(GREEDY, **options)
    return complete(None, CONFIG, tokenizer(), prompts, config, on_text=on_text), streamed


def test_end_of_text_ends_a_row_and_the_others_go_on(monkeypatch):
    short, long = tokenizer().encode("你"), tokenizer().encode("the cat sat")
    script(monkeypatch, short, long)
    (first, second), streamed = scripted(["a", "b"])
    end = tokenizer().end_of_text
    assert (first.prompt, first.text, first.finish_reason) == ("a", "你", "stop")
    assert (second.prompt, second.text, second.finish_reason) == ("b", "the cat sat", "stop")
    assert first.tokens == [*short, end] and second.tokens == [*long, end]
    assert first.logprobs == [-0.5] * len(first.tokens) and second.logprobs == [-0.5] * len(second.tokens)
    assert streamed == ["你", "the cat sat"]


def test_a_stop_string_over_several_tokens_is_left_out_of_the_text(monkeypatch):
    tokens = tokenizer().encode("the cat 😀\nthe end")
    script(monkeypatch, tokens)
    (found,), streamed = scripted([""], stop=("?", "😀\nthe"))
    assert (found.text, found.finish_reason) == ("the cat ", "stop")
    assert streamed == ["the cat "]
    assert found.tokens == tokens[: len(found.tokens)] and len(found.logprobs) == len(found.tokens) < len(tokens)
    assert tokenizer().decode(found.tokens).startswith("the cat 😀\nthe")


def test_the_number_of_tokens_ends_a_row_and_gives_back_what_was_held(monkeypatch):
    tokens = tokenizer().encode("好你好你好你")
    script(monkeypatch, tokens)
    (found,), streamed = scripted([""], stop=("你好!",), max_new_tokens=3)
    assert found.tokens == tokens[:3] and found.finish_reason == "length"
    assert found.text == tokenizer().decode(tokens[:3]) == streamed[0]


def test_the_context_ends_a_row_and_a_longer_prompt_is_refused(monkeypatch):
    script(monkeypatch, tokenizer().encode("你" * 30))
    for length, expected in ((0, 24), (10, 14), (23, 1)):
        (found,), _ = scripted(["好" * length], max_new_tokens=100)
        assert len(found.tokens) == expected, length
        assert found.finish_reason == "length"
    with pytest.raises(ConfigError, match="24 tokens is too long: this model reads 23"):
        scripted(["好" * 24])


@pytest.mark.parametrize(("status", "message"), [(Status.NOT_FINITE, "NaN"), (Status.NOTHING_ALLOWED, "no token")])
def test_a_row_that_cannot_go_on_is_one_line(monkeypatch, status, message):
    script(monkeypatch, [5] * 20, status=status)
    with pytest.raises(UserError, match=message):
        scripted(["a"])


def test_what_comes_after_a_stop_string_does_not_matter(monkeypatch):
    """The device does not know of stop strings: a row goes on for some tokens, and may then come to nothing."""
    short, long = [*tokenizer().encode("你好"), *[5] * 20], tokenizer().encode("the cat sat")
    for stop, texts in ((("好",), ["你", "the cat sat"]), (("好", "cat"), ["你", "the "])):
        script(monkeypatch, short, long, status=Status.NOTHING_ALLOWED)
        found, streamed = scripted(["a", "b"], stop=stop)
        unseen = complete(None, CONFIG, tokenizer(), ["a", "b"], dataclasses.replace(GREEDY, stop=stop))
        assert [each.text for each in found] == streamed == texts
        assert unseen == found


def test_a_prompt_as_long_as_the_context_gets_one_token_where_nothing_stands_before_it(monkeypatch):
    monkeypatch.setattr(tokenizer(), "prefix", ())
    script(monkeypatch, tokenizer().encode("你" * 30))
    (found,), _ = scripted(["好" * 24])
    assert len(found.tokens) == 1
    with pytest.raises(ConfigError, match="25 tokens is too long: this model reads 24"):
        scripted(["好" * 25])


# And with a real network.


def test_neither_the_unknown_token_nor_padding_of_the_vocabulary_is_ever_written():
    """At a temperature where all 320 are as good as equally likely."""
    params = init_params(CONFIG, jax.random.key(0))
    found = complete(
        params, CONFIG, tokenizer(), ["", "你"] * 16, GenerationConfig(max_new_tokens=20, temperature=1e4), seed=3
    )
    tokens = [token for completion in found for token in completion.tokens]
    assert len(tokens) > 300 and len(set(tokens)) > 150
    assert max(tokens) < tokenizer().vocab_size == 310
    assert tokenizer().unknown not in tokens


def test_streamed_text_is_the_completions_text_with_a_real_network():
    params = init_params(CONFIG, jax.random.key(1))
    streamed = [""] * 8

    def on_text(row, text):
        streamed[row] += text

    config = GenerationConfig(max_new_tokens=20, temperature=2.0, stop=("t", "好"), num_samples=8)
    found = complete(params, CONFIG, tokenizer(), ["the"], config, seed=5, on_text=on_text)
    unseen = complete(params, CONFIG, tokenizer(), ["the"], config, seed=5)
    assert unseen == found
    assert [completion.text for completion in found] == streamed
    assert {completion.finish_reason for completion in found} >= {"stop", "length"}
    assert not any("t" in text or "好" in text for text in streamed)


ENCODER = dict(vocab_size=320, max_length=24, embed_dim=8, num_heads=1, encoder_layers=1)


@functools.cache
def masking() -> Tokenizer:
    return train(
        ["the cat sat on the mat"] * 20, TokenizerConfig(290, "bpe", 1.0, True, True, ("[MASK]", "<extra_id_0>"))
    )


def test_an_encoder_fills_each_mask_with_its_likeliest_piece_and_names_others():
    config = TransformerConfig(**ENCODER)
    params = init_params(config, jax.random.key(0))
    seen = []
    prompts = ["the [MASK] sat on [MASK]", "[MASK]"]
    found = complete(params, config, masking(), prompts, GREEDY, on_text=lambda row, text: seen.append((row, text)))
    assert seen == [(row, completion.text) for row, completion in enumerate(found)]
    for prompt, completion in zip(prompts, found, strict=True):
        assert len(completion.tokens) == len(completion.candidates) == prompt.count("[MASK]")
        for token, value, candidates in zip(completion.tokens, completion.logprobs, completion.candidates, strict=True):
            assert masking().is_text[token]
            chances = [chance for _, chance in candidates]
            assert len(candidates) == 5 and chances == sorted(chances, reverse=True)
            assert candidates[0][0] == masking().decode([token])
            assert 0 < np.exp(value) <= chances[0]  # of all pieces, and of those that are text
        expected = prompt.replace(" [MASK]", "[MASK]")
        for candidates in completion.candidates:
            expected = expected.replace("[MASK]", candidates[0][0], 1)
        assert completion.text == expected


def test_a_prompt_without_a_mask_is_refused_where_there_is_nothing_else_to_do():
    config = TransformerConfig(**ENCODER)
    with pytest.raises(ConfigError, match=r"must hold \[MASK\]"):
        complete({}, config, masking(), ["the cat"], GREEDY)


def test_candidates_are_what_the_model_believes_whatever_is_drawn():
    config = TransformerConfig(**ENCODER)
    params = init_params(config, jax.random.key(0))
    cold = dataclasses.replace(GREEDY, temperature=0.1, top_k=1)
    plain, drawn = (
        complete(params, config, masking(), ["the [MASK] sat"], each)[0].candidates for each in (GREEDY, cold)
    )
    assert plain == drawn
    assert sum(chance for _, chance in plain[0]) < 0.5  # a network that has learned nothing


def test_a_decoder_writes_on_after_a_sentinel():
    config = TransformerConfig(**{**ENCODER, "encoder_layers": 0}, decoder_layers=1)
    params = init_params(config, jax.random.key(0))
    (found,) = complete(params, config, masking(), ["the <extra_id_0> sat"], GREEDY)
    assert found.text == masking().decode(found.tokens) and not found.text.startswith("the ")


def test_stop_strings_mean_nothing_where_sentinels_are_filled():
    config = TransformerConfig(**ENCODER, decoder_layers=1)
    with pytest.raises(ConfigError, match="stop means nothing there"):
        complete({}, config, masking(), ["the <extra_id_0> sat"], dataclasses.replace(GREEDY, stop=("a",)))


def test_an_encoder_decoder_fills_sentinels():
    config = TransformerConfig(**ENCODER, decoder_layers=1)
    params = init_params(config, jax.random.key(0))
    filled, plain = complete(params, config, masking(), ["the <extra_id_0> sat", "the cat"], GREEDY)
    assert filled.text.startswith("the") and filled.text.endswith(" sat")
    assert plain.text == masking().decode(plain.tokens)


@pytest.mark.parametrize(("layers", "hole"), [({}, "[MASK]"), ({"decoder_layers": 1}, "<extra_id_0>")])
def test_the_space_before_what_is_to_be_filled_is_hidden_with_it(layers, hole):
    """As in training, where a piece is hidden with the space that it holds."""
    words = masking()
    hidden = words.encode("the cat sat")
    hidden[1] = words.encode(hole)[0]
    assert words.piece(words.encode("the cat")[1]) == "\u2581cat"
    rows, sources = encode_prompts([f"the {hole} sat"], TransformerConfig(**ENCODER, **layers), words)
    assert (sources or rows)[0] == [*words.prefix * (not sources), *hidden, *([words.end_of_text] * bool(sources))]


def test_beams_name_what_else_they_found_for_a_sentinel():
    config = TransformerConfig(**ENCODER, decoder_layers=1)
    params = jax.tree.map(lambda leaf: 4 * leaf, init_params(config, jax.random.key(0)))
    beams = GenerationConfig(temperature=0, max_new_tokens=6, beam=4)
    allowed = np.zeros(config.vocab_size, bool)
    allowed[[*masking().encode("<extra_id_0> cat on"), masking().end_of_text]] = True
    beams = dataclasses.replace(beams, allowed=lambda seen: allowed)
    prompts = ["the <extra_id_0> sat", "the cat"]
    *every, plain, _, _, _ = complete(params, config, masking(), prompts, dataclasses.replace(beams, num_samples=4))
    assert len(every) == 4 and plain.candidates == []
    expected = {}
    for each in every:
        chance = np.exp(sum(each.logprobs))
        expected[each.text] = expected.get(each.text, 0) + chance
    (best, _) = complete(params, config, masking(), prompts, beams)
    (candidates,) = best.candidates
    assert {(f"the{text}" if text else "the<extra_id_0>") + " sat": chance for text, chance in candidates} == (
        pytest.approx(expected)
    )
    chances = [chance for _, chance in candidates]
    assert chances == sorted(chances, reverse=True) and best.text == every[0].text
