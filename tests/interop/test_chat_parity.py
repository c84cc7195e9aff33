"""Dialogues learned here and with transformers, from the same weights: the same losses, step by step."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data.batches import PackedRows, TrainBatches
from data.chat_template import DEFAULT_TEMPLATE, ChatTemplate, Message, tokens_and_marks
from data.encoded import document_sizes, join_pieces
from data.forms import FORMS, Example
from data.tokenizer import END_OF_TEXT
from generation.asking import prompt_of
from interop.export_tokenizer import export_tokenizer
from interop.weights import look_through, read_params
from tasks import TASKS, CorruptionConfig, LossConfig
from tests.data.test_messages import CHATML, DIALOGUE, OURS, options
from tests.interop.reference import GPT2, LLAMA, required
from training.sharding import MeshConfig, make_mesh
from training.step import TrainState, make_train_step

torch, transformers = required("torch"), required("transformers")
pytestmark = pytest.mark.parity

STEPS, LENGTH, RATE = 20, 48, 0.02
NETWORKS = {"gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2), "llama": ("LlamaForCausalLM", "LlamaConfig", LLAMA)}
SIZE = {"vocab_size": OURS.vocab_size, "num_hidden_layers": 2}
NO_DROPOUT = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0, "n_layer": 2}


@pytest.mark.parametrize("lines", [DEFAULT_TEMPLATE, CHATML])
def test_their_template_gives_the_same_tokens_and_marks(lines, tmp_path):
    template = ChatTemplate.parse(lines)
    for name, content in export_tokenizer(OURS, SimpleNamespace(network="decoder", max_length=64)).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "chat_template.jinja").write_text(template.as_jinja(END_OF_TEXT))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for messages in (DIALOGUE, DIALOGUE[1:], [*DIALOGUE[:2], Message("assistant", ' "a" {b} \\n\n')]):
        tokens, marks = tokens_and_marks(template.encode([messages], OURS)[0])
        plain = [message._asdict() for message in messages]
        found = theirs.apply_chat_template(plain, return_dict=True, return_assistant_tokens_mask=True)
        assert found["input_ids"] == [OURS.end_of_text, *tokens]
        assert found["assistant_masks"] == [0, *marks]
        asked = theirs.apply_chat_template(plain[:-1], add_generation_prompt=True, return_dict=True)
        (turns,) = template.encode([messages[:-1]], OURS)
        assert asked["input_ids"] == prompt_of(turns, "", template, OURS).tokens


def dialogues(count):
    """Of one to three questions, some with a system's turn."""
    draw = np.random.default_rng(0)
    for number in range(count):
        system = [Message("system", "Be kind.")] * (number % 2)
        words = draw.choice(["hello", "你好", "bye, you", "再见！"], draw.integers(1, 4))
        yield [*system, *(turn for word in words for turn in (Message("user", word), Message("assistant", word[::-1])))]


def batches():
    """A dialogue a row, so that no other is before it."""
    examples = [Example("unused", "unused", None, {"messages": tuple(each)}, "here") for each in dialogues(40)]
    pieces = FORMS["messages"].encode(examples, OURS, (), options(length=LENGTH))
    text = join_pieces(pieces.tokens, document_sizes(["unused"] * 40), OURS, marks=pieces.marks)
    packed = PackedRows.pack([text], LENGTH, "pad")
    prepare = TASKS["chat"].prepare(packed, OURS, CorruptionConfig(), "decoder")
    return TrainBatches(packed, 4, 0, prepare)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_losses(name, tmp_path):
    class_name, config_name, fields = NETWORKS[name]
    torch.manual_seed(0)
    fields = fields | SIZE | (NO_DROPOUT if name == "gpt2" else {})
    network = getattr(transformers, class_name)(getattr(transformers, config_name)(**fields))
    network.set_attn_implementation("eager")
    network.save_pretrained(tmp_path)
    published = look_through(tmp_path)
    config = dataclasses.replace(published.config, dropout=0.0, dtype="float32")
    params, optimizer = jax.tree.map(jnp.asarray, read_params(published)), optax.sgd(RATE)
    state = TrainState(jnp.int32(0), params, optimizer.init(params), jax.random.key_data(jax.random.key(0)))
    no_extras = LossConfig(0.0, 0.0, 0.0, 0.0)
    mesh = make_mesh(MeshConfig(1, 1, 1))
    step = jax.jit(make_train_step(config, TASKS["chat"], no_extras, optimizer, 1, mesh))
    theirs = torch.optim.SGD(network.parameters(), lr=RATE)
    ours_and_theirs = []
    for number in range(STEPS):
        batch = batches()(number)
        state, metrics = step(state, batch)
        # Theirs shifts by itself: the labels stand where the inputs are, -100 off the assistant's turns.
        lengths = (batch["segment_ids"] > 0).sum(-1)
        ids = np.concatenate([batch["inputs"], np.zeros((4, 1), np.int32)], -1)
        ids[np.arange(4), lengths] = OURS.end_of_text
        labels = np.full(ids.shape, -100)
        labels[:, 1:] = np.where(batch["weights"] > 0, batch["targets"], -100)
        mask = np.arange(LENGTH + 1) <= lengths[:, None]
        theirs.zero_grad()
        loss = network(
            input_ids=torch.tensor(ids).long(), attention_mask=torch.tensor(mask).long(), labels=torch.tensor(labels)
        ).loss
        loss.backward()
        theirs.step()
        ours_and_theirs.append((float(metrics["loss"]), loss.item()))
    ours, theirs_too = np.array(ours_and_theirs).T
    assert np.abs(ours - theirs_too).max() < 1e-4, ours_and_theirs
    assert ours[-5:].mean() < ours[:5].mean() - 0.1, "something was learned"
