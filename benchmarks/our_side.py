"""The figures of this package, one a subcommand, each printed as a line of JSON.

Settings are its defaults, but for the place (offline, France). The directory that holds ``sys`` and
``proc`` is the fake machine's, by the parameter that `make_parts` has.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import probes
from probes import Figures

SETTINGS = {"country_iso_code": "FRA", "output_dir": "."}
NEVER_NS = 2**62


def load() -> Any:
    """Import the package and lead it to the fake machine's processors."""
    import carbon_callbacks
    from carbon_core.assemble import trackers

    def here(*arguments: Any, **options: Any) -> Any:
        # Loaded by the first call, as without a fake machine.
        from carbon_core.assemble import build

        return build.make_parts(*arguments, **options, root=probes.machine_root())

    trackers.make_parts = here  # type: ignore[assignment]
    return carbon_callbacks


def tracker(**settings: Any) -> Any:
    """Return a tracker that is not started."""
    return load().OfflineEmissionsTracker(**SETTINGS | settings)


def started(**settings: Any) -> Any:
    """Return a running tracker that has found both sockets, their memory and all GPUs."""
    running = tracker(**settings)
    running.start()
    time.sleep(1.0)
    kinds = [device.component for device in running.report().window.end.devices]
    assert (kinds.count("cpu"), kinds.count("ram"), kinds.count("gpu")) == (2, 2, 8), kinds
    return running


def import_(_: argparse.Namespace) -> Figures:
    return probes.import_ms("carbon_callbacks")


def start(_: argparse.Namespace) -> Figures:
    package = load()
    t0 = time.perf_counter()
    running = package.OfflineEmissionsTracker(**SETTINGS)
    t1 = time.perf_counter()
    running.start()
    t2 = time.perf_counter()
    time.sleep(1.0)
    t3 = time.perf_counter()
    running.stop()
    t4 = time.perf_counter()
    ms = {"construct_ms": t1 - t0, "start_ms": t2 - t1, "stop_ms": t4 - t3, "ms": t2 - t0}
    return {name: value * 1e3 for name, value in ms.items()}


def callback(_: argparse.Namespace) -> Figures:
    return probes.callback_ms(_callback)


def first_reading(_: argparse.Namespace) -> Figures:
    """How long after `start()` the counters were first read, with and without a preparation."""
    prepared = tracker()
    prepared.prepare(60.0)
    time.sleep(1.0)
    return {"ms": _carried_ms(prepared), "unprepared_ms": _carried_ms(tracker())}


def _carried_ms(running: Any) -> float:
    """Return what the first second of a run lacks, which is the time until its first readings."""
    running.start()
    time.sleep(1.0)
    missing_s = max(energy.missing_s for energy in running.report().window.by_device.values())
    running.stop()
    return missing_s * 1e3


def first_steps(arguments: argparse.Namespace) -> Figures:
    return probes.longest_step_ms(tracker().start if arguments.callback == "ours" else None)


def sample(arguments: argparse.Namespace) -> Figures:
    """One tick of the sampler: every meter read, every account booked."""
    sampler = _sampler()
    figures = probes.blocks_us(lambda: _tick(sampler), arguments.repeats)
    # What the heartbeat adds to it, which comes as rarely as a sample at the default settings.
    beats = probes.blocks_us(lambda: _tick(sampler, beat=True), arguments.repeats, blocks=1)
    return figures | {"with_heartbeat_us": beats["cpu_us"]}


def _sampler() -> Any:
    """Return a sampler that has found its meters and has no thread."""
    from carbon_core.tracker.run import Run

    for _ in range(5):
        run = Run(tracker().make_parts("benchmark"))
        run._sampler.begin()
        if len(run._sampler.latest.devices) == 12:
            break
        time.sleep(1.0)  # on a busy machine, the GPUs may be found too late for the first time
    assert len(run._sampler.latest.devices) == 12, run._sampler.latest.devices
    return run._sampler


def _tick(sampler: Any, *, beat: bool = False) -> None:
    reader = sampler._reader
    reader._due_ns = [0] * len(reader._meters)
    sampler._next_heartbeat_ns = 0 if beat else NEVER_NS
    sampler.step([])


def cpu_per_second(arguments: argparse.Namespace) -> Figures:
    running = tracker()
    return probes.cpu_ms_per_s(running.start, arguments.seconds)


