"""Divides a machine among the processes of a study, so that each joule is counted once.

Every process of a study measures the machine and counts its share: its open trials by those of all
processes that measure the same device. While no trial is open anywhere, the oldest process counts the
machine; when it ends or is killed, the next one does.

The processes see each other in files (`study_board`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from carbon_core.hardware.base import Meter, WrappedMeter
from carbon_core.hardware.claims import make_private
from carbon_core.hardware.study_board import Board
from carbon_core.hardware.study_course import Course, mean_share
from carbon_core.records import Component, Device, Reading

# Beside other processes, meters are read so often: energy between two readings is divided by time.
_PERIOD_S = 0.5
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - only a directory of this user is used


class Membership:
    """This process as one of a study; takes part while it has a run of that.

    Args:
        study_id: Id of the study.
        directory: Directory of the files; None where there is none: then it counts everything.
    """

    def __init__(self, study_id: str, directory: Path | None) -> None:
        self.pid = os.getpid()
        self._board = Board(study_id, directory)
        self._mutex = threading.RLock()
        self._own: Course | None = None
        # Number of open meters by device, also before the process takes part.
        self._keys: Counter[str] = Counter()
        self._runs = self._studies = self._trials = 0

    @property
    def has_peers(self) -> bool:
        """Whether other processes of the study were seen that have not ended."""
        with self._mutex:
            return self._board.has_peers

    def add_run(self, t_ns: int) -> None:
        """Begin a run that is a trial.

        Args:
            t_ns: Monotonic time, as in the methods below.
        """
        with self._mutex:
            self._runs += 1
            self._update(t_ns)

    def remove_run(self, t_ns: int) -> None:
        """End a run that is a trial."""
        with self._mutex:
            self._runs -= 1
            self._update(t_ns)

    def add_study(self, t_ns: int) -> None:
        """Begin a run that measures several trials; runs within it add none."""
        with self._mutex:
            self._studies += 1
            self._update(t_ns)

    def remove_study(self, t_ns: int) -> None:
        """End a run that measures several trials."""
        with self._mutex:
            self._studies -= 1
            self._trials = self._trials if self._studies else 0
            self._update(t_ns)

    def set_trials(self, count: int, t_ns: int) -> None:
        """Set the number of trials that are open."""
        with self._mutex:
            self._trials = count
            self._update(t_ns)

    def shares(self, keys: Iterable[str], from_ns: int, to_ns: int) -> dict[str, float]:
        """Return the share (0 to 1) of each device over a span; empty while it takes no part.

        Args:
            keys: The devices (`key_of`).
            from_ns: Begin of the span; what precedes the first run of this process does not count.
            to_ns: Its end.
        """
        with self._mutex:
            own, wanted = self._own, set(keys)
            if own is None or not own.is_present(to_ns):
                return {}
            self._publish(to_ns, wanted)
            peers = self._board.peers(to_ns)
            first_ns = max(from_ns, own.place[0])
            return {key: mean_share(own, peers, key, first_ns, to_ns) for key in wanted}

    def add_meter(self, keys: Iterable[str], t_ns: int) -> None:
        """Note the devices of a meter of this process."""
        with self._mutex:
            self._keys.update(keys)
            self._publish(t_ns, +self._keys)

    def remove_meter(self, keys: Iterable[str]) -> None:
        """Note that a meter is closed: a later run of this process may measure other devices."""
        with self._mutex:
            self._keys.subtract(keys)

    def _publish(self, t_ns: int, keys: Iterable[str]) -> None:
        own = self._own
        new = [] if own is None else sorted({*keys} - own.keys.keys())
        if own is not None and new:
            own.note_keys(t_ns, new)
            self._board.append({"t_ns": t_ns, "keys": new})

    def _update(self, t_ns: int) -> None:
        if self.pid != os.getpid():
            return  # a forked child's copy
        if not self._runs and not self._studies:
            self._own = None
            self._board.leave(t_ns)
            return
        if self._own is None:
            self._own = Course(self._board.join(t_ns))
            self._publish(t_ns, +self._keys)
        count = self._trials if self._studies else min(1, self._runs)
        if not self._own.has_begun or count != self._own.open_now:
            self._own.note(t_ns, count)
            self._board.append({"t_ns": t_ns, "open": count})


class StudyMeter(WrappedMeter):
    """A meter, reduced to the share of this process in its study.

    Args:
        meter: Reads the whole machine, or the share of the job.
        study_id: The study.
        components: Those whose energy is divided.
    """

    def __init__(self, meter: Meter, study_id: str, components: Collection[Component]) -> None:
        super().__init__(meter, meter.devices)
        self._study_id = study_id
        self._key_of = {one.id: key_of(one) for one in meter.devices if one.component in components}
        # Of each device: when it was read last, and the share of the job.
        self._read_ns: dict[str, int] = {}
        self._of_job: dict[str, float] = {}
        self._joined: Membership | None = None

    @property
    def period_s(self) -> float:
        """The period of the meter, or a shorter one beside other processes of the study."""
        period_s = self._meter.period_s
        return min(period_s, _PERIOD_S) if self._membership.has_peers else period_s

    def read(self) -> list[Reading]:
        """Read the meter; each reading carries the share of the span since the previous one."""
        return [self._shared(one) for one in self._meter.read()]

    def join(self, now_ns: int) -> None:
        """Let the other processes of the study see the devices, until the meter is closed."""
        self._joined = self._membership
        self._joined.add_meter(set(self._key_of.values()), now_ns)

    def close(self) -> None:
        """Close the meter."""
        self._meter.close()
        joined, self._joined = self._joined, None
        if joined is not None:
            joined.remove_meter(set(self._key_of.values()))

    @property
    def _membership(self) -> Membership:
        return membership_of(self._study_id)

    def _shared(self, reading: Reading) -> Reading:
        device_id, t_ns = reading.device_id, reading.t_ns
        key = self._key_of.get(device_id)
        if key is None:
            return reading
        from_ns = self._read_ns.get(device_id, t_ns)
        self._read_ns[device_id] = t_ns
        if reading.share is not None:
            self._of_job[device_id] = reading.share
        share = self._membership.shares([key], from_ns, t_ns).get(key)
        if share is None:
            return reading
        return reading._replace(share=share * self._of_job.get(device_id, 1.0))


def shared_in_study(
    meters: Sequence[Meter], study_id: str, components: Collection[Component], now_ns: int
) -> Sequence[Meter]:
    """Return the meters, reduced to the share of this process in its study.

    Args:
        meters: They read the whole machine, or the share of the job.
        study_id: The study.
        components: Those whose energy is divided.
        now_ns: Monotonic time.
    """
    shared = [StudyMeter(one, study_id, components) for one in meters]
    for one in shared:
        one.join(now_ns)
    return shared


def key_of(device: Device) -> str:
    """Return what identifies a device for all processes of a machine, whatever their meters are."""
    return device.id if device.component == "gpu" else device.component


_memberships: dict[str, Membership] = {}


def membership_of(study_id: str) -> Membership:
    """Return this process as one of a study."""
    found = _memberships.get(study_id)
    if found is None or found.pid != os.getpid():
        found = _memberships[study_id] = Membership(study_id, _directory())
    return found


def _directory() -> Path | None:
    """Return the directory of the files, which only this user can write to; None where there is none."""
    if sys.platform == "win32":
        return None
    import tempfile  # slow to import, and needed only in a study

    for parent in (_IN_MEMORY, Path(tempfile.gettempdir())):
        directory = parent / f"carbon-callbacks-{os.getuid()}"
        with contextlib.suppress(OSError):
            make_private(directory)
            return directory
    return None
