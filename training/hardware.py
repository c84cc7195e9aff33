"""What the devices are and can do."""

import os
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp

GIB = 1 << 30


class Kind(NamedTuple):
    """What makers' data sheets say of one device.

    Attributes:
        flops: FLOP/s of dense products in `dtype`.
        memory: bytes.
        dtype: the smaller of bfloat16 and float32 that it multiplies fast.
    """

    flops: float
    memory: int
    dtype: str = "bfloat16"


# By the start of `device_kind`, longer names first. A device of TPU v2 and v3 is one of a chip's two cores.
KINDS = {
    "TPU v2": Kind(22.5e12, 8 * GIB),
    "TPU v3": Kind(61.5e12, 16 * GIB),
    "TPU v4": Kind(275e12, 32 * GIB),
    "TPU v5 lite": Kind(197e12, 16 * GIB),
    "TPU v5e": Kind(197e12, 16 * GIB),
    "TPU v5p": Kind(459e12, 95 * GIB),
    "TPU v5": Kind(459e12, 95 * GIB),
    "TPU v6": Kind(918e12, 32 * GIB),
    "NVIDIA H200 NVL": Kind(835e12, 141 * 10**9),
    "NVIDIA H200": Kind(989e12, 141 * 10**9),
    "NVIDIA H100 NVL": Kind(835e12, 94 * 10**9),
    "NVIDIA H100 PCIe": Kind(756e12, 80 * GIB),
    "NVIDIA H100": Kind(989e12, 80 * GIB),
    "NVIDIA A100-SXM4-80GB": Kind(312e12, 80 * GIB),
    "NVIDIA A100 80GB": Kind(312e12, 80 * GIB),
    "NVIDIA A100": Kind(312e12, 40 * GIB),
    "NVIDIA L40S": Kind(362e12, 48 * GIB),
    "NVIDIA L40": Kind(181e12, 48 * GIB),
    "NVIDIA L4": Kind(121e12, 24 * GIB),
    "Tesla T4": Kind(8.1e12, 16 * GIB, "float32"),
    "Tesla V100": Kind(15.7e12, 16 * GIB, "float32"),
}


def find_kind(name: str) -> Kind | None:
    """The row whose name `name` begins with."""
    return next((kind for start, kind in KINDS.items() if name.startswith(start)), None)


def default_dtype() -> str:
    """That of the device's kind; of kinds that are not known float32 on a CPU, bfloat16 elsewhere."""
    kind = find_kind(jax.devices()[0].device_kind)
    return kind.dtype if kind else "float32" if jax.default_backend() == "cpu" else "bfloat16"


def peak_flops() -> tuple[float, str]:
    """FLOP/s of one device, and where the figure is from: the data sheet, or a matrix product timed here and now."""
    kind = find_kind(jax.devices()[0].device_kind)
    if kind is not None:
        return kind.flops, "data sheet"
    on_cpu = jax.default_backend() == "cpu"
    size = 1024 if on_cpu else 8192  # so large that starting it takes no time to speak of
    matrix = jnp.ones((size, size), jnp.dtype(default_dtype()))
    multiply = jax.jit(lambda x: x @ x)
    multiply(matrix).block_until_ready()
    seconds = []
    for _ in range(3):
        start_time = time.perf_counter()
        multiply(matrix).block_until_ready()
        seconds.append(time.perf_counter() - start_time)
    shared_by = jax.local_device_count() if on_cpu else 1  # virtual devices share the cores
    return 2 * size**3 / min(seconds) / shared_by, "measured"


def device_memory() -> int:
    """Bytes of one device that a program can have; virtual devices of a CPU share its memory."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // jax.local_device_count()
    return device.memory_stats()["bytes_limit"]


def describe_devices() -> str:
    """For example `8 x NVIDIA A100-SXM4-40GB`."""
    kind = jax.devices()[0].device_kind
    processes = f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return f"{jax.device_count()} x {kind}{processes}"
