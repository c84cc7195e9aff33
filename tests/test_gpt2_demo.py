"""GPT-2 from published files to a continued text, by the lines of docs/finetuning.md: convert, train, sample."""

import itertools
import json
import random
import re

from tests.conftest import ROOT
from tests.interop.folders import write_folder

ANIMALS, TRAITS = ("猫", "狗", "鸟", "鱼"), ("可爱", "聪明", "安静", "活泼")


def sentences(seed: int, number: int) -> str:
    draw = random.Random(seed)
    return "\n\n".join(f"{draw.choice(ANIMALS)}是一种{draw.choice(TRAITS)}的动物。" for _ in range(number)) + "\n"


def test_convert_train_and_sample(here, tmp_path):
    write_folder(tmp_path / "gpt2", "gpt2")
    (tmp_path / "train.txt").write_text(sentences(0, 300), encoding="utf-8")
    (tmp_path / "valid.txt").write_text(sentences(1, 40), encoding="utf-8")
    done = here("convert.py", "from-hf", "gpt2", "runs/gpt2")
    assert done.returncode == 0, done.stderr

    demo = str(ROOT / "configs" / "finetune" / "gpt2_demo.py")
    short = ("--config.data.sequence_length=32", "--config.training.sample_tokens=4")  # it reads 32 tokens
    done = here("train.py", "--config", demo, *short)
    assert done.returncode == 0, done.stderr
    steps, losses = zip(*re.findall(r"validation at step (\d+): loss ([\d.]+)", done.stderr), strict=True)
    first, second, third = map(int, steps)
    assert second == 2 * first and third == 3 * first, "after each of three epochs"
    assert float(losses[2]) < float(losses[1]) < float(losses[0])
    assert "3.0 epochs" in done.stderr and done.stdout.startswith("猫是一种")

    flags = ("--no_repeat_ngram_size", "2", "--max_new_tokens", "16", "--temperature", "0", "--json")
    done = here("sample.py", "--ckpt", "runs/gpt2_demo", "--prompt", "猫是一种", *flags)
    assert done.returncode == 0, done.stderr
    completion = json.loads(done.stdout)
    tokens = completion["tokens"]
    pairs = [*itertools.pairwise(tokens)]
    assert completion["text"] and len(tokens) > 4 and len(set(pairs)) == len(pairs)
