"""A BERT that learns labels, against transformers and torch: the same losses, step after step."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from data.batches import PackedRows, make_batch
from data.config import DataConfig
from data.examples import load_examples
from data.forms import FORMS
from data.hf_tokenizer import HfTokenizer, from_word_pieces
from interop.weights import look_through, read_params
from model.parameters import by_path
from tasks import TASKS, CorruptionConfig, LossConfig
from tests.interop.reference import BERT, required
from training.optimizer import OptimizerConfig, make_optimizer
from training.sharding import MeshConfig, make_mesh, put_batch
from training.step import init_state, make_train_step

torch, transformers = required("torch"), required("transformers")
pytestmark = pytest.mark.parity

STEPS, ROWS, LENGTH = 20, 4, 16
WORDS = ["the", "fox", "dog", "sees", "a", "house"]
LOSS = LossConfig(0.0, 0.0, 0.0, 0.0)
RATE, DECAY = 1e-3, 0.1


def examples(draw):
    words = draw.choice(WORDS, draw.integers(1, 12)).tolist()
    tags = ["B-animal" if word in ("fox", "dog") else "O" for word in words]
    return {"tokens": words, "tags": tags, "text": " ".join(words), "label": str("fox" in words)}


@pytest.fixture
def corpus(tmp_path, request):
    """Rows in a BERT's own frame, by the same way that training takes."""
    letters = sorted({letter for word in WORDS for letter in word})
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "fox", *letters, *(f"##{each}" for each in letters)]
    tokenizer = HfTokenizer({"tokenizer.json": from_word_pieces("\n".join(names).encode(), {})})
    path, draw = tmp_path / "rows.jsonl", np.random.default_rng(0)
    path.write_text("\n".join(json.dumps(examples(draw)) for _ in range(STEPS * ROWS)))
    data = DataConfig((str(path),), (str(path),), 0.5, LENGTH, "unused", packing="pad")

    def load(task):
        return load_examples(data, FORMS[TASKS[task].examples], tokenizer, (), lambda line: None)

    return load


class Theirs(torch.nn.Module):
    """transformers' BERT, and one linear layer on what it gives."""

    def __init__(self, bert, kernel, bias):
        super().__init__()
        self.bert, self.head = bert, torch.nn.Linear(*kernel.shape)
        self.head.weight.data, self.head.bias.data = torch.tensor(kernel.T.copy()), torch.tensor(bias)

    def forward(self, batch):
        mask = torch.tensor(batch["segment_ids"] > 0).long()
        hidden = self.bert(input_ids=torch.tensor(batch["inputs"]).long(), attention_mask=mask).last_hidden_state
        labels = np.where(batch["weights"] > 0, batch["targets"], -100)
        return torch.nn.functional.cross_entropy(self.head(hidden).flatten(0, 1), torch.tensor(labels).long().flatten())


def last_places(batch):
    return (batch["segment_ids"] > 0).sum(-1) - 1


@pytest.mark.parametrize("task", ["classification", "token_classification"])
def test_the_losses_are_those_of_torch(task, corpus, tmp_path):
    corpus = corpus(task)
    fields = BERT | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
    torch.manual_seed(0)
    bert = transformers.BertModel(transformers.BertConfig(**fields), add_pooling_layer=False)
    bert.save_pretrained(tmp_path / "bert")
    published = look_through(tmp_path / "bert")
    (text,) = corpus.train.values()
    packed = PackedRows.pack([text], LENGTH, "pad")
    prepare = TASKS[task].prepare(packed, corpus.tokenizer, CorruptionConfig(), "encoder")
    batches = [
        make_batch(packed, np.arange(step * ROWS, (step + 1) * ROWS), prepare, [(0,)] * ROWS) for step in range(STEPS)
    ]
    ids = corpus.tokenizer
    assert all((batch["inputs"][:, 0] == ids.prefix[0]).all() for batch in batches), "[CLS] before each text"
    rows = ((row, last) for batch in batches for row, last in zip(batch["inputs"], last_places(batch), strict=True))
    ends = [row[last] for row, last in rows]
    assert set(ends) == {ids.suffix[0]}, "and [SEP] behind it, also where it is cut"

    config = dataclasses.replace(
        published.config,
        head="classes",
        head_bias=False,
        num_classes=len(corpus.classes),
        dropout=0.0,
        scan_layers=False,
    )
    optimizer = make_optimizer(
        OptimizerConfig("adamw", RATE, "constant", 0, 0.0, 0.0, DECAY, 0.9, 0.999, 1e-8, 0.0), STEPS
    )
    mesh = make_mesh(MeshConfig(1, 1, 1))
    state = init_state(config, optimizer, 0, jax.tree.map(np.asarray, read_params(published)))
    head = {name: np.array(leaf) for name, leaf in by_path(state.params).items() if name.startswith("head/")}
    theirs = Theirs(bert, head["head/classes/kernel"], head["head/classes/bias"]).train()
    decayed = [parameter for parameter in theirs.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in theirs.parameters() if parameter.ndim == 1]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), eps=1e-8)

    step, ours, references = jax.jit(make_train_step(config, TASKS[task], LOSS, optimizer, 1, mesh)), [], []
    for batch in batches:
        state, metrics = step(state, put_batch(mesh, batch, ROWS))
        ours.append(float(metrics["loss"]))
        loss = theirs(batch)
        adamw.zero_grad()
        loss.backward()
        adamw.step()
        references.append(loss.item())
    np.testing.assert_allclose(ours, references, rtol=1e-4, atol=1e-4)
    assert references[-1] < 0.8 * references[0], "and it learns"
