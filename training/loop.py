"""The loop: batches in, steps, evaluations, checkpoints and reports out."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress

import jax

from common.errors import UserError, require
from data.batches import TrainBatches
from data.config import ON_END
from data.corpus import Corpus, mixture
from model import TransformerConfig
from tasks import TASKS
from training.activations import make_activation_step
from training.base_weights import BaseWeights
from training.checkpoints import Checkpoints
from training.config import RunConfig
from training.description import describe
from training.display import Display
from training.distributed import largest_of_all
from training.evaluation import make_evaluator
from training.figures import check_metric, more_is_better, tell
from training.hardware import peak_flops
from training.init_from import read_init
from training.metrics_writer import MetricsWriter
from training.model_size import flops_per_token, untrained
from training.monitor import Monitor
from training.optimizer import make_optimizer, make_schedule
from training.plot import plot_losses
from training.prefetch import prefetch
from training.reference import add_reference
from training.rows import pack_rows
from training.run_folder import RunFolder
from training.sharding import batch_divisor, local_rows, make_mesh, put_batch, replicated
from training.signals import StopSignal
from training.step import (
    Params,
    TrainState,
    abstract_state,
    compile_train_step,
    init_state,
    make_train_step,
    shardings_of,
)
from training.trace import StepTrace
from training.word_embedding import read_token_embedding


class Trainer:
    """One run: `Trainer(...)` checks and prepares it, `train` carries it out."""

    def __init__(
        self,
        config: RunConfig,
        corpus: Corpus,
        folder: RunFolder,
        display: Display,
        write_samples: Callable[[Params], Sequence[str]],
        profile: bool = False,
    ):
        """`write_samples` turns parameters into texts, shown at each evaluation; `profile`: a few steps are traced.

        Raises:
            ConfigError: the network has no head, or the mesh cannot be made here, or does not divide the model or the batch,
                or no validation reports `training.best_metric`.
            ConfigError, UserError: of a new run, `training.word_vectors` cannot be read, or has another width.
        """
        self.config, self.folder = config, folder
        self.display, self.write_samples, self.profile = display, write_samples, profile
        training = config.training
        require(config.model.head != "none", "model.head='none' gives no logits to train on; set linear or transform")
        self.mesh = make_mesh(config.mesh)
        parts = training.microbatches * batch_divisor(self.mesh)
        require(
            training.batch_size % parts == 0,
            f"training.batch_size={training.batch_size} must be a multiple of {parts}: training.microbatches="
            f"{training.microbatches} times the {batch_divisor(self.mesh)} devices along mesh.data and mesh.fsdp",
        )
        self.microbatch = training.batch_size // training.microbatches  # rows that memory is meant for at once
        self._take(corpus)
        if not ON_END[config.data.on_end]:
            training = dataclasses.replace(training, num_steps=self._steps_of_one_epoch())
        training = training.in_steps(self.batches.steps_per_epoch)
        self.config = config = dataclasses.replace(config, training=training)
        self.optimizer = make_optimizer(config.optimizer, training.num_steps)
        self.base = BaseWeights(config, folder, self.mesh, display.say, corpus.classes)
        state = (config.model, self.optimizer, config.seed, self.mesh, config.lora, self.base.abstract)
        self.abstract = abstract_state(*state, training.ema_decay)
        self.activations = jax.jit(make_activation_step(config.model, self.mesh), out_shardings=replicated(self.mesh))
        check_metric(training.best_metric, self.evaluate.figures)
        self.checkpoints = Checkpoints(folder.checkpoints, training.keep_checkpoints, best_metric=training.best_metric)
        self.peak_flops, self.peak_flops_source = peak_flops()
        path, self.token_embedding = training.word_vectors, None
        require(
            not (path and folder.is_untrained()),
            f"training.word_vectors={path!r} is for a network that begins anew, and these weights are given",
        )
        if path and not self.checkpoints.steps():
            self.token_embedding = read_token_embedding(path, config.model, corpus.tokenizer, config.seed, display.say)

    def train(self) -> int:
        """Trains from the newest checkpoint, or from the start, to the end or to a signal. Returns the exit status.

        Raises:
            UserError: the loss is not finite, or a checkpoint cannot be read or written.
        """
        num_steps = self.config.training.num_steps
        if TASKS[self.config.task].has_reference:
            reference = self.config, self.corpus, self.folder, self.mesh, self.microbatch
            self._take(add_reference(*reference, self.display.say))
        state = self.checkpoints.restore(self.abstract, self.display.warn, self.init) or self.init()
        start = int(state.step)
        if self.base.values:
            with self._saving():
                self.base.keep()
        for line in describe(self):
            self.display.say(line)
        if start:
            self.display.say(f"resuming at step {start} of {num_steps}")
        if start < num_steps and not self._has_stalled(start):
            with self._reports(start) as (writer, monitor):
                state, signal_number = self._loop(state, start, writer, monitor)
            if signal_number:
                self.display.say(f"saved step {int(state.step)}; run the same command again to resume")
                return 128 + signal_number
        if jax.process_index() == 0 and (start < num_steps or not self.folder.loss_plot.exists()):
            with self._writing():
                plot_losses(self.folder.metrics, self.folder.loss_plot, title=self.folder.path.name)
        end, best = int(state.step), self.checkpoints.best_step()
        metric = self.config.training.best_metric
        by = "" if metric == "loss" else f" by {metric}"
        self.display.say(
            f"done: {self.folder.path} (newest step {end}, best step {best}{by}, {self.epochs(end)}, curve in loss.png)"
        )
        samples = self.write_samples(self.base.merged(state.outcome))
        if jax.process_index() == 0:
            for sample in samples:
                print(sample, end="\n\n")
        return 0

    def _take(self, corpus: Corpus) -> None:
        """Makes batches to train on and to validate of a corpus."""
        config, size = self.config, self.config.training.batch_size
        texts, weights = mixture(config.data, corpus)
        packed, prepare = pack_rows(config, corpus.tokenizer, texts)
        self.corpus, self.batches = corpus, TrainBatches(packed, size, config.seed, prepare, weights)
        self.evaluate = make_evaluator(
            config, corpus.valid, corpus.tokenizer, self.mesh, self.microbatch, corpus.classes
        )

    def init(self) -> TrainState:
        """The state of a new run: at random, but for what is given to start from."""
        config, given, shardings = self.config, {}, shardings_of(self.abstract)
        if config.init_from and not config.lora.rank:
            given = read_init(config.init_from, config.model, config.mesh, self.display.say, self.corpus.classes)
        elif self.token_embedding is not None:
            table, place = self.token_embedding, shardings.params["token_embedding"]["embedding"]
            given = {
                "token_embedding": {"embedding": jax.make_array_from_callback(table.shape, place, table.__getitem__)}
            }

        def init(given: Params) -> TrainState:
            kinds = config.lora, self.base.abstract, config.training.ema_decay
            return init_state(config.model, self.optimizer, config.seed, given, *kinds)

        return jax.jit(init, out_shardings=shardings)(given)

    def compile(self, model: TransformerConfig, microbatches: int) -> jax.stages.Compiled:
        """The step of the run; or, for a forecast, the same with another `remat` in its model, or cut otherwise."""
        config, training = self.config, self.config.training
        step = make_train_step(
            model,
            TASKS[config.task],
            config.loss,
            self.optimizer,
            microbatches,
            self.mesh,
            training.layer_norms,
            config.lora,
            training.ema_decay,
            config.optimizer.skip_above,
        )
        return compile_train_step(step, self.abstract, self.batch(0, training.batch_size), self.base.abstract)

    def _loop(
        self, state: TrainState, start: int, writer: MetricsWriter, monitor: Monitor
    ) -> tuple[TrainState, int | None]:
        """Steps until the end or a signal; the last state, saved, and the signal's number."""
        training = self.config.training
        steps = range(start, training.num_steps)
        trace = StepTrace(self.folder.path / "profile" if self.profile else None, start)
        with (
            StopSignal() as stop,
            prefetch(lambda step: self.batch(step, training.batch_size), steps) as batches,
            trace,
        ):
            began = time.perf_counter()
            step_function = self.compile(self.config.model, training.microbatches)
            self.display.say(f"compiled in {time.perf_counter() - began:.1f} s")
            self.display.start(start, training.num_steps)
            monitor.start()
            for step, batch in enumerate(batches, start + 1):
                state, metrics = trace(step, step_function, state, batch, self.base.values)
                if training.activations_every and step % training.activations_every == 0:
                    rows = self.batch(step - 1, self.microbatch)
                    metrics |= self.activations(self.base.merged(state.params), rows)
                monitor.add(step, metrics)
                last = step == training.num_steps
                figures = None
                if last or step % training.eval_every == 0:
                    with monitor.paused():
                        figures = self._evaluate(state, writer, monitor)
                    monitor.validated(figures["loss"])
                stopped = self._signal(stop, step)
                if last or stopped or figures is not None or step % training.checkpoint_every == 0:
                    with monitor.paused():
                        self._save(state, figures, monitor)
                if stopped or (figures is not None and self._has_stalled(step)):
                    break
            with self._saving():
                self.checkpoints.wait()
        return state, stopped

    def _signal(self, stop: StopSignal, step: int) -> int | None:
        """The number of the signal that one of the processes got; where there are many they agree at steps that are logged."""
        if jax.process_count() == 1:
            return stop.number
        asked = step % self.config.training.log_every == 0 or step == self.config.training.num_steps
        return largest_of_all(stop.number or 0) or None if asked else None

    def _has_stalled(self, step: int) -> bool:
        """Whether no validation has been the best, by `training.best_metric`, for `training.patience` of them. Says so."""
        training = self.config.training
        if not training.patience:
            return False
        with self._saving():
            self.checkpoints.wait()  # so that the best is known
        best = self.checkpoints.best_step()
        stalled = best is not None and step - best >= training.patience * training.eval_every
        if stalled:
            name = training.best_metric
            which = "highest" if more_is_better(name) else "lowest"
            self.display.say(f"stopped early: the validation {name} of step {best} is the {which} so far")
        return stalled

    def _save(self, state: TrainState, figures: dict[str, float] | None, monitor: Monitor) -> None:
        """Starts to save `state`, whose parameters must give a finite loss: on some of the next rows, if none is known."""
        if figures is None or state.average:
            step = int(state.step)
            loss = self.evaluate.batch_loss(self.base.merged(state.params), self.batch(step, self.microbatch))
            monitor.require_finite(step, {"loss of the next step": loss})
        with self._saving():
            self.checkpoints.save(state, figures)

    def batch(self, step: int, size: int) -> dict[str, jax.Array]:
        """The first `size` rows of the batch of `step`, over the mesh."""
        return put_batch(self.mesh, self.batches(step, local_rows(self.mesh, size)), size)

    def _evaluate(self, state: TrainState, writer: MetricsWriter, monitor: Monitor) -> dict[str, float]:
        """Measures and reports the figures of a validation of `state`, by name, and shows samples."""
        step, weights = int(state.step), self.base.merged(state.outcome)
        values = self.evaluate(weights)
        monitor.require_finite(step, {"validation loss": values["loss"]})
        writer.write(step, "valid", values)
        self.display.say(f"validation at step {step}: {tell(values)}")
        samples = self.write_samples(weights)
        writer.write_samples(step, samples)
        if step < self.config.training.num_steps:  # the last ones are printed at the end
            for sample in samples:
                self.display.say("    " + sample.replace("\n", "\n    "))
        return values

    @contextmanager
    def _saving(self):
        """Turns whatever goes wrong while a checkpoint is written (a full disk, say) into one line."""
        try:
            yield
        except Exception as error:  # Orbax writes in threads and wraps what they raise in many ways
            reason = str(error).split("\n")[0][-200:]  # TensorStore comes to the point at the end
            raise UserError(
                f"cannot write a checkpoint in {self.folder.path} ({reason}); {self._last_checkpoint()}"
            ) from error

    def _last_checkpoint(self) -> str:
        with suppress(Exception):  # one that is being written counts once it is whole
            self.checkpoints.wait()
        steps = self.checkpoints.steps()
        return f"the last good checkpoint is step {steps[-1]}" if steps else "there is no checkpoint yet"

    @contextmanager
    def _reports(self, start: int):
        """The writer and the monitor of this attempt, closed whatever happens."""
        training = self.config.training
        with self._writing():
            writer = MetricsWriter(self.folder.metrics, start, training.tensorboard, training.wandb_project)
            monitor = Monitor(
                self.display,
                writer,
                make_schedule(self.config.optimizer, training.num_steps),
                start,
                training.num_steps,
                training.log_every,
                self.flops_per_token() / (self.peak_flops * self.mesh.size),
                self._last_checkpoint,
                self.config.optimizer.skip_above,
            )
            try:
                yield writer, monitor
            finally:
                self.display.stop()
                writer.close()

    @contextmanager
    def _writing(self):
        """Turns a measurement that cannot be written (a full disk, say) into one line."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"cannot write in {self.folder.path} ({reason}); {self._last_checkpoint()}") from error

    def flops_per_token(self) -> float:
        """Floating-point operations to train on a token of a full row."""
        lengths = {name: array.shape[-1] for name, array in self.batches(0, slice(1)).items()}
        source_length, fixed = lengths.get("encoder_inputs", 0), untrained(self.base.abstract, self.abstract.params)
        return flops_per_token(self.config.model, self.base.shapes, lengths["inputs"], source_length, fixed)

    def epochs(self, steps: int) -> str:
        """How often the run sees its text in so many steps, or the text of each source where these have weights."""
        epochs = self.batches.epochs(steps)
        if len(epochs) == 1:
            return f"{epochs[0]:.1f} epochs"
        return "epochs of " + ", ".join(
            f"{source}: {number:.1f}" for source, number in zip(self.corpus.train, epochs, strict=True)
        )

    def _steps_of_one_epoch(self) -> int:
        """How long the run is if no row is to be seen twice."""
        steps = self.batches.steps_of_one_epoch(self.config.training.num_steps)
        if steps == 0:
            raise UserError(
                f"data.on_end='stop': a source has fewer rows than a batch takes of it; lower training.batch_size="
                f"{self.batches.batch_size}, or set data.on_end=repeat"
            )
        return steps
