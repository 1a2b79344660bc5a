"""Shares of a device among the processes of a study, from the numbers of their open trials over time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

# Monotonic time that is never reached.
NEVER_NS = 2**63


class Course:
    """The devices that a process of a study measures, and its number of open trials, over time.

    Attributes:
        keys: The devices (`key_of`) that it measures, each with the monotonic time since when other
            processes can detect that.
        ended_ns: Monotonic time of its end.
    """

    def __init__(self, name: str) -> None:
        self.keys: dict[str, int] = {}
        self.ended_ns = NEVER_NS
        self._name = name
        self._times_ns: list[int] = []
        self._open: list[int] = []

    @property
    def place(self) -> tuple[int, str]:
        """Its place among others: the lowest one counts the time without any trial."""
        return (self._times_ns[0] if self.has_begun else NEVER_NS), self._name

    @property
    def has_begun(self) -> bool:
        """Whether it has taken part."""
        return bool(self._times_ns)

    @property
    def open_now(self) -> int:
        """Number of trials that are open."""
        return self._open[-1] if self._open else 0

    def note_keys(self, t_ns: int, keys: Iterable[str]) -> None:
        """Add devices that it measures from a time on."""
        for key in keys:
            self.keys.setdefault(key, t_ns)

    def note(self, t_ns: int, count: int) -> None:
        """Add the number of open trials from a time on."""
        self._times_ns.append(max(t_ns, self._times_ns[-1] if self._times_ns else t_ns))
        self._open.append(count)

    def is_present(self, t_ns: int) -> bool:
        """Return whether it took part at a time."""
        return self.has_begun and self._times_ns[0] <= t_ns < self.ended_ns

    def open_at(self, t_ns: int) -> int:
        """Return the number of its trials that were open at a time."""
        before = bisect_right(self._times_ns, t_ns)
        return self._open[before - 1] if before and t_ns < self.ended_ns else 0

    def changes(self, from_ns: int, to_ns: int) -> Iterator[int]:
        """Yield the times of changes within a span."""
        first = bisect_right(self._times_ns, from_ns)
        yield from self._times_ns[first : bisect_right(self._times_ns, to_ns - 1)]
        if from_ns < self.ended_ns < to_ns:
            yield self.ended_ns


def mean_share(own: Course, others: Sequence[Course], key: str, from_ns: int, to_ns: int) -> float:
    """Return the share (0 to 1) of a device that a process counts over a span.

    Args:
        own: The process.
        others: The other processes.
        key: The device.
        from_ns: Begin of the span.
        to_ns: Its end; if equal, the share right after it is returned.
    """
    if to_ns <= from_ns:
        return _share_at(own, others, key, to_ns)
    edges = {from_ns, to_ns}
    for course in (own, *others):
        edges.update(course.changes(from_ns, to_ns))
        if from_ns < course.keys.get(key, to_ns) < to_ns:
            edges.add(course.keys[key])
    ordered = sorted(edges)
    counted_ns = sum(
        _share_at(own, others, key, begin) * (end - begin) for begin, end in pairwise(ordered)
    )
    return counted_ns / (to_ns - from_ns)


def _share_at(own: Course, others: Sequence[Course], key: str, t_ns: int) -> float:
    present = [one for one in (own, *others) if key in one.keys and one.is_present(t_ns)]
    # Until others can detect a process, they count its part.
    known = [one for one in present if one.keys[key] <= t_ns] or present
    if own not in known:
        return 0.0
    all_open = sum(one.open_at(t_ns) for one in known)
    if all_open:
        return own.open_at(t_ns) / all_open
    return float(own is min(known, key=lambda one: one.place))
