"""Checkpoints by Orbax: asynchronous, atomic, checked when they are read."""

import dataclasses
import itertools
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import orbax.checkpoint as ocp
from jax.experimental.multihost_utils import sync_global_devices
from orbax.checkpoint import checkpoint_managers

from common.command import Say
from common.errors import UserError
from model.parameters import by_path, nested
from training.average import begin_average
from training.checksums import checksums
from training.figures import more_is_better
from training.step import Params, TrainState

FILE_SIZE = 1 << 23  # bytes, about, of converted parameters: what goes to a file is in memory twice until it is full


class _Manager(ocp.CheckpointManager):
    """Orbax's, but for metrics that cannot be read, or lack the one that `best_metric` names, which count as none."""

    best_metric = "loss"

    def metrics(self, step: int) -> dict[str, float] | None:
        try:
            metrics = super().metrics(step)
        except (OSError, ValueError):
            return None
        return metrics if isinstance(metrics, dict) and isinstance(metrics.get(self.best_metric), float) else None


class Checkpoints:
    """The checkpoints of one run: `params` apart from the rest of the state, so that reading a model reads no more.

    Where a run averages its parameters, the average is in `params`, and what goes on to be trained is with the rest.
    """

    def __init__(self, folder: Path, keep: int = 1, read_only: bool = False, best_metric: str = "loss"):
        """Keeps the newest `keep` and the one whose validation was the best by this figure, the first of them if several were.

        Raises:
            ConfigError: it is not known whether more of this figure is better.
        """
        more, policies = more_is_better(best_metric), checkpoint_managers

        def cost(metrics: dict[str, float]) -> tuple[float, float]:
            value = metrics[best_metric]
            return -value if more else value, metrics.get("step", 0)

        best = policies.BestN(get_metric_fn=cost, reverse=True, n=1, keep_checkpoints_without_metrics=False)
        self.folder, self._best_metric = folder, best_metric
        self._manager = type("Manager", (_Manager,), {"best_metric": best_metric})(
            folder,
            options=ocp.CheckpointManagerOptions(
                best_fn=cost,  # without it no metric is written
                best_mode="min",
                preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(keep), best]),
                create=not read_only,
                read_only=read_only,
                cleanup_tmp_directories=not read_only,
            ),
            item_handlers={
                "params": ocp.PyTreeCheckpointHandler(),
                "state": ocp.PyTreeCheckpointHandler(),
                "checksums": ocp.JsonCheckpointHandler(),
            },
        )

    def steps(self) -> list[int]:
        """The steps that have a checkpoint on disk, oldest first."""
        self._manager.reload()
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """The step whose validation was the best among those kept, or None where none was validated."""
        return self._manager.best_step()

    def save(self, state: TrainState, figures: Mapping[str, float] | None) -> None:
        """Starts to write the state; returns as soon as it is copied, and the next save waits for the end of this one.

        `figures`: of its validation, by name, where it was validated; those that are no numbers are left out.
        What goes wrong while it is written is raised by the next save or by `wait`, as one of many kinds of exception.
        """
        self._save(int(state.step), _items(state), figures)

    def save_params(self, params: Params) -> None:
        """Starts to write parameters that were not trained here, in the dtype they have, as step 0."""
        self._save(0, {"params": params}, None, FILE_SIZE)

    def _save(self, step: int, items: dict, figures: Mapping[str, float] | None, file_size: int | None = None) -> None:
        finite = {name: float(value) for name, value in (figures or {}).items() if math.isfinite(value)}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                **{
                    name: ocp.args.PyTreeSave(item, ocdbt_target_data_file_size=file_size)
                    for name, item in items.items()
                },
                checksums=ocp.args.JsonSave({name: checksums(item) for name, item in items.items()}),
            ),
            metrics=finite | {"step": step} if self._best_metric in finite else None,
        )

    def wait(self) -> None:
        """Waits until what was saved is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()

    def restore(
        self, abstract: TrainState, say: Say, fresh: Callable[[], TrainState] | None = None
    ) -> TrainState | None:
        """The newest good state, in the shardings of `abstract`; None where there is no checkpoint.

        A checkpoint of parameters alone gets the rest from `fresh()`, the state of a new run. Checkpoints
        that are damaged are said and moved out of the way, to `damaged/` beside the folder.

        Raises:
            UserError: there are checkpoints, and none is good; the newest good one has other arrays than `abstract`; a
                file cannot be read now, though it may be good.
        """

        def read(step: int) -> TrainState:
            if fresh is not None and step == 0 and not (self.folder / "0" / "state").exists():
                params = self._read(step, "params", abstract.params, any_dtype=True)
                params = jax.tree.map(lambda x, a: x.astype(a.dtype), params, abstract.params)
                return dataclasses.replace(
                    fresh(), params=params, average=begin_average(params, bool(abstract.average))
                )
            return _state(**{item: self._read(step, item, arrays) for item, arrays in _items(abstract).items()})

        return self._newest_good(read, say, damaged=self.folder.parent / "damaged")

    def restore_params(self, abstract: Params, say: Say, step: int | None = None) -> tuple[Params, int]:
        """The parameters of `step`, or of the newest good checkpoint, in the dtype they are stored in, and the step.

        Raises:
            UserError: there is none; it has other arrays than `abstract`; a file cannot be read now.
        """

        def read(step: int) -> tuple[Params, int]:
            return self._read(step, "params", abstract, any_dtype=True), step

        found = self._newest_good(read, say, only=step)
        if found is None:
            raise UserError(f"{self.folder.parent} has no checkpoint yet; train it first")
        return found

    def stored_params(self, abstract: Params, say: Say, step: int | None = None) -> Params | None:
        """Those of abstract parameters that `step`, or the newest good checkpoint, holds, in the dtype they are stored in.

        No array is read. None where there is no checkpoint.
        """

        def read(step: int) -> Params:
            stored = by_path(self._stored(step, "params"))
            return nested(
                {
                    path: jax.ShapeDtypeStruct(leaf.shape, stored[path].dtype, sharding=leaf.sharding)
                    for path, leaf in by_path(abstract).items()
                    if path in stored
                }
            )

        return self._newest_good(read, say, only=step)

    def _newest_good(self, read, say, only: int | None = None, damaged: Path | None = None):
        bad: list[int] = []
        for step in reversed(self.steps()) if only is None else [only]:
            try:
                found = read(step)
            except UserError:
                raise
            except Exception as error:  # Orbax and TensorStore raise many kinds for a file that is not as it should be
                message = str(error).partition(". See full TensorStore details")[0]
                problem = f"{type(error).__name__}: {message}".split("\n")[0][:200]
                if _is_of_the_system(error):
                    path = self.folder / str(step)
                    raise UserError(f"{path} cannot be read now ({problem}); try again, or move it away") from error
                bad.append(step)
                if only is None:
                    say(f"the checkpoint of step {step} cannot be read ({problem}); trying the one before")
                continue
            if bad and damaged is not None:
                self._move(bad, damaged)
            return found
        if not bad:
            return None
        if only is not None:
            raise UserError(
                f"step {only} in {self.folder} cannot be read ({problem}); give the run's folder to take another"
            )
        raise UserError(
            f"no checkpoint in {self.folder} can be read (last problem: {problem}); bring back a copy, or give another "
            "--workdir=DIR"
        )

    def _move(self, steps: list[int], target: Path) -> None:
        """Moves checkpoints to `target`, beside what was moved there before."""
        if jax.process_index() == 0:
            target.mkdir(exist_ok=True)
            for step in steps:
                names = (
                    target / name
                    for name in itertools.chain([str(step)], map(f"{step}.{{}}".format, itertools.count(2)))
                )
                shutil.move(self.folder / str(step), next(name for name in names if not name.exists()))
        sync_global_devices("damaged checkpoints are moved")
        self._manager.reload()

    def _stored(self, step: int, item: str):
        """Orbax's record of the arrays of an item: their shapes and dtypes."""
        return ocp.PyTreeCheckpointHandler().metadata(self.folder / str(step) / item).tree

    def _read(self, step: int, item: str, abstract, any_dtype: bool = False):
        """`item` of the checkpoint of `step`, in the shapes, dtypes and shardings of `abstract`.

        With `any_dtype` arrays come in the dtype they are stored in, as converted weights may be in bfloat16.
        """
        arrays = self._stored(step, item)
        stored = _describe(arrays)
        if any_dtype and stored.keys() == _describe(abstract).keys():
            abstract = jax.tree.map(
                lambda leaf, array: jax.ShapeDtypeStruct(leaf.shape, array.dtype, sharding=leaf.sharding),
                abstract,
                arrays,
            )
        wanted = _describe(abstract)
        other = sorted(path for path in stored.keys() | wanted.keys() if stored.get(path) != wanted.get(path))
        if other:
            shown = "; ".join(f"{path}: {stored.get(path, 'none')} -> {wanted.get(path, 'none')}" for path in other[:3])
            raise UserError(
                f"the checkpoint of step {step} holds other arrays than this code makes of config.json ({shown}"
                f"{'; …' if len(other) > 3 else ''}); use the code that it was made with, or give another --workdir=DIR"
            )
        how = ocp.checkpoint_utils.construct_restore_args(abstract)
        args = {item: ocp.args.PyTreeRestore(abstract, restore_args=how), "checksums": ocp.args.JsonRestore()}
        restored = self._manager.restore(step, args=ocp.args.Composite(**args))
        expected, found = restored.checksums[item], checksums(restored[item])
        wrong = [path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path)]
        if wrong:
            raise ValueError(f"the checksum of {sorted(wrong)[0]} is wrong")
        return restored[item]


def _describe(tree) -> dict[str, str]:
    """What each array is, as `float32[4, 8]`, by path; of real or abstract arrays, or Orbax's record of them."""
    return {path: f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in by_path(tree).items()}


def _is_of_the_system(error: Exception) -> bool:
    """Whether it is the file system that fails, by its status in TensorStore, and not what the file holds."""
    if isinstance(error, OSError):
        return not isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
    return str(error).startswith(
        ("UNAVAILABLE", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "UNKNOWN")
    )


def _items(state: TrainState) -> dict[str, dict]:
    """A state in two parts: the parameters that others read, and what is of use to the run alone."""
    rest = {"step": state.step, "optimizer": state.optimizer, "key": state.key}
    return {"params": state.outcome, "state": rest | ({"params": state.params} if state.average else {})}


def _state(params: Params, state: dict) -> TrainState:
    """The opposite of `_items`."""
    return TrainState(average=params, **state) if "params" in state else TrainState(params=params, **state)
