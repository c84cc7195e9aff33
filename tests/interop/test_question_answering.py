"""A small BERT with a span head, trained by transformers and by our step on the same batches: the same losses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data.batches import PackedRows
from data.encoded import join_pieces
from data.forms.answers import cut_windows
from data.hf_tokenizer import HfTokenizer, from_word_pieces
from interop.weights import look_through, read_params
from model import TransformerConfig
from tasks import TASKS, CorruptionConfig, LossConfig
from tests.interop.reference import BERT, required
from training.sharding import MeshConfig, make_mesh
from training.step import TrainState, make_train_step

torch, transformers = required("torch"), required("transformers")
pytestmark = pytest.mark.parity

STEPS, ROWS, LENGTH = 20, 4, 16
WORDS = ("the", "cat", "dog", "bird", "sees", "hears", "likes", "big", "small", "red", "house", "where", "?")
NAMES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)


def windows(tokenizer):
    """Rows that are full, since transformers' loss counts padding as places too; some have no answer."""
    draw = np.random.default_rng(0)
    for _ in range(STEPS * ROWS):
        words = draw.choice(WORDS[:-2], 11).tolist()
        answer = draw.choice(words) if draw.random() < 0.8 else None
        values = {"context": " ".join(words), "question": "where ?", "answers": [answer] if answer else []}
        values["starts"] = [values["context"].find(answer)] if answer else []
        (window,), _ = cut_windows(values, tokenizer, LENGTH, None)
        assert len(window.tokens) == LENGTH - 1
        yield window


def test_twenty_steps_give_the_losses_of_transformers(tmp_path):
    tokenizer = HfTokenizer({"tokenizer.json": from_word_pieces("\n".join(NAMES).encode(), {})})
    torch.manual_seed(0)
    fields = BERT | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.2}
    network = transformers.BertForQuestionAnswering(transformers.BertConfig(**fields))
    network.set_attn_implementation("eager")
    network.bert.save_pretrained(tmp_path)
    published = look_through(tmp_path)
    config = TransformerConfig(**vars(published.config) | {"head": "classes", "num_classes": 2, "dropout": 0.0})
    params = read_params(published)
    head = {name: each.detach().numpy() for name, each in network.qa_outputs.named_parameters()}
    params["head"] = {"classes": {"kernel": head["weight"].T.copy(), "bias": head["bias"].copy()}}

    cut = list(windows(tokenizer))
    text = join_pieces(
        [each.tokens for each in cut], np.ones(len(cut), int), tokenizer, marks=[each.marks for each in cut]
    )
    packed = PackedRows.pack([text], LENGTH, "pad")
    task = TASKS["question_answering"]
    prepare = task.prepare(packed, tokenizer, CorruptionConfig(), "encoder")
    rows = [prepare(packed.row(index), None) for index in range(len(packed))]
    batches = [
        {name: np.stack([row[name] for row in rows[start : start + ROWS]]) for name in rows[0]}
        for start in range(0, len(rows), ROWS)
    ]

    optimizer = optax.adam(1e-3)
    step = jax.jit(
        make_train_step(config, task, LossConfig(0.0, 0.0, 0.0, 0.0), optimizer, 2, make_mesh(MeshConfig(1, 1, 1)))
    )
    params = jax.tree.map(jnp.asarray, params)
    state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), jax.random.key_data(jax.random.key(0)))
    ours = []
    with jax.default_matmul_precision("highest"):
        for batch in batches:
            state, metrics = step(state, batch)
            ours.append(float(metrics["loss"]))

    network.train()
    theirs, adam = [], torch.optim.Adam(network.parameters(), lr=1e-3)
    for batch in batches:
        starts, ends = (torch.tensor(((batch["targets"] & side) > 0).argmax(1)) for side in (1, 2))
        loss = network(
            input_ids=torch.tensor(batch["inputs"]).long(),
            token_type_ids=torch.tensor(batch["types"]).long(),
            start_positions=starts,
            end_positions=ends,
        ).loss
        adam.zero_grad()
        loss.backward()
        adam.step()
        theirs.append(loss.item())
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert theirs[-1] < theirs[0] and len(theirs) == STEPS
    assert (np.stack([batch["types"] for batch in batches]) == 1).any(), "both token types are in use"
