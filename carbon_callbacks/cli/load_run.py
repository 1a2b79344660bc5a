"""Loads the processors and GPUs for a while, and reads every meter meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carbon_callbacks.cli.load_check import (
    DeviceCheck,
    Spans,
    check_device,
    is_model,
    missing_windows,
)
from carbon_callbacks.cli.load_series import Series, Span
from carbon_callbacks.cli.terminal import environment_of_child
from carbon_core import units
from carbon_core.clock import Clock, SystemClock
from carbon_core.hardware.base import Detection, Meter
from carbon_core.hardware.driver_calls import attempt
from carbon_core.hardware.nvml.board import readouts
from carbon_core.hardware.nvml.meter import NvmlMeter
from carbon_core.records import COMPONENTS, Component, Device

# Values change every 1 to 100 ms; a read between every two changes must cost little.
_FAST_S = 0.0005
_READ_S = 0.02
# A model is computed from counts of the kernel, which change every 10 ms.
_MODEL_S = 0.2
_LONGEST_IDLE_S = 10.0
# A load begins with a rise of the clock speed, and a power reading may be the mean of a second.
_LONGEST_RAMP_S = 2.0
# Without the load itself: import of torch, its kernels' first use, pauses, the training steps.
_GPU_LIMIT_S = 150.0


@dataclass
class LoadCheck:
    """Result of a check under load.

    Attributes:
        seconds: Duration of each load.
        processes: Number of processes that loaded the processors.
        devices: Results by device.
        gpu: Figures of the GPU's load: kernels, costs of synchronisation and of the callback.
        not_checked: What could not be checked on this machine, each with the reason.
    """

    seconds: float
    processes: int = 0
    devices: list[DeviceCheck] = field(default_factory=list)
    gpu: dict[str, Any] = field(default_factory=dict)
    not_checked: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """What is wrong, one line each."""
        return [
            f"{one.component}: {one.name}: {text}" for one in self.devices for text in one.problems
        ]


class Recorder:
    """Reads meters and second power sensors into series.

    Args:
        meters: The meters; not closed.
        clock: Source of time.
    """

    def __init__(self, meters: Sequence[Meter], clock: Clock) -> None:
        self._clock = clock
        self._pause = threading.Event()
        self._meters = [(meter, any(map(is_model, meter.devices))) for meter in meters]
        self._model_due_ns = clock.monotonic_ns()
        self._sensors = dict(_power_sensors(meters))
        self.readings: dict[str, Series] = {d.id: Series() for m in meters for d in m.devices}
        self.powers: dict[str, Series] = {name: Series() for name in self._sensors}

    def record(
        self, every_s: float, seconds: float, ended: Callable[[], bool] | None = None
    ) -> Span:
        """Read everything again and again.

        Args:
            every_s: Pause between two reads.
            seconds: Longest duration.
            ended: Returns whether to stop earlier.
        """
        start_ns = now_ns = self._clock.monotonic_ns()
        limit_ns = start_ns + units.nanoseconds(seconds)
        while now_ns < limit_ns and not (ended and ended()):
            self._read(now_ns)
            self._pause.wait(every_s)
            now_ns = self._clock.monotonic_ns()
        return Span(start_ns, now_ns)

    def _read(self, now_ns: int) -> None:
        models_due = now_ns >= self._model_due_ns
        if models_due:
            self._model_due_ns = now_ns + units.nanoseconds(_MODEL_S)
        for meter, is_of_model in self._meters:
            if models_due or not is_of_model:
                for reading in meter.read():
                    self.readings[reading.device_id].add(reading.t_ns, reading.value)
        for name, sensor in self._sensors.items():
            before_ns = self._clock.monotonic_ns()
            power_w = attempt(sensor, None)
            self.powers[name].add((before_ns + self._clock.monotonic_ns()) // 2, power_w)


def run_check(detection: Detection, seconds: float, say: Callable[[str], None]) -> LoadCheck:
    """Read the idle machine, then load processors and GPUs one after the other, and check.

    Args:
        detection: Has the meters; not closed.
        seconds: Duration of each load.
        say: Receives a line about what is done now.
    """
    check = LoadCheck(seconds)
    devices = [device for meter in detection.meters for device in meter.devices]
    if not devices:
        check.not_checked.append("everything: this machine has no meter")
        return check
    recorder = Recorder(detection.meters, SystemClock())
    idle_s = min(_LONGEST_IDLE_S, max(1.0, seconds / 3))
    say(f"reading the idle machine for {idle_s:.0f} s")
    fast = recorder.record(_FAST_S, min(2.0, idle_s / 2))
    idle = recorder.record(_READ_S, idle_s - fast.seconds)
    spans: dict[Component, Spans] = {one: Spans(fast, idle) for one in COMPONENTS}
    host = _load_processors(recorder, check, seconds, say)
    spans["cpu"] = spans["ram"] = Spans(fast, idle, host)
    if any(device.component == "gpu" for device in devices):
        load, kernels = _load_gpus(recorder, check, seconds, say)
        spans["gpu"] = Spans(fast, idle, load, kernels)
    else:
        check.not_checked.append("GPU: no GPU is measured")
    for device in sorted(devices, key=lambda one: COMPONENTS.index(one.component)):
        check.devices.append(_checked(device, recorder, spans[device.component]))
    if lengths := missing_windows(host):
        texts = ", ".join(f"{length:g}" for length in lengths)
        check.not_checked.append(
            f"windows of {texts} s: the load is too short, use a longer --load"
        )
    return check


def _checked(device: Device, recorder: Recorder, spans: Spans) -> DeviceCheck:
    return check_device(device, recorder.readings[device.id], recorder.powers.get(device.id), spans)


def _ramp_s(seconds: float) -> float:
    return min(_LONGEST_RAMP_S, seconds / 4)


def _load_processors(
    recorder: Recorder, check: LoadCheck, seconds: float, say: Callable[[str], None]
) -> Span | None:
    """Load the processors while everything is read; return when the load was steady."""
    count = logical_processors()
    say(f"loading {count} processors for {seconds:g} s")
    try:
        with busy_processes(count, seconds) as processes:
            check.processes = len(processes)
            span = recorder.record(_READ_S, seconds)
            if any(process.poll() is not None for process in processes):
                check.not_checked.append("load of the processors: a process ended too early")
                return None
            return span.after(_ramp_s(seconds))
    except OSError as error:
        check.not_checked.append(f"load of the processors: no process can be started ({error})")
        return None


def logical_processors() -> int:
    """Return how many logical processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def busy_processes(count: int, seconds: float) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep processors busy, one process for each, for a ``with`` block.

    A process ends with the block, with this process, whose pipe is then closed, or a while later.

    Args:
        count: Number of processes.
        seconds: Expected length of the block.
    """
    command = [sys.executable, "-I", "-c", _WORK, str(seconds + 30.0)]
    with contextlib.ExitStack() as started:
        processes = []
        for _ in range(count):
            process = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 - this interpreter
            started.callback(_end, process)
            processes.append(process)
        yield processes


def _end(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


_WORK = """
import os, sys, threading, time
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
end_s = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end_s:
    sum(range(10_000))
