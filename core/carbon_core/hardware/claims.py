"""Who measures which device of a node: the ranks of one job claim them, so that each counts once.

The node's first rank takes all that it can see. Another rank takes what only it can see, as where a
batch system shows each task its own GPU. A claim is a lock on a file in the machine's temporary
directory: the kernel lets go of it when its process dies, and nodes that share a directory do not meet.
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

# How long a rank waits for the first one of its node to take what it sees.
_PATIENCE_S = 3.0
_STEP_S = 0.05
_FIRST = "first rank"


class Claims:
    """One rank's claims.

    Attributes:
        first: Whether this is the node's first rank.

    Args:
        directory: Where the locks lie; made when absent, for this user alone.
        job: What tells the job from others on this machine.
        first: As above; None where the launcher does not tell: then, the one that comes first.
        patience_s: How long to wait for the first rank, in seconds.

    Raises:
        OSError: The directory cannot be used.
    """

    def __init__(
        self, directory: Path, job: str, *, first: bool | None, patience_s: float = _PATIENCE_S
    ) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(f"{directory} is not a directory of this user")
        self._directory, self._job, self._patience_s = directory, job, patience_s
        self._locks: dict[str, FileLock] = {}
        self.first = self._lock(_FIRST, 0.0) if first is None else first

    @property
    def held(self) -> frozenset[str]:
        """The devices that are this rank's."""
        return frozenset(self._locks) - {_FIRST}

    def take(self, device_ids: Iterable[str]) -> None:
        """Claim devices, as far as they are free. Waits a moment for the first rank."""
        if not self.first:
            self._await_first()
        # The one who only looks whether the first rank is there holds its lock for a moment.
        patience_s = 4 * _STEP_S if self.first else 0.0
        for device_id in device_ids:
            self._lock(device_id, patience_s)
        if self.first:
            self._lock(_FIRST, patience_s)

    def release(self) -> None:
        """Give up all claims."""
        while self._locks:
            self._locks.popitem()[1].release()

    def _await_first(self) -> None:
        for _ in range(round(self._patience_s / _STEP_S)):
            if not self._lock(_FIRST, 0.0):
                return  # another process holds it: the first rank has taken what it sees
            self._locks.pop(_FIRST).release()
            threading.Event().wait(_STEP_S)

    def _lock(self, what: str, patience_s: float) -> bool:
        name = hashlib.sha256(f"{self._job}\n{what}".encode()).hexdigest()[:32]
        if what in self._locks:
            return True
        lock = FileLock(self._directory / f"{name}.lock", timeout=patience_s, thread_local=False)
        with contextlib.suppress(Timeout, OSError):
            lock.acquire()
            self._locks[what] = lock
            return True
        return False


class Claimed:
    """The part of a GPU meter's devices that this rank has claimed.

    Args:
        meter: Reads them, and perhaps others.
        claims: What this rank holds.
    """

    def __init__(self, meter: Meter, claims: Claims) -> None:
        self._meter = meter
        self._ids = claims.held
        self.devices: Sequence[Device] = [one for one in meter.devices if one.id in self._ids]

    @property
    def period_s(self) -> float:
        """That of the meter."""
        return self._meter.period_s

    def read(self) -> Sequence[Reading]:
        """Read the devices that are this rank's."""
        return [one for one in self._meter.read() if one.device_id in self._ids]

    def close(self) -> None:
        """Close the meter."""
        self._meter.close()


class _Keeping:
    """A meter that keeps this rank's claims until it is closed."""

    def __init__(self, meter: Meter, claims: Claims) -> None:
        self._meter, self._claims = meter, claims
        self.devices, self.read = meter.devices, meter.read

    @property
    def period_s(self) -> float:
        """That of the meter."""
        return self._meter.period_s

    def close(self) -> None:
        """Close the meter and give up the claims."""
        self._meter.close()
        self._claims.release()


def kept_with(meters: Sequence[Meter], claims: Claims) -> Sequence[Meter]:
    """Return meters that keep the claims as long as the first of them is open."""
    if not meters:
        claims.release()
        return meters
    return [_Keeping(meters[0], claims), *meters[1:]]
