"""Many processes, each with its devices, as one run: https://docs.jax.dev/en/latest/multi_process.html."""

import re

import jax
import numpy as np
from jax.experimental import multihost_utils

from common.errors import UserError, require

DETECT = "detect"
WAIT = 300  # seconds that a process waits for the others to come


def join_processes(text: str) -> None:
    """Joins the other processes of a run; called by all of them, before JAX looks for devices.

    Args:
        text: "detect", for what Slurm, Open MPI, GKE or a TPU pod tell each process; or "ADDRESS:PORT,COUNT,NUMBER": where
            process 0 listens, how many processes there are, and which of them this is.

    Raises:
        ConfigError: it is neither.
        UserError: nothing is detected, or the others do not come.
    """
    place = {}
    if text != DETECT:
        match = re.fullmatch(r"(.+:\d+),(\d+),(\d+)", text)
        require(
            match is not None and int(match[3]) < int(match[2]),
            f"--distributed={text!r} is not ADDRESS:PORT,COUNT,NUMBER with a NUMBER from 0 to COUNT - 1, such as "
            "10.0.0.1:1234,8,0; nothing after it means: as the cluster says",
        )
        place = {"coordinator_address": match[1], "num_processes": int(match[2]), "process_id": int(match[3])}
    try:
        jax.distributed.initialize(**place, initialization_timeout=WAIT)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"--distributed: the processes do not find each other ({reason}); start them by Slurm, Open MPI, on GKE or a TPU "
            "pod, or give each --distributed=ADDRESS:PORT,COUNT,NUMBER"
        ) from error


def largest_of_all(value: int) -> int:
    """The largest of what the processes call it with; waits until all have."""
    return int(multihost_utils.process_allgather(np.int32(value)).max())