"""


def _load_gpus(
    recorder: Recorder, check: LoadCheck, seconds: float, say: Callable[[str], None]
) -> tuple[Span | None, list[Span]]:
    """Load the GPUs by a child process while everything is read; return when they were loaded."""
    say(f"loading the GPUs for {seconds:g} s by PyTorch, then training steps")
    limit_s = seconds + _GPU_LIMIT_S
    try:
        with gpu_process(seconds) as (process, output):
            recorder.record(_READ_S, limit_s, lambda: process.poll() is not None)
            is_late = process.poll() is None
            events = read_events(output)
    except OSError as error:
        check.not_checked.append(f"load of the GPUs: no process can be started ({error})")
        return None, []
    found = {event["event"]: event for event in events}
    check.gpu = {name: found[name] for name in ("device", "drain", "steps") if name in found}
    if "missing" in found:
        check.not_checked.append(f"load of the GPUs: {found['missing']['reason']}; read idle only")
    elif is_late or "end" not in found:
        reason = f"not done after {limit_s:.0f} s" if is_late else "its process failed"
        check.not_checked.append(f"load of the GPUs, in part: {reason}")
    kernels = [_span(event) for event in events if event["event"] == "kernels"]
    if "load" not in found:
        return None, kernels
    return _span(found["load"]).after(_ramp_s(seconds)), kernels


def _span(event: dict[str, Any]) -> Span:
    return Span(int(event["start_ns"]), int(event["end_ns"]))


@contextlib.contextmanager
def gpu_process(seconds: float) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start the process that loads the GPUs (`gpu_load`); yield it with the file of its events.

    It ends with the block, or with this process. It runs in an empty directory: no module of the
    working directory is imported.
    """
    paths = [os.path.abspath(path) for path in sys.path if path]  # noqa: PTH100 - keeps text
    code = (
        f"import sys; sys.path[:] = {paths!r}; "
        "from carbon_callbacks.cli.gpu_load import main; main(float(sys.argv[1]))"
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        output = Path(directory) / "events"
        with output.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603 - this interpreter
                [sys.executable, "-c", code, str(seconds)],
                stdin=subprocess.PIPE,
                stdout=file,
                cwd=directory,
                env=environment_of_child(),
            )
            try:
                yield process, output
            finally:
                _end(process)


def read_events(output: Path) -> list[dict[str, Any]]:
    """Return the events that the process wrote; other lines, such as a library's, are skipped."""
    events = []
    for line in output.read_text("utf-8", "replace").splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                events.append(event)
    return events


def _power_sensors(meters: Sequence[Meter]) -> Iterator[tuple[str, Callable[[], float]]]:
    """Yield the second power reading of each device that has one beside its counter: of NVML."""
    for meter in meters:
        if isinstance(meter, NvmlMeter):
            for board in meter.boards:
                for readout in readouts(meter.nvml, board.handle):
                    is_sensor = readout.kind == "power" and not readout.zero
                    read = _reader(readout.call, board)
                    if board.device.kind == "counter" and is_sensor and attempt(read, None):
                        yield board.device.id, read
                        break


def _reader(call: Callable[[Any], float], board: Any) -> Callable[[], float]:
    return lambda: call(board.handle)
