"""The keys of one training in the key-value store of ``torch.distributed``.

Values are JSON. Keys begin with the training's name, kind and number: ``present`` counts the ranks that
have the callback, ``rank/R`` has the totals of rank R, ``posted/AT`` and ``arrived/AT`` count the ranks
at a log, ``published`` has the totals that rank 0 has collected, ``log/AT`` its metrics, ``stop/N/...``
the Nth proposal to stop.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from carbon_core import SystemClock

_REQUEST_TIMEOUT = timedelta(seconds=5)
_POLL_S = 0.001
# How many trainings of a name and kind this process has begun. The store outlives them.
_begun: Counter[str] = Counter()


class RankStore:
    """The keys of one training; every method may raise what the store raises.

    Args:
        store: The store of the process group.
        prefix: The training's name and kind.
        rank: This process's rank.
    """

    def __init__(self, store: Any, prefix: str, rank: int) -> None:
        # The package and the framework must not wait for each other's requests.
        self._store = store.clone() if hasattr(store, "clone") else store
        self._store.set_timeout(_REQUEST_TIMEOUT)
        while True:
            _begun[prefix] += 1
            self._own = f"{prefix}/{_begun[prefix]}"
            # A training that rank 0 has ended already is not the one that begins here.
            if not self.read("published").get("closed"):
                break
        self.write(f"rank/{rank}", {"final": False, "totals": None})
        self.add("present", 1)

    def write(self, key: str, value: Any) -> None:
        """Write a value."""
        self._store.set(self._full(key), json.dumps(value))

    def read(self, key: str) -> Any:
        """Return a value; an empty one where nothing was written. Never waits for it."""
        full = self._full(key)
        return json.loads(self._store.get(full)) if self._store.check([full]) else {}

    def write_first(self, key: str, text: str) -> str:
        """Write a text unless another rank did so before; return the text of the first one."""
        return bytes(self._store.compare_set(self._full(key), "", text)).decode()

    def has(self, key: str) -> bool:
        """Return whether a key was written."""
        return bool(self._store.check([self._full(key)]))

    def text(self, key: str) -> str:
        """Return the text of a key that was written."""
        return bytes(self._store.get(self._full(key))).decode()

    def delete(self, key: str) -> None:
        """Delete a key, if the store can; a store in a file cannot."""
        with contextlib.suppress(Exception):
            self._store.delete_key(self._full(key))

    def add(self, counter: str, amount: int) -> None:
        """Add to a counter."""
        self._store.add(self._full(counter), amount)

    def count(self, counter: str) -> int:
        """Return the value of a counter."""
        return int(self._store.add(self._full(counter), 0))

    def wait_for_all(self, counter: str, timeout_s: float) -> bool:
        """Wait until as many ranks have counted as have the callback; return whether they did."""
        return wait_until(lambda: self.count(counter) >= self.count("present"), timeout_s)

    def _full(self, key: str) -> str:
        return f"{self._own}/{key}"


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until a condition is met; return whether it was met in time."""
    return any(condition() for _ in _polls(timeout_s))


def _polls(timeout_s: float) -> Iterator[None]:
    """Yield once, and then every millisecond until the time is over."""
    deadline_s = _now_s() + timeout_s
    yield
    while _now_s() < deadline_s:
        threading.Event().wait(_POLL_S)
        yield


def _now_s() -> float:
    return SystemClock.monotonic_ns() / 1e9