def task_boundary(arguments: argparse.Namespace) -> Figures:
    """Marks, and the windows that wait for their reading when they close."""
    running = started()
    figures = probes.boundary_us(running.mark, lambda: running.mark("between"), arguments.repeats)
    opened: list[Any] = []
    windows = probes.boundary_us(
        lambda name: opened.append(running.window(name)),
        lambda: opened.pop().close(),
        arguments.repeats,
    )
    return figures | {f"window_{name}": value for name, value in windows.items()}


def per_batch(arguments: argparse.Namespace) -> Figures:
    """What each callback does for every batch of a real training."""
    return {
        "lightning_us": _lightning_batch_s() * 1e6,
        "transformers_us": _transformers_step_s() * 1e6,
        "keras_us": _keras_batch_s() * 1e6,
    }


def _lightning_batch_s() -> float:
    """Return the median seconds of the callback's own hook in a training of 3,000 batches."""
    import lightning.pytorch as lightning
    import torch
    from hf_steps import Stopwatch
    from lightning.pytorch.demos.boring_classes import BoringModel
    from torch.utils.data import DataLoader

    from carbon_callbacks.lightning import EmissionsCallback

    batches = 3_000

    def hooks_s(callback: lightning.Callback) -> float:
        watch = Stopwatch()
        watch.watch(callback, lightning.Callback, "on_train_batch_")
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = lightning.Trainer(
            max_steps=batches, callbacks=[callback], enable_model_summary=False, **quiet
        )
        trainer.fit(BoringModel(), DataLoader(torch.zeros(batches, 32)))
        return statistics.median(watch.spans_s)

    class Nothing(lightning.Callback):
        def on_train_batch_start(self, *arguments: Any) -> None:
            """Do nothing: what the stopwatch itself takes."""

    torch.set_num_threads(1)
    nothing_s = hooks_s(Nothing())
    return max(0.0, hooks_s(EmissionsCallback(**SETTINGS)) - nothing_s)


