"""What is learned, as data: one record of functions for each objective."""

from tasks.causal_lm import CAUSAL_LM
from tasks.task import LossConfig, Task

TASKS: dict[str, Task] = {"causal_lm": CAUSAL_LM}

__all__ = ["TASKS", "LossConfig", "Task"]
