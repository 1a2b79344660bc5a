"""What a run leaves in its process: threads, files, handlers, random states, warnings."""

import contextlib
import hashlib
import logging
import os
import pickle
import random
import re
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from upstream.plain import normal

SEED = 1234


def seed_everything() -> None:
    """Give every random generator that is loaded the same state."""
    random.seed(SEED)
    np.random.seed(SEED)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(SEED)
    if tensorflow := sys.modules.get("tensorflow"):
        tensorflow.random.set_seed(SEED)


class Process:
    """Observes what a block changes in the process.

    Attributes:
        seen: What was observed, after the block.

    Args:
        loggers: Names of the loggers whose records of WARNING and above are observed.
        classes: Classes whose attributes are observed.
    """

    def __init__(self, loggers: Sequence[str], classes: Sequence[type]) -> None:
        self._loggers, self._classes = loggers, classes
        self.seen: dict[str, Any] = {}

    @contextlib.contextmanager
    def observed(self) -> Iterator[None]:
        """Observe the block. What it did to variables, signal handlers and hooks is undone."""
        records = _Records()
        threads, files, state = set(threading.enumerate()), _open_files(), self._state()
        handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        variables, hook = dict(os.environ), sys.excepthook
        for name in self._loggers:
            logging.getLogger(name).addHandler(records)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
        finally:
            for name in self._loggers:
                logging.getLogger(name).removeHandler(records)
            self.seen = {
                "warnings": Counter(
                    f"{one.category.__name__}: {normal(str(one.message))}" for one in caught
                ),
                "logged": records.counted,
                "threads": Counter(
                    re.sub(r"\d+", "N", one.name)
                    for one in threading.enumerate()
                    if one not in threads
                ),
                "open files": _open_files() - files,
                "changed": _changed(state, self._state()),
                "random": _random_states(),
            }
            os.environ.clear()
            os.environ.update(variables)
            sys.excepthook = hook
            for number, handler in handlers.items():
                if signal.getsignal(number) is not handler and handler is not None:
                    signal.signal(number, handler)

    def _state(self) -> dict[str, Any]:
        """Return what a training must leave alone, by name."""
        state: dict[str, Any] = {f"environ/{name}": value for name, value in os.environ.items()}
        for number in signal.valid_signals():
            state[f"signal/{number}"] = signal.getsignal(number)
        state["excepthook"] = sys.excepthook
        state["threading.excepthook"] = threading.excepthook
        state["unraisablehook"] = sys.unraisablehook
        state["displayhook"] = sys.displayhook
        state["trace"] = sys.gettrace()
        state["umask"] = _umask()
        state["switch interval"] = sys.getswitchinterval()
        state["root log level"] = logging.getLogger().level
        state["root log handlers"] = len(logging.getLogger().handlers)
        for name in self._loggers:
            logger = logging.getLogger(name)
            state[f"logger/{name}"] = logger.level, logger.propagate, logger.disabled
        for one in self._classes:
            for name, value in vars(one).items():
                state[f"class/{one.__module__}.{one.__qualname__}/{name}"] = value
        if torch := sys.modules.get("torch"):
            state["torch/grad"] = torch.is_grad_enabled()
            state["torch/dtype"] = torch.get_default_dtype()
            state["torch/threads"] = torch.get_num_threads()
            state["torch/deterministic"] = torch.are_deterministic_algorithms_enabled()
            state["torch/anomaly"] = torch.is_anomaly_enabled()
        return state


class _Records(logging.Handler):
    """Counts the records of WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.counted: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Count a record."""
        text = normal(record.getMessage())
        self.counted[f"{record.name} {record.levelname}: {text}"] += 1


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    """Return the names whose value is another one, and the new value where it is plain."""
    changed = {}
    for name in before.keys() | after.keys():
        was, became = before.get(name), after.get(name)
        if was is not became and was != became:
            changed[name] = normal(repr(became)) if name in after else "removed"
    return changed


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _open_files() -> Counter[str]:
    """Return what the process has open, without what numbers the system gave."""
    opened: Counter[str] = Counter()
    with contextlib.suppress(OSError):
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                opened[re.sub(r"\d+", "N", os.readlink(f"/proc/self/fd/{number}"))] += 1
    return opened


def _random_states() -> dict[str, str]:
    """Return a digest of each random generator's state."""
    states = {"random": random.getstate(), "numpy": np.random.get_state()}
    if torch := sys.modules.get("torch"):
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return {
        name: hashlib.sha1(pickle.dumps(state)).hexdigest()[:12] for name, state in states.items()
    }
