"""Claims of GPUs by the ranks of one job on a node, so that each device is counted once.

The node's first rank claims every GPU that it can see. Another rank claims those that only it can see,
for example where a batch system shows each task its own GPU. A claim is a lock on a file in the
machine's temporary directory and, on Linux, the name of a socket, which ranks with private temporary
directories share: the kernel releases both when their process dies, and nodes do not share them.

Where the directory belongs to another user, or others may write there, the names alone are used.

A rank that meets the first one in neither place, such as one in a container with a network and a
temporary directory of its own, counts its GPUs, too: they are marked, and may be none of its own.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from carbon_core.file_locks import FileLock, Timeout
from carbon_core.hardware.abstract_names import ARE_SUPPORTED, HeldName, NameTaken, hold, is_taken
from carbon_core.hardware.base import Meter, Promotion, WrappedMeter
from carbon_core.record import replace
from carbon_core.records import Device, Reading

# Longest time that a rank waits for the claims of its node's first rank.
_FIRST_RANK_WAIT_S = 3.0
_STEP_S = 0.05
_FIRST = "first rank"
_MAYBE_TWICE = "the node's first rank was not found and may count it, too"


class Claims:
    """Claims of one rank.

    Attributes:
        first: Whether this is the node's first rank.
        doubtful: Whether the first rank was not found, so that it may count the same devices.

    Args:
        directory: Directory of the lock files; created, readable by this user only. One that others may
            write to is not used, where there are names of sockets.
        job: Identifies the job among others on this machine.
        first: As above; None where it is unknown: then the rank that locks first is the first.
        wait_s: How long to wait for the first rank, in seconds.
        node: Number of the node within the job, where the launcher sets it.

    Raises:
        OSError: The directory cannot be used, and the system has no names of sockets.
    """

    def __init__(
        self,
        directory: Path,
        job: str,
        *,
        first: bool | None,
        wait_s: float = _FIRST_RANK_WAIT_S,
        node: str = "",
    ) -> None:
        self._job, self._node, self._wait_s = job, node, wait_s
        self._directory: Path | None = directory
        try:
            make_private(directory)
        except OSError:
            if not ARE_SUPPORTED:
                raise
            self._directory = None
        self._locks: dict[str, FileLock | None] = {}
        self._names: dict[str, HeldName] = {}
        self.doubtful = False
        self.first = bool(first)
        if first is None:
            self.first = self._lock(_FIRST, 0.0)

    @property
    def held(self) -> frozenset[str]:
        """Ids of the devices that this rank has claimed."""
        return frozenset(self._locks) - {_FIRST}

    def take(self, device_ids: Iterable[str]) -> None:
        """Claim the devices that are free; first waits for the claims of the first rank."""
        if not self.first:
            self.doubtful = not self._met_first()
        # A rank that checks for the first rank holds that lock for a moment.
        wait_s = 4 * _STEP_S if self.first else 0.0
        for device_id in device_ids:
            self._lock(device_id, wait_s)
        if self.first:
            self._lock(_FIRST, wait_s)

    def release(self) -> None:
        """Release all claims."""
        locks, self._locks = self._locks, {}
        names, self._names = self._names, {}
        for lock in locks.values():
            if lock is not None:
                lock.release()
        for held in names.values():
            held.free()

    def _met_first(self) -> bool:
        """Wait for the claims of the first rank; return whether it has made any."""
        for _ in range(round(self._wait_s / _STEP_S)):
            if is_taken(self._address(_FIRST)) or self._is_locked(_FIRST):
                return True
            threading.Event().wait(_STEP_S)
        return False

    def _is_locked(self, name: str) -> bool:
        """Return whether another process has locked the file of a name."""
        lock = self._file(name, 0.0)
        if lock is None:
            return False
        with contextlib.suppress(Timeout, OSError):
            lock.acquire()
            lock.release()
            return False
        return True

    def _lock(self, name: str, wait_s: float) -> bool:
        if name in self._locks:
            return True
        lock = self._file(name, wait_s)
        try:
            if lock is not None:
                lock.acquire()
        except (Timeout, OSError):
            return False
        try:
            held = hold(self._address(name))
        except NameTaken:
            if lock is not None:
                lock.release()
            return False
        if lock is None and held is None and not self.first:
            return False  # other users have both the directory and the name
        self._locks[name] = lock
        if held is not None:
            self._names[name] = held
        return True

    def _file(self, name: str, wait_s: float) -> FileLock | None:
        if self._directory is None:
            return None
        digest = _digest(self._job, name)
        return FileLock(self._directory / f"{digest}.lock", timeout=wait_s)

    def _address(self, name: str) -> str:
        # With the node: tests of several nodes on one machine give each a temporary directory.
        return f"carbon-callbacks/{os.getuid()}/{_digest(self._job, self._node, name)}"


def make_private(directory: Path) -> None:
    """Create a directory that only this user can write to.

    Raises:
        OSError: It cannot be created, or what is there is of another kind.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{directory} is not a directory of this user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{directory} can be written by other users")


def _digest(*parts: str) -> str:
    import hashlib  # slow to import, and needed only by several ranks

    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


class Claimed(WrappedMeter):
    """A GPU meter, reduced to the devices that this rank has claimed.

    Args:
        meter: Reads them, and possibly others.
        claims: Claims of this rank.
    """

    def __init__(self, meter: Meter, claims: Claims) -> None:
        self._ids = claims.held
        self._is_doubtful = claims.doubtful
        own = [self._own(one) for one in meter.devices if one.id in self._ids]
        super().__init__(meter, own)

    def read(self) -> Sequence[Reading]:
        """Read the claimed devices."""
        return [one for one in self._meter.read() if one.device_id in self._ids]

    def promoted(self) -> Sequence[Promotion]:
        """Return those of the claimed devices."""
        found = [one for one in super().promoted() if one.device.id in self._ids]
        return [one._replace(device=self._own(one.device)) for one in found]

    def _own(self, device: Device) -> Device:
        return _doubted(device) if self._is_doubtful else device


def _doubted(device: Device) -> Device:
    """Return a device that another rank may count as well."""
    note = "; ".join(filter(None, (device.note, _MAYBE_TWICE)))
    return replace(device, least_share=0.0, note=note)


class _ClaimHolder(WrappedMeter):
    """A meter that holds the claims of its rank until it is closed."""

    def __init__(self, meter: Meter, claims: Claims) -> None:
        super().__init__(meter, meter.devices)
        self._claims = claims

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
