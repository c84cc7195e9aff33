"""What the devices are and can do."""

import time

import jax
import jax.numpy as jnp

# Dense bfloat16 FLOP/s of one device by the start of `device_kind`, longer names first, from the makers' data sheets.
PEAK_FLOPS = {
    "TPU v2": 22.5e12,
    "TPU v3": 61.5e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6": 918e12,
    "NVIDIA H200": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989e12,
    "NVIDIA A100": 312e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA L40": 181e12,
    "NVIDIA L4": 121e12,
    "Tesla T4": 65e12,
    "Tesla V100": 125e12,
}


def peak_flops() -> tuple[float, str]:
    """FLOP/s of one device, and where the figure is from: the data sheet, or a matrix product timed here and now."""
    kind = jax.devices()[0].device_kind
    for start, flops in PEAK_FLOPS.items():
        if kind.startswith(start):
            return flops, "data sheet"
    on_cpu = jax.default_backend() == "cpu"
    size = 1024 if on_cpu else 8192  # so large that starting it takes no time to speak of
    matrix = jnp.ones((size, size), jnp.float32 if on_cpu else jnp.bfloat16)
    multiply = jax.jit(lambda x: x @ x)
    multiply(matrix).block_until_ready()
    seconds = []
    for _ in range(3):
        start_time = time.perf_counter()
        multiply(matrix).block_until_ready()
        seconds.append(time.perf_counter() - start_time)
    shared_by = jax.local_device_count() if on_cpu else 1  # virtual devices share the cores
    return 2 * size**3 / min(seconds) / shared_by, "measured"


def describe_devices() -> str:
    """For example `8 x NVIDIA A100-SXM4-40GB`."""
    kind = jax.devices()[0].device_kind
    processes = f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return f"{jax.device_count()} x {kind}{processes}"
