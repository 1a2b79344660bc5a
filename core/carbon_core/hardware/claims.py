"""Claims of GPUs by the ranks of one job on a node, so that each device is counted once.

The node's first rank claims every GPU that it can see. Another rank claims those that only it can see,
for example where a batch system shows each task its own GPU. A claim is a lock on a file in the
machine's temporary directory: the kernel releases it when its process dies, and nodes do not share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from carbon_core.file_locks import FileLock, Timeout
from carbon_core.hardware.base import Meter
from carbon_core.records import Device, Reading

# Longest time that a rank waits for the claims of its node's first rank.
_FIRST_RANK_WAIT_S = 3.0
_STEP_S = 0.05
_FIRST = "first rank"


class Claims:
    """Claims of one rank.

    Attributes:
        first: Whether this is the node's first rank.

    Args:
        directory: Directory of the lock files; created, readable by this user only.
        job: Identifies the job among others on this machine.
        first: As above; None where it is unknown: then the rank that locks first is the first.
        wait_s: How long to wait for the first rank, in seconds.

    Raises:
        OSError: The directory cannot be used.
    """

    def __init__(
        self, directory: Path, job: str, *, first: bool | None, wait_s: float = _FIRST_RANK_WAIT_S
    ) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(f"{directory} is not a directory of this user")
        self._directory, self._job, self._wait_s = directory, job, wait_s
        self._locks: dict[str, FileLock] = {}
        self.first = self._lock(_FIRST, 0.0) if first is None else first

    @property
    def held(self) -> frozenset[str]:
        """Ids of the devices that this rank has claimed."""
        return frozenset(self._locks) - {_FIRST}

    def take(self, device_ids: Iterable[str]) -> None:
        """Claim the devices that are free; first waits for the claims of the first rank."""
        if not self.first:
            self._await_first()
        # A rank that checks for the first rank holds that lock for a moment.
        wait_s = 4 * _STEP_S if self.first else 0.0
        for device_id in device_ids:
            self._lock(device_id, wait_s)
        if self.first:
            self._lock(_FIRST, wait_s)

    def release(self) -> None:
        """Release all claims."""
        while self._locks:
            self._locks.popitem()[1].release()

    def _await_first(self) -> None:
        for _ in range(round(self._wait_s / _STEP_S)):
            if not self._lock(_FIRST, 0.0):
                return  # another process holds it: the first rank has made its claims
            self._locks.pop(_FIRST).release()
            threading.Event().wait(_STEP_S)

    def _lock(self, name: str, wait_s: float) -> bool:
        if name in self._locks:
            return True
        digest = hashlib.sha256(f"{self._job}\n{name}".encode()).hexdigest()[:32]
        lock = FileLock(self._directory / f"{digest}.lock", timeout=wait_s)
        with contextlib.suppress(Timeout, OSError):
            lock.acquire()
            self._locks[name] = lock
            return True
        return False


class Claimed:
    """A GPU meter, reduced to the devices that this rank has claimed.

    Args:
        meter: Reads them, and possibly others.
        claims: Claims of this rank.
    """

    def __init__(self, meter: Meter, claims: Claims) -> None:
        self._meter = meter
        self._ids = claims.held
        self.devices: Sequence[Device] = [one for one in meter.devices if one.id in self._ids]

    @property
    def period_s(self) -> float:
        """The period of the meter."""
        return self._meter.period_s

    def read(self) -> Sequence[Reading]:
        """Read the claimed devices."""
        return [one for one in self._meter.read() if one.device_id in self._ids]

    def close(self) -> None:
        """Close the meter."""
        self._meter.close()


class _ClaimHolder:
    """A meter that holds the claims of its rank until it is closed."""

    def __init__(self, meter: Meter, claims: Claims) -> None:
        self._meter, self._claims = meter, claims
        self.devices, self.read = meter.devices, meter.read

    @property
    def period_s(self) -> float:
        """The period of the meter."""
        return self._meter.period_s

    def close(self) -> None:
        """Close the meter and release the claims."""
        self._meter.close()
        self._claims.release()


def kept_with(meters: Sequence[Meter], claims: Claims) -> Sequence[Meter]:
    """Return meters that hold the claims as long as the first of them is open."""
    if not meters:
        claims.release()
        return meters
    return [_ClaimHolder(meters[0], claims), *meters[1:]]
