"""The process that loads the GPUs by PyTorch for ``carbon-callbacks doctor --load``.

It prints one JSON object per line: the device, when kernels ran (in nanoseconds of the machine's
monotonic clock), and what synchronisation and the callback cost.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import threading
from collections.abc import Callable, Sequence
from typing import Any

from carbon_callbacks.cli.terminal import say
from carbon_callbacks.training import Progress, Training
from carbon_core import units
from carbon_core.clock import SystemClock
from carbon_core.threads import LazyThread

_now_ns = SystemClock.monotonic_ns
_never = threading.Event()
# A product of two such matrices takes 3 to 50 ms, from the fastest to the slowest GPU.
_MATRIX = 4096
_BLOCK_S = 0.02
_KERNELS_S = (0.1, 0.5, 1.0, 5.0)
_REST_S = 1.5
_STEPS = 200
_ROUNDS = 5
_LOG_EVERY = 50


def main(seconds: float) -> None:
    """Load every visible GPU and print the events.

    Args:
        seconds: Duration of the constant load.
    """
    # The parent closes the pipe when it ends, however it does.
    LazyThread(_end_with_parent, "carbon-parent").start()
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken installation raises anything
        _say("missing", reason=f"PyTorch is not installed or cannot be imported ({error})")
        return
    if not torch.cuda.is_available():
        build = torch.version.cuda or torch.version.hip or "for processors only"
        _say("missing", reason=f"PyTorch {torch.__version__} ({build}) finds no GPU")
        return
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    _say("device", names=[torch.cuda.get_device_name(gpu) for gpu in gpus])
    load_gpus(torch, gpus, torch.cuda.synchronize, seconds)


def load_gpus(
    torch: Any,
    gpus: Sequence[str],
    drain: Callable[[str], object],
    seconds: float,
    kernels_s: Sequence[float] = _KERNELS_S,
    count: int = _STEPS,
) -> None:
    """Load GPUs and print the events.

    Args:
        torch: The module.
        gpus: Names of the GPUs, such as ``cuda:0``.
        drain: Waits for the queue of a GPU.
        seconds: Duration of the constant load.
        kernels_s: Durations of the periods of kernels, each after a pause.
        count: Number of training steps that are timed at once.
    """
    load = Load(torch, gpus, drain)
    load.run(0.5)  # loads the kernels
    _say("load", **load.run(seconds))
    for length_s in kernels_s:
        _never.wait(_REST_S)
        _say("kernels", **load.run(length_s))
    steps = Steps(torch, gpus[0])
    wait = functools.partial(drain, gpus[0])
    _say("drain", **drain_cost(steps, wait, count))
    _say("steps", **callback_cost(steps, wait, count))
    _say("end")


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(0)


def _say(event: str, **fields: Any) -> None:
    say(json.dumps({"event": event, **fields}))


class Load:
    """Products of matrices on every GPU.

    Args:
        torch: The module.
        gpus: Names of the GPUs, such as ``cuda:0``.
        drain: Waits for the queue of a GPU.
    """

    def __init__(self, torch: Any, gpus: Sequence[str], drain: Callable[[str], object]) -> None:
        self._torch = torch
        self._drain = drain
        self._matrices = {gpu: torch.randn(_MATRIX, _MATRIX, device=gpu) for gpu in gpus}
        self._counts = {gpu: max(1, round(_BLOCK_S / self._product_s(gpu))) for gpu in gpus}

    def run(self, seconds: float) -> dict[str, int]:
        """Load the GPUs for a while; return the begin and the end in nanoseconds."""
        start_ns = now_ns = _now_ns()
        while now_ns - start_ns < units.nanoseconds(seconds):
            for gpu, count in self._counts.items():
                for _ in range(count):
                    self._product(gpu)
            for gpu in self._counts:
                self._drain(gpu)
            now_ns = _now_ns()
        return {"start_ns": start_ns, "end_ns": now_ns}

    def _product(self, gpu: str) -> None:
        self._torch.matmul(self._matrices[gpu], self._matrices[gpu])

    def _product_s(self, gpu: str) -> float:
        self._product(gpu)
        self._drain(gpu)
        start_ns = _now_ns()
        self._product(gpu)
        self._drain(gpu)
        return max(1e-6, units.seconds(_now_ns() - start_ns))


class Steps:
    """Training steps of a small model.

    Args:
        torch: The module.
        device: Name of the device.
        width: Width of the model's layers.
    """

    def __init__(self, torch: Any, device: str, width: int = 1024) -> None:
        layers = [torch.nn.Linear(width, width) for _ in range(4)]
        self._model = torch.nn.Sequential(*layers).to(device)
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=1e-3)
        self._data = torch.randn(64, width, device=device)

    def step(self) -> None:
        """Take one step."""
        self._optimizer.zero_grad()
        self._model(self._data).square().mean().backward()
        self._optimizer.step()


def drain_cost(steps: Steps, drain: Callable[[], object], count: int) -> dict[str, float]:
    """Return what waiting for the queue costs.

    Args:
        steps: The training steps.
        drain: Waits for the queue.
        count: Number of steps that are timed.

    Returns:
        ``empty_us``, a wait for an empty queue; ``step_ms`` without a wait, and
        ``step_with_drain_ms`` with one after every step.
    """

    def drained_step() -> None:
        steps.step()
        drain()

    _timed_ms(steps.step, drain, count)
    empty_us = statistics.median(_timed_ms(drain, drain, 1) * 1000.0 for _ in range(count))
    plain_ms, drained_ms = _alternately(
        lambda: _timed_ms(steps.step, drain, count),
        lambda: _timed_ms(drained_step, drain, count),
    )
    return {"empty_us": empty_us, "step_ms": plain_ms, "step_with_drain_ms": drained_ms}


def callback_cost(steps: Steps, drain: Callable[[], object], count: int) -> dict[str, float]:
    """Return the time of a training step without and with what a callback does.

    A callback checks the budget after each step, and logs every 50 steps.

    Args:
        steps: The training steps.
        drain: Waits for the queue.
        count: Number of steps that are timed.

    Returns:
        ``step_ms`` and ``step_with_callback_ms``.
    """

    def with_callback() -> float:
        training = Training(save_to_file=False, log_level="ERROR", country_iso_code="FRA")
        taken = iter(range(count))

        def step() -> None:
            steps.step()
            number = next(taken)
            training.should_stop(number)
            if number % _LOG_EVERY == 0:
                training.metrics(Progress(number / count), at=f"step {number}")

        with training.measure():
            _never.wait(0.5)  # the meters are found: what is timed are the steps
            return _timed_ms(step, drain, count)

    _timed_ms(steps.step, drain, count)
    plain_ms, callback_ms = _alternately(lambda: _timed_ms(steps.step, drain, count), with_callback)
    return {"step_ms": plain_ms, "step_with_callback_ms": callback_ms}


def _alternately(one: Callable[[], float], other: Callable[[], float]) -> tuple[float, float]:
    """Return the least of each of two measurements that are made in turn: other work only adds."""
    rounds = [(one(), other()) for _ in range(_ROUNDS)]
    first, second = zip(*rounds)
    return min(first), min(second)


def _timed_ms(call: Callable[[], object], drain: Callable[[], object], count: int) -> float:
    """Return the mean time of a call in milliseconds, with the wait for the queue after the last."""
    drain()
    start_ns = _now_ns()
    for _ in range(count):
        call()
    drain()
    return units.seconds(_now_ns() - start_ns) * 1000.0 / count
