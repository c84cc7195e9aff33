"""A run of skip-gram: batches in, steps, checkpoints and reports out; and the word vectors of a run's folder."""

import dataclasses
import functools
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np

from common.errors import UserError, require
from data.word_text import VOCABULARY, PairBatches, WordText
from data.word_vectors import WordVectors, read_word_vectors
from training.checkpoints import Checkpoints
from training.config import RunConfig
from training.display import Display
from training.hardware import describe_devices, peak_flops
from training.metrics_writer import MetricsWriter
from training.monitor import Monitor
from training.optimizer import make_optimizer, make_schedule
from training.run_folder import RunFolder
from training.sharding import MeshConfig, batch_divisor, local_rows, make_mesh, put_batch
from training.signals import StopSignal
from training.skip_gram import init_skip_gram, make_skip_gram_step
from training.step import TrainState, lay_out, shardings_of


class WordTrainer:
    """One run: `WordTrainer(...)` checks and prepares it, `train` carries it out."""

    def __init__(self, config: RunConfig, text: WordText, folder: RunFolder, display: Display):
        """Of `config` it reads seed, model.embed_dim, words, optimizer, training and mesh.

        Raises:
            ConfigError: the mesh cannot be made here, or does not divide the vectors or the batch.
        """
        require(
            not config.training.ema_decay,
            "training.ema_decay is for networks, and word vectors are not averaged; set 0",
        )
        self.text, self.folder, self.display = text, folder, display
        self.mesh = make_mesh(config.mesh)
        self.batch_size, parts = config.training.batch_size, batch_divisor(self.mesh)
        require(
            self.batch_size % parts == 0,
            f"training.batch_size={self.batch_size} must be a multiple of the {parts} devices along mesh.data and mesh.fsdp",
        )
        self.batches = PairBatches(text, config.words, self.batch_size, config.seed)
        training = config.training.in_steps(self.batches.steps_per_epoch)
        self.config = config = dataclasses.replace(config, training=training)
        self.optimizer = make_optimizer(config.optimizer, config.training.num_steps)
        self.init, self.abstract = abstract_skip_gram(config, len(text.words), self.mesh)
        self.checkpoints = Checkpoints(folder.checkpoints, config.training.keep_checkpoints)

    def train(self) -> int:
        """Trains from the newest checkpoint, or from the start, to the end or to a signal. Returns the exit status.

        Raises:
            UserError: the loss is not finite, or a checkpoint or a measurement cannot be read or written.
        """
        num_steps, say = self.config.training.num_steps, self.display.say
        state = self.checkpoints.restore(self.abstract, self.display.warn)
        if state is None:
            state = jax.jit(self.init, out_shardings=shardings_of(self.abstract))()
        start = int(state.step)
        num_words, width, num_pairs = len(self.text.words), self.config.model.embed_dim, num_steps * self.batch_size
        epochs = num_steps / self.batches.steps_per_epoch
        say(f"devices: {describe_devices()}; {num_words:,} words, vectors of {width} numbers")
        say(
            f"text: {len(self.text.ids):,} words; run: {num_steps:,} steps, {num_pairs:,} pairs (tokens), {epochs:.1f} epochs"
        )
        if start:
            say(f"resuming at step {start} of {num_steps}")
        if start < num_steps:
            state, signal_number = self._loop(state, start)
            if signal_number:
                say(f"saved step {int(state.step)}; run the same command again to resume")
                return 128 + signal_number
        say(f"done: {self.folder.path}")
        vectors = WordVectors(self.text.words, np.asarray(state.params["word_embedding"]["embedding"]))
        if jax.process_index() == 0:
            for word in self.config.training.sample_prompts:
                if word in vectors.places:
                    print(describe_nearest(vectors, word))
        return 0

    def _loop(self, state: TrainState, start: int) -> tuple[TrainState, int | None]:
        """Steps until the end or a signal; the last state, saved, and the signal's number."""
        training = self.config.training
        step_function = jax.jit(
            make_skip_gram_step(self.optimizer), donate_argnums=0, out_shardings=(shardings_of(self.abstract), None)
        )
        with StopSignal() as stop, self._reports(start) as monitor:
            for step in range(start + 1, training.num_steps + 1):
                rows = local_rows(self.mesh, self.batch_size)
                batch = put_batch(self.mesh, self.batches(step - 1, rows), self.batch_size)
                state, metrics = step_function(state, batch)
                monitor.add(step, metrics)
                last, stopped = step == training.num_steps, stop.number is not None
                if last or stopped or step % training.checkpoint_every == 0:
                    with monitor.paused():
                        self._save(state)
                if stopped:
                    break
        return state, stop.number

    def _save(self, state: TrainState) -> None:
        try:
            self.checkpoints.save(state, None)
            self.checkpoints.wait()
        except Exception as error:  # Orbax writes in threads and wraps what they raise in many ways
            raise UserError(f"cannot write a checkpoint in {self.folder.path} ({str(error)[-200:]})") from error

    @contextmanager
    def _reports(self, start: int):
        """The monitor of this attempt; it and its file are closed whatever happens."""
        training, pair = self.config.training, 6 * self.config.model.embed_dim * (1 + self.config.words.negatives)
        writer = MetricsWriter(self.folder.metrics, start, training.tensorboard, training.wandb_project)
        try:
            monitor = Monitor(
                self.display,
                writer,
                make_schedule(self.config.optimizer, training.num_steps),
                start,
                training.num_steps,
                training.log_every,
                pair / (peak_flops()[0] * self.mesh.size),
                lambda: f"the checkpoints are those of the steps {self.checkpoints.steps()}",
            )
            self.display.start(start, training.num_steps)
            monitor.start()
            yield monitor
            monitor.flush()
        finally:
            self.display.stop()
            writer.close()


def abstract_skip_gram(config: RunConfig, num_words: int, mesh: jax.sharding.Mesh):
    """The function that makes the state of step 0, and that state's shapes, dtypes and shardings."""
    optimizer = make_optimizer(config.optimizer, config.training.num_steps)
    init = functools.partial(init_skip_gram, num_words, config.model.embed_dim, optimizer, config.seed)
    return init, lay_out(jax.eval_shape(init), mesh)


def load_word_vectors(path: str, say) -> WordVectors:
    """The word vectors of a run's folder (its newest good checkpoint), or of a file.

    Raises:
        UserError: it is neither, or cannot be read.
    """
    if Path(path).expanduser().is_file():
        return read_word_vectors(path)
    folder, step = RunFolder.find(path)
    try:
        lines = (folder.path / VOCABULARY).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path} is no run of word_vectors.py (it has no {VOCABULARY})") from error
    words = tuple(line.partition(" ")[0] for line in lines)
    _, abstract = abstract_skip_gram(folder.config(None), len(words), make_mesh(MeshConfig(1, 1, 1)))
    params, _ = Checkpoints(folder.checkpoints, read_only=True).restore_params(abstract.params, say, step)
    return WordVectors(words, np.asarray(params["word_embedding"]["embedding"]))


def describe_nearest(vectors: WordVectors, word: str, count: int = 10) -> str:
    """A line: the word, and those nearest to it with their cosines."""
    return f"{word}: " + ", ".join(f"{other} {cosine:.2f}" for other, cosine in vectors.nearest(word, count))