def _transformers_step_s() -> float:
    """Return the seconds that the callback's own step hooks take, called within a training."""
    from hf_steps import trainer_of
    from transformers import TrainerCallback

    from carbon_callbacks.transformers import EmissionsCallback

    callback = EmissionsCallback(**SETTINGS)
    found: list[float] = []

    class Measures(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if not found:
                found.append(_hooks_s(callback, TrainerCallback, "step", (args, state, control)))

    trainer_of([callback, Measures()], 2).train()
    return found[0]


def _keras_batch_s() -> float:
    """Return the seconds that a batch of any fit takes longer once there is a callback."""
    import keras

    def batch_s() -> float:
        # As in a fit without callbacks of its own.
        callbacks = keras.callbacks.CallbackList([])
        begin = timeit.Timer(functools.partial(callbacks.on_train_batch_begin, 0))
        return min(begin.repeat(5, 100_000)) / 100_000

    before_s = batch_s()
    # It wraps that method.
    from carbon_callbacks.keras import EmissionsCallback

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse")
    zeros = keras.ops.zeros((4, 1))
    model.fit(zeros, zeros, verbose=0, callbacks=[EmissionsCallback(**SETTINGS)])
    return max(0.0, batch_s() - before_s)


def _hooks_s(callback: Any, base: type, part: str, arguments: tuple[Any, ...]) -> float:
    """Return the seconds that the callback's own hooks with `part` in their names take, called once."""
    total_s = 0.0
    for name in dir(base):
        own = getattr(type(callback), name) is not getattr(base, name)
        if own and name.startswith("on_") and part in name:
            hook = getattr(callback, name)
            timer = timeit.Timer(functools.partial(hook, *arguments))
            total_s += min(timer.repeat(5, 100_000)) / 100_000
    return total_s


def memory(_: argparse.Namespace) -> Figures:
    before_mb = probes.rss_mb()
    running = tracker()
    running.start()
    time.sleep(2.0)
    return {"mb": probes.rss_mb() - before_mb}


def growth(arguments: argparse.Namespace) -> Figures:
    """Memory that the sampler's ticks keep, in bytes a tick."""
    sampler = _sampler()
    ticks = arguments.repeats * 5000
    _run_ticks(sampler, ticks // 10)
    before_mb = probes.rss_mb()
    _run_ticks(sampler, ticks)
    return {"bytes_per_tick": (probes.rss_mb() - before_mb) * 2**20 / ticks, "ticks": ticks}


def _run_ticks(sampler: Any, times: int) -> None:
    for _ in range(times):
        _tick(sampler)


def a_run(arguments: argparse.Namespace) -> Any:
    """Run for the seconds that are asked for, and return what was measured."""
    running = tracker()
    running.start()
    time.sleep(arguments.seconds)
    running.stop()
    return running.final_report


def run_energy(arguments: argparse.Namespace) -> Figures:
    """Error of a run between the instants of its own start and end."""
    report = a_run(arguments)
    window = report.window
    error_pct = probes.error_pct(window.component_j("gpu"), window.start.t_ns, window.end.t_ns)
    return {"error_pct": error_pct, "missing_s": report.missing_s}


def windows(arguments: argparse.Namespace, spend: Callable[[float], None] = time.sleep) -> Figures:
    running = started()
    opened: list[Any] = []
    return probes.window_errors(
        lambda name: opened.append(running.window(name)),
        lambda: opened.pop().close().component_j("gpu"),
        arguments.windows or 30,
        at_random=bool(arguments.windows),
        spend=spend,
    )


def gil_windows(arguments: argparse.Namespace) -> Figures:
    """Windows during which the program's own thread lets go of Python's lock only when it must."""
    return windows(arguments, spend=probes.in_python)


def first_window(_: argparse.Namespace) -> Figures:
    """Error of a window that begins with the run, as it was returned and as it is at the end."""
    running = tracker()
    running.prepare(60.0)
    time.sleep(1.0)
    running.start()
    running.start_task("first")
    t0_ns = time.monotonic_ns()
    time.sleep(probes.a_length_s())
    t1_ns = time.monotonic_ns()
    at_once_kwh = running.stop_task("first").gpu_energy
    time.sleep(1.0)
    running.stop()
    ((_, final),) = running.final_report.tasks
    at_once_j = at_once_kwh * probes.J_PER_KWH
    return {
        "error_pct": probes.error_pct(final.window.component_j("gpu"), t0_ns, t1_ns),
        "at_once_pct": probes.error_pct(at_once_j, t0_ns, t1_ns),
    }


def components(arguments: argparse.Namespace) -> Figures:
    """Errors of processors, memory and GPUs over one run."""
    window = a_run(arguments).window
    span_ns = window.start.t_ns, window.end.t_ns
    return {
        "gpu_pct": probes.error_pct(window.component_j("gpu"), *span_ns),
        "cpu_pct": probes.off_pct(window.component_j("cpu"), probes.zones_j("package", *span_ns)),
        "ram_pct": probes.off_pct(window.component_j("ram"), probes.zones_j("dram", *span_ns)),
    }


def lost(arguments: argparse.Namespace) -> Figures:
    """Errors of the GPU that was lost for good: what was measured of it, and what was carried over."""
    window = a_run(arguments).window
    t0_ns, t1_ns = window.start.t_ns, window.end.t_ns
    energies = [e for d, e in window.by_device.items() if d.component == "gpu"]
    energy = max(energies, key=lambda one: one.missing_s)
    last_ns = t1_ns - round(energy.missing_s * 1e9)
    measured_j = probes.wave_j(t0_ns, last_ns) / len(energies)
    carried_j = probes.wave_j(last_ns, t1_ns) / len(energies)
    return {
        "error_pct": probes.error_pct(window.component_j("gpu"), t0_ns, t1_ns),
        "measured_pct": probes.off_pct(energy.measured_j, measured_j),
        "carried_pct": probes.off_pct(energy.extrapolated_j, carried_j),
        "missing_s": energy.missing_s,
    }


def hf(arguments: argparse.Namespace) -> Figures:
    from hf_steps import train

    return train(_callback if arguments.callback == "ours" else None)


def _callback() -> Any:
    load()
    from carbon_callbacks.transformers import EmissionsCallback

    return EmissionsCallback(**SETTINGS)


ROWS = {
    "import": import_,
    "callback": callback,
    "start": start,
    "first-reading": first_reading,
    "first-steps": first_steps,
    "sample": sample,
    "cpu-per-second": cpu_per_second,
    "task-boundary": task_boundary,
    "per-batch": per_batch,
    "memory": memory,
    "growth": growth,
    "run-energy": run_energy,
    "first-window": first_window,
    "windows": windows,
    "gil-windows": gil_windows,
    "polled": run_energy,
    "components": components,
    "lost": lost,
    "hf": hf,
}

if __name__ == "__main__":
    raise SystemExit(probes.run_side(ROWS))
