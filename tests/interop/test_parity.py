"""Every family against transformers: layers, logits, loss, gradients, and the same tensors there and back."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from interop.layout import views
from interop.parity import MOST, compare, differ, load_reference, run_ours, run_reference
from interop.weights import family_of, look_through, published_tensors, read_params
from interop.writer import write_published
from model import Tokens, Transformer
from model.parameters import by_path
from tasks import LossConfig
from tasks.cross_entropy import cross_entropy
from tests.interop.reference import BERT, MODELS, T5, make, required

torch, transformers = required("torch"), required("transformers")
pytestmark = pytest.mark.parity

LENGTHS = np.array([13, 9, 4])
IDS = np.random.default_rng(0).integers(3, 99, (3, 13)).astype(np.int32) * (np.arange(13) < LENGTHS[:, None])
IDS = IDS.astype(np.int32)


@pytest.fixture(params=MODELS)
def saved(request, tmp_path):
    """A model of transformers, and ours of the folder that it was saved to."""
    network = make(request.param)
    network.save_pretrained(tmp_path / "theirs")
    published = look_through(tmp_path / "theirs")
    return network, published, read_params(published), tmp_path


def test_layers_and_logits(saved):
    network, published, params, _ = saved
    ours = run_ours(params, published.config, IDS, LENGTHS)
    theirs = run_reference(network, published.config, IDS, LENGTHS)
    differences = list(differ(ours, theirs, LENGTHS, published.config))
    assert max(difference.relative for difference in differences) < MOST, differences
    assert all(difference.same_argmax is not False for difference in differences)
    names = {difference.name for difference in differences}
    assert "last hidden" in names and (published.config.head == "none") != ("logits" in names)
    assert len(names) >= published.config.num_layers + 1


def test_loss_and_gradients(saved):
    network, published, params, _ = saved
    config = published.config
    if config.head == "none":
        return  # and so no loss
    weights = (np.arange(13) < LENGTHS[:, None]).astype(np.float32)
    inputs, targets = IDS, IDS
    if config.network == "decoder":
        inputs, targets, weights = IDS[:, :-1], IDS[:, 1:], weights[:, 1:]
    places = jnp.broadcast_to(jnp.arange(inputs.shape[1]), inputs.shape)
    both = config.network == "encoder-decoder"
    segments = (places < LENGTHS[:, None]).astype(jnp.int32)

    def loss(params):
        decoded = jnp.pad(inputs, ((0, 0), (1, 0)))[:, :-1] if both else inputs
        # T5's class lets the decoder see all that stands before, and the loss counts no padding.
        tokens = Tokens(decoded, places, jnp.ones_like(segments) if both else segments)
        source = Tokens(inputs, places, segments) if both else None
        logits = Transformer(config).apply({"params": params}, tokens, source).logits_BTV
        losses, _ = cross_entropy(logits, jnp.asarray(targets), jnp.asarray(weights), LossConfig(0.0, 0.0, 0.0, 0.0))
        return losses.sum() / weights.sum()

    value, gradients = jax.value_and_grad(loss)(jax.tree.map(jnp.asarray, params))
    labels = torch.tensor(np.where(np.arange(13) < LENGTHS[:, None], IDS, -100)).long()
    mask = torch.tensor(np.arange(13) < LENGTHS[:, None]).long()
    reference = network(input_ids=torch.tensor(IDS).long(), attention_mask=mask, labels=labels).loss
    assert float(value) == pytest.approx(reference.item(), rel=MOST)

    reference.backward()
    of_theirs = dict(network.named_parameters())
    parts = views(published.family.rows(config), {path: np.array(leaf) for path, leaf in by_path(gradients).items()})
    compared = 0
    for name, pieces in parts.items():
        if name in of_theirs and of_theirs[name].grad is not None:
            theirs, ours = of_theirs[name].grad.numpy(), np.concatenate(pieces, axis=-1)
            # Of the keys' bias the gradient is 0 in theory: a shift of all scores is no change.
            assert np.abs(theirs - ours).max() <= MOST * np.abs(theirs).max() + 1e-7, name
            compared += 1
    assert compared >= len(parts) - 2


def test_the_same_tensors_there_and_back(saved):
    network, published, params, folder = saved
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    exported = dict(published_tensors(published.family, published.config, params))
    for name, array in exported.items():
        assert array.dtype == state[name].dtype and array.tobytes() == state[name].tobytes(), name
    (folder / "ours").mkdir()
    family = family_of(published.config, published.family.model_type)
    write_published(folder / "ours", family, published.config, params, {}, shard_size=20_000)
    assert len(list((folder / "ours").glob("*.safetensors"))) > 3
    again = load_reference(folder / "ours", params, published.config)
    with torch.no_grad():
        arguments = {"input_ids": torch.tensor(IDS).long(), "attention_mask": torch.tensor(IDS > 0).long()}
        if published.config.network == "encoder-decoder":
            arguments["decoder_input_ids"] = torch.tensor(IDS).long()
        first, second = network(**arguments)[0], again(**arguments)[0]
    assert torch.equal(first, second)


def test_one_number_changed_is_seen(tmp_path):
    """That the comparison can fail, and says in which layer."""
    network = make("llama")
    network.save_pretrained(tmp_path)
    published = look_through(tmp_path)
    params = read_params(published)
    params["decoder"]["blocks"]["mlp"]["up"]["kernel"][1, 0, 0] += 0.1
    differences = differ(
        run_ours(params, published.config, IDS, LENGTHS),
        run_reference(network, published.config, IDS, LENGTHS),
        LENGTHS,
        published.config,
    )
    assert [difference.relative > MOST for difference in differences] == [False, True, True, True, True]


@pytest.mark.parametrize("name", ["BertForPreTraining", "BertForSequenceClassification", "T5ForConditionalGeneration"])
def test_every_layer_is_compared_whatever_else_the_model_has(tmp_path, name, capfd):
    required("transformers")
    kind = "T5Config" if name.startswith("T5") else "BertConfig"
    fields = T5 if name.startswith("T5") else BERT
    getattr(transformers, name)(getattr(transformers, kind)(**fields)).save_pretrained(tmp_path)
    published = look_through(tmp_path)
    config = published.config
    capfd.readouterr()
    half = dataclasses.replace(config, dtype="bfloat16")  # as a run's is on an accelerator; float32 is what is compared
    said = [each.name for each in compare(tmp_path, read_params(published), half, None, lambda line: None)]
    layers = [f"encoder layer {layer}" for layer in range(1, config.encoder_layers + 1)]
    layers += [f"decoder layer {layer}" for layer in range(1, config.decoder_layers + 1)]
    assert said[: len(layers)] == layers and ("logits" in said) == (config.head != "none")
    assert capfd.readouterr().err == ""
