"""The time of an account before its device's power is known: extrapolated, once it is."""

from __future__ import annotations

from typing import NamedTuple

from carbon_core.records import NO_ENERGY, Energy
from carbon_core.units import NANOSECONDS_PER_SECOND


class Opening(NamedTuple):
    """The energy of the time before a device's first reading, distributed evenly over that time.

    It is kept beside the totals: a mark within that time was resolved before anything was known, and
    its totals are completed by this when they are read.

    Attributes:
        begin_ns: Monotonic time at which the account opened, in nanoseconds.
        span_s: Seconds up to the first reading.
        joules: Joules extrapolated for it; 0 while no power is known.
        sd_j: Their standard deviation.
    """

    begin_ns: int
    span_s: float
    joules: float
    sd_j: float

    def within(self, begin_ns: int, end_ns: int) -> Energy:
        """Return the part between two instants in monotonic nanoseconds."""
        if not self.span_s:
            return NO_ENERGY
        begin_s = max(0.0, (begin_ns - self.begin_ns) / NANOSECONDS_PER_SECOND)
        end_s = min(self.span_s, (end_ns - self.begin_ns) / NANOSECONDS_PER_SECOND)
        if end_s <= begin_s:
            return NO_ENERGY
        part = (end_s - begin_s) / self.span_s
        return Energy(0.0, self.joules * part, end_s - begin_s, self.sd_j * part)

    def up_to(self, t_ns: int) -> Energy:
        """Return the part before an instant in monotonic nanoseconds."""
        return self.within(self.begin_ns, t_ns)
