"""The extrapolated joules of one device, and how well they are known.

Their states:

    missing span ──▶ open gap ──counter delivers──▶ measured
                        ├────counter restarts────▶ settled: with a factor of two
                        └────power is read again─▶ settled: its spread is kept
    before the first reading ──▶ first gap: its spread follows from what comes after it
"""

from __future__ import annotations

import math

from carbon_core.ledger.decoders import POWER_MEMORY_S
from carbon_core.ledger.scatter import Scatter
from carbon_core.methods import EXTRAPOLATED


class _Gap:
    """Missing spans with the joules that were extrapolated for them."""

    __slots__ = ("after_j", "after_s", "beside_s", "counted_s", "joules", "span_s")

    def __init__(self) -> None:
        # Seconds, and seconds times the share that counts; those beside it that the power is from.
        self.joules = self.span_s = self.counted_s = self.beside_s = 0.0
        # The whole device's joules after it, for about as long as it lasted.
        self.after_j = self.after_s = 0.0

    def add(self, joules: float, span_s: float, counted_s: float, beside_s: float) -> None:
        self.joules += joules
        self.span_s += span_s
        self.counted_s += counted_s
        self.beside_s = beside_s

    def note_after(self, joules: float, span_s: float) -> None:
        if self.after_s < max(self.span_s, POWER_MEMORY_S):
            self.after_j += joules
            self.after_s += span_s

    def sd_j(self, scatter: Scatter) -> float:
        """Return the standard deviation of its joules: the device's own, at most a factor of two."""
        most_j = EXTRAPOLATED.sigma_ln * self.joules
        if not self.counted_s or math.isinf(self.span_s):
            return most_j
        power_w = self.joules / self.counted_s
        # The power of a short span right beside it may have been an odd one.
        odd_w = power_w - self.after_j / self.after_s if self.after_s else 0.0
        spread_w = math.hypot(scatter.spread_w(self.span_s, self.beside_s, power_w), odd_w)
        return min(most_j, spread_w * self.counted_s)


class Extrapolated:
    """Of the joules, only the share that counts.

    Args:
        scatter: What the device's power does; of an account that this one continues.

    Attributes:
        scatter: The same.
        joules: Joules that were extrapolated after the first reading and not delivered since.
        sd_j: Their standard deviation.
        first_j: Joules that were extrapolated before the first reading.
        first_sd_j: Their standard deviation.
    """

    __slots__ = (
        "_first",
        "_open",
        "_settled_j",
        "first_j",
        "first_sd_j",
        "joules",
        "scatter",
        "sd_j",
    )

    def __init__(self, scatter: Scatter | None = None) -> None:
        self.joules = self.sd_j = self.first_j = self.first_sd_j = 0.0
        self.scatter = scatter or Scatter()
        self._first: _Gap | None = None
        self._open: _Gap | None = None
        # The spread of gaps that no counter delivers any more.
        self._settled_j = 0.0

    def learn(self, joules: float, span_s: float) -> None:
        """Note the whole device's measured joules of a span."""
        if self._first is not None:
            self._first.note_after(joules, span_s)
        if self.scatter.add(joules, span_s) and self._first is not None:
            self._sum_up()

    def add(self, joules: float, span_s: float, share: float, beside_s: float | None) -> None:
        """Add joules of a gap that a counter may deliver later.

        Args:
            joules: Joules, of the share.
            span_s: Length in seconds.
            share: Share of the device's energy that counts.
            beside_s: Seconds before it that the power is the mean of; None where it is a fallback's.
        """
        self._open = self._open or _Gap()
        self.joules += joules
        self._add_to(self._open, joules, span_s, share, beside_s)

    def add_first(self, joules: float, span_s: float, share: float, beside_s: float | None) -> None:
        """Add joules of the time before the first reading; arguments as in `add`."""
        self._first = self._first or _Gap()
        self.first_j += joules
        self._add_to(self._first, joules, span_s, share, beside_s)

    def confirm(self, part: float) -> float:
        """Take out a part (0 to 1) of the open gap that a counter has delivered; return its joules."""
        gap = self._open
        if gap is None:
            return 0.0
        if part >= 1.0:
            self._open = None
            confirmed_j = gap.joules
        else:
            # What is left was too much: a device that draws more repays it.
            confirmed_j = gap.joules * part
            gap.joules -= confirmed_j
            gap.span_s = math.inf
        self.joules -= confirmed_j
        self._sum_up()
        return confirmed_j

    def doubt(self) -> None:
        """Note that a counter may have been reset within the open gap, until it is settled."""
        if self._open is not None:
            self._open.span_s = math.inf
            self._sum_up()

    def settle(self, *, was_reset: bool) -> None:
        """Note that the open gap will not be delivered.

        Args:
            was_reset: Whether a counter started at 0 again: the machine was suspended or the driver
                reloaded. The device's other power is no guide to its power meanwhile.
        """
        if self._open is not None:
            most_j = EXTRAPOLATED.sigma_ln * self._open.joules
            self._settled_j += most_j if was_reset else self._open.sd_j(self.scatter)
            self._open = None
            self._sum_up()

    def ahead_sd_j(self, joules: float, span_s: float, share: float, beside_s: float) -> float:
        """Return the standard deviation of joules that are extrapolated after the last reading."""
        gap = _Gap()
        gap.add(joules, span_s, span_s * share, beside_s)
        return gap.sd_j(self.scatter)

    def _add_to(
        self, gap: _Gap, joules: float, span_s: float, share: float, beside_s: float | None
    ) -> None:
        length_s = math.inf if beside_s is None else span_s
        gap.add(joules, length_s, span_s * share, beside_s or 0.0)
        self._sum_up()

    def _sum_up(self) -> None:
        open_j = self._open.sd_j(self.scatter) if self._open else 0.0
        self.sd_j = self._settled_j + open_j
        self.first_sd_j = self._first.sd_j(self.scatter) if self._first else 0.0
