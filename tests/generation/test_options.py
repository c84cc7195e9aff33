"""The table of what can be set, and how what a person typed becomes a config."""

import argparse
import dataclasses

import pytest

from common.errors import ConfigError
from data.tokenizer import TokenizerConfig, train
from generation.config import GenerationConfig
from generation.flags import Help, add_options
from generation.flags import parse as read_flags
from generation.options import OPTIONS, configure, defaults, show_value


def parse(*arguments: str) -> dict:
    parser = argparse.ArgumentParser()
    add_options(parser, OPTIONS.values())
    return vars(parser.parse_args(arguments))


def test_there_is_an_option_for_each_field_but_functions_and_for_the_seed():
    fields = {field.name for field in dataclasses.fields(GenerationConfig)} - {"allowed"}
    assert set(OPTIONS) == fields | {"seed"}


def test_nothing_given_is_the_config_as_it_is():
    assert parse() == {} and configure({}) == GenerationConfig()


def test_what_is_given_is_set():
    given = parse("--top_k", "3", "--stop", "a", "--stop", "=b", "--slide", "--early_stopping", "never", "--seed", "7")
    assert configure(given) == GenerationConfig(top_k=3, stop=("a", "=b"), slide=True, early_stopping="never")


def test_beams_do_not_draw_unless_asked_to_which_is_refused():
    assert configure(parse("--beam", "4")) == GenerationConfig(beam=4, temperature=0.0)
    assert configure(parse("--beam", "1")).temperature == GenerationConfig().temperature
    with pytest.raises(ConfigError, match="beams draw nothing"):
        configure(parse("--beam", "4", "--temperature", "1"))


def test_a_bias_is_for_the_token_that_a_text_is():
    tokenizer = train(["the cat a=b 你好"] * 20, TokenizerConfig(280, "bpe", 1.0, True, True))
    given = parse("--logit_bias", "你=-inf", "--logit_bias", "==1.5", "--logit_bias", "<|endoftext|>=2")
    (you,), (equals,) = tokenizer.encode("你"), tokenizer.encode("=")
    assert configure(given, tokenizer).logit_bias == {you: -float("inf"), equals: 1.5, tokenizer.end_of_text: 2.0}
    assert configure(given).logit_bias == {}  # before there is a tokenizer
    for text in ("cats", ""):
        with pytest.raises(ConfigError, match=f"{text!r} is not one token but"):
            configure({"logit_bias": [(text, 1.0)]}, tokenizer)


@pytest.mark.parametrize("text", ["the", "=1", "the=", "the=x", "the=nan", "the=inf"])
def test_what_is_no_bias_is_refused(text):
    with pytest.raises(ConfigError, match="is not TEXT=NUMBER"):
        parse("--logit_bias", text)


def test_help_tells_each_default_as_it_is_typed():
    parser = argparse.ArgumentParser(formatter_class=Help)
    add_options(parser, OPTIONS.values())
    words = " ".join(parser.format_help().split())
    for name, value in defaults().items():
        if show_value(value):
            assert f"(default: {show_value(value)})" in words.rpartition(f" --{name} ")[2].partition(" --")[0]


def test_a_text_is_asked_about_and_nothing_is_written():
    flags, given = read_flags(["--ckpt", "x", "--prompt", "Who?", "--context", "He."], "")
    assert (flags.context, flags.prompt, given) == ("He.", ["Who?"], {})
    with pytest.raises(ConfigError, match="--top_k means nothing with --context, which writes no text"):
        read_flags(["--ckpt", "x", "--prompt", "Who?", "--context", "He.", "--top_k", "3"], "")
