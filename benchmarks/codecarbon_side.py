"""The figures of CodeCarbon 3.3.2, one a subcommand, each printed as a line of JSON.

Settings are its defaults, but for the place (offline, France). Its RAPL reader is pointed at the fake
machine's powercap tree by a parameter that it has.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import probes
from probes import Figures

SETTINGS = {"country_iso_code": "FRA", "output_dir": "."}


def load() -> Any:
    """Import codecarbon and lead it to the fake machine's processors."""
    import codecarbon
    from codecarbon.core import cpu
    from codecarbon.external.hardware import CPU

    root = str(probes.machine_root() / "sys/class/powercap/intel-rapl/subsystem")
    cpu.is_rapl_available = functools.partial(cpu.is_rapl_available, rapl_dir=root)
    # Only one of the constructor's defaults is a path.
    was = CPU.__init__.__defaults__ or ()
    CPU.__init__.__defaults__ = tuple(
        root if isinstance(value, str) and value.startswith("/sys/") else value for value in was
    )
    return codecarbon


def tracker(**settings: Any) -> Any:
    """Return a tracker that is not started."""
    return load().OfflineEmissionsTracker(**SETTINGS | settings)


def started(**settings: Any) -> Any:
    """Return a running tracker; it must have found both sockets and all GPUs."""
    running = tracker(**settings)
    running.start()
    methods = [str(item) for item in running._hardware]
    assert any("Intel Rapl" in method for method in methods), methods
    assert any("NVML" in method for method in methods), methods
    return running


def import_(_: argparse.Namespace) -> Figures:
    return probes.import_ms("codecarbon")


def start(_: argparse.Namespace) -> Figures:
    codecarbon = load()
    t0 = time.perf_counter()
    running = codecarbon.OfflineEmissionsTracker(**SETTINGS)
    t1 = time.perf_counter()
    running.start()
    t2 = time.perf_counter()
    running.stop()
    t3 = time.perf_counter()
    ms = {"construct_ms": t1 - t0, "start_ms": t2 - t1, "stop_ms": t3 - t2, "ms": t2 - t0}
    return {name: value * 1e3 for name, value in ms.items()}


def callback(_: argparse.Namespace) -> Figures:
    return probes.callback_ms(_callback)


def first_reading(_: argparse.Namespace) -> Figures:
    """How long it takes until the first reading, for which `start()` waits."""
    running = tracker()
    began_s = time.perf_counter()
    running.start()
    return {"ms": (time.perf_counter() - began_s) * 1e3}


def first_steps(arguments: argparse.Namespace) -> Figures:
    return probes.longest_step_ms(tracker().start if arguments.callback == "codecarbon" else None)


def sample(arguments: argparse.Namespace) -> Figures:
    running = started()
    running._scheduler.stop()
    running._scheduler_monitor_power.stop()
    running._measure_power_and_energy()
    return probes.blocks_us(running._measure_power_and_energy, arguments.repeats)


def cpu_per_second(arguments: argparse.Namespace) -> Figures:
    running = tracker()
    return probes.cpu_ms_per_s(running.start, arguments.seconds)


def task_boundary(arguments: argparse.Namespace) -> Figures:
    running = started()
    running.start_task("warm")
    running.stop_task()
    return probes.boundary_us(running.start_task, running.stop_task, arguments.repeats)


def memory(_: argparse.Namespace) -> Figures:
    before_mb = probes.rss_mb()
    running = tracker()
    running.start()
    time.sleep(2.0)
    return {"mb": probes.rss_mb() - before_mb}


def growth(arguments: argparse.Namespace) -> Figures:
    """Memory that its once-a-second look at the load keeps, in bytes a look."""
    running = started()
    running._scheduler_monitor_power.stop()
    looks = arguments.repeats * 50
    _look(running, looks // 10)
    before_mb = probes.rss_mb()
    _look(running, looks)
    return {"bytes_per_tick": (probes.rss_mb() - before_mb) * 2**20 / looks, "ticks": looks}


def _look(running: Any, times: int) -> None:
    for _ in range(times):
        running._monitor_power()


def a_run(arguments: argparse.Namespace) -> tuple[Any, int, int]:
    """Run for the seconds asked for; return the data, and the instants of first and last reading."""
    running = started()
    t0_ns = round(running._start_time * 1e9)
    time.sleep(arguments.seconds)
    running.stop()
    # Its clock is perf_counter, which is the monotonic clock on Linux.
    t1_ns = round(running._last_measured_time * 1e9)
    return running.final_emissions_data, t0_ns, t1_ns


def run_energy(arguments: argparse.Namespace) -> Figures:
    """Error of a run between the instants of its own first and last reading."""
    data, *span_ns = a_run(arguments)
    return {"error_pct": probes.error_pct(data.gpu_energy * probes.J_PER_KWH, *span_ns)}


def windows(arguments: argparse.Namespace, spend: Callable[[float], None] = time.sleep) -> Figures:
    running = started()
    running.start_task("warm")
    running.stop_task()
    return probes.window_errors(
        running.start_task,
        lambda: running.stop_task().gpu_energy * probes.J_PER_KWH,
        arguments.windows or 30,
        at_random=bool(arguments.windows),
        spend=spend,
    )


def gil_windows(arguments: argparse.Namespace) -> Figures:
    """Windows during which the program's own thread lets go of Python's lock only when it must."""
    return windows(arguments, spend=probes.in_python)


def first_window(_: argparse.Namespace) -> Figures:
    """Error of a task that begins right after the start."""
    running = started()
    running.start_task("first")
    t0_ns = time.monotonic_ns()
    time.sleep(probes.a_length_s())
    t1_ns = time.monotonic_ns()
    data = running.stop_task("first")
    return {"error_pct": probes.error_pct(data.gpu_energy * probes.J_PER_KWH, t0_ns, t1_ns)}


def components(arguments: argparse.Namespace) -> Figures:
    """Errors of processors, memory and GPUs over one run."""
    data, *span_ns = a_run(arguments)
    cpu_j, ram_j = data.cpu_energy * probes.J_PER_KWH, data.ram_energy * probes.J_PER_KWH
    return {
        "gpu_pct": probes.error_pct(data.gpu_energy * probes.J_PER_KWH, *span_ns),
        "cpu_pct": probes.off_pct(cpu_j, probes.zones_j("package", *span_ns)),
        "ram_pct": probes.off_pct(ram_j, probes.zones_j("dram", *span_ns)),
    }


def hf(arguments: argparse.Namespace) -> Figures:
    from hf_steps import train

    return train(_callback if arguments.callback == "codecarbon" else None)


def _callback() -> Any:
    load()
    from transformers.integrations import CodeCarbonCallback

    return CodeCarbonCallback()


ROWS = {
    "import": import_,
    "callback": callback,
    "start": start,
    "first-reading": first_reading,
    "first-steps": first_steps,
    "sample": sample,
    "cpu-per-second": cpu_per_second,
    "task-boundary": task_boundary,
    "memory": memory,
    "growth": growth,
    "run-energy": run_energy,
    "first-window": first_window,
    "windows": windows,
    "gil-windows": gil_windows,
    "polled": run_energy,
    "components": components,
    "lost": run_energy,
    "hf": hf,
}

if __name__ == "__main__":
    raise SystemExit(probes.run_side(ROWS))
