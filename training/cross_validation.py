"""Cross-validation: a run for each part of the examples, and the mean and the spread of what they end with."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence

from common.errors import UserError, require
from common.files import to_json
from common.tables import plain
from training.metrics_writer import read_metrics
from training.run_folder import RunFolder

# (settings as "SECTION.KEY=VALUE", the run's folder) -> the exit status, as train.py trains a run.
TrainRun = Callable[[Sequence[str], RunFolder], int]


@dataclasses.dataclass(frozen=True)
class Folds:
    """What each run measured at its end, by the names of the figures; runs in their order."""

    figures: dict[str, list[float]]

    def mean(self, name: str) -> float:
        return statistics.fmean(self.figures[name])

    def deviation(self, name: str) -> float:
        """The standard deviation between runs, with n - 1."""
        values = self.figures[name]
        return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan

    def table(self) -> str:
        count = len(next(iter(self.figures.values())))
        titles = ("", "mean", "deviation", *(f"fold {number}" for number in range(1, count + 1)))
        rows = ([self.mean(name), self.deviation(name), *values] for name, values in self.figures.items())
        return plain(titles, ([name, *map("{:.4f}".format, row)] for name, row in zip(self.figures, rows, strict=True)))

    def json(self) -> str:
        """One object: of each figure its mean, standard deviation and what each fold has; null where one is infinite."""
        metrics = {
            name: {"mean": self.mean(name), "std": self.deviation(name), "folds": values}
            for name, values in self.figures.items()
        }
        return to_json({"folds": len(next(iter(self.figures.values()))), "metrics": metrics})


def cross_validate(folds: int, folder: RunFolder, train: TrainRun) -> tuple[int, Folds | None]:
    """Trains `fold-1` to `fold-K` in the folder, each from the same start; those that are done are left as they are.

    Returns:
        the exit status and, where that is 0, the figures.

    Raises:
        ConfigError: the folder is that of a run.
        UserError: a run has measured nothing.
    """
    require(
        not (folder.path / "config.json").exists(),
        f"--workdir: {folder.path} is a run's folder, and --folds makes one of many runs; give another",
    )
    measured = []
    for fold in range(1, folds + 1):
        run = RunFolder(folder.path / f"fold-{fold}")
        if status := train([f"data.folds={folds}", f"data.fold={fold}"], run):
            return status, None
        lines = [line for line in read_metrics(run.metrics) if line["split"] == "valid"]
        if not lines:
            raise UserError(f"{run.metrics} has no validation; move {run.path} away, and run the same line again")
        measured.append({name: value for name, value in lines[-1].items() if name not in ("step", "split")})
    names = [name for name in measured[0] if all(name in each for each in measured)]
    return 0, Folds({name: [math.nan if each[name] is None else each[name] for each in measured] for name in names})
