"""The running totals of one device."""

from __future__ import annotations

from carbon_core.ledger.decoders import UNREADABLE, decoder_for
from carbon_core.ledger.gaps import Gaps
from carbon_core.ledger.history import History
from carbon_core.records import Device, Energy
from carbon_core.units import NANOSECONDS_PER_SECOND

# More than a gigawatt-hour on one counter is invalid, however often it is repeated.
_MOST = 3.6e12


class Account:
    """One device's running totals.

    Args:
        device: What is metered.
        opened_ns: Monotonic time from which the device's energy counts, in nanoseconds.
    """

    __slots__ = (
        "_booked_ns",
        "_decoder",
        "_extrapolated_j",
        "_gaps",
        "_history",
        "_measured_j",
        "_missing_s",
        "_share",
        "device",
    )

    def __init__(self, device: Device, opened_ns: int) -> None:
        self.device = device
        self._measured_j = self._extrapolated_j = self._missing_s = 0.0
        self._booked_ns = opened_ns
        # Fraction that counts. Decoder and gaps have the whole device's values; totals have the share.
        self._share = 1.0
        self._decoder = decoder_for(device)
        self._gaps = Gaps()
        self._history = History(opened_ns)

    @property
    def energy(self) -> Energy:
        """Energy up to the last reading."""
        return Energy(self._measured_j, self._extrapolated_j, self._missing_s)

    @property
    def booked(self) -> tuple[int, float] | None:
        """When the last reading was, and the joules up to it; None while no power is known."""
        if self._gaps.unpowered_s:
            return None
        return self._booked_ns, self._measured_j + self._extrapolated_j

    def update(self, t_ns: int, value: float | None, share: float | None = None) -> None:
        """Book one reading.

        Args:
            t_ns: Monotonic time of the reading in nanoseconds.
            value: Joules or watts, by the device's kind; None when the read failed.
            share: Fraction of the energy since the previous reading that counts; None for as before.
        """
        if share is not None:
            self._share = share
        decoder, gaps = self._decoder, self._gaps
        had_value = decoder.has_value
        if t_ns <= self._booked_ns and had_value:
            return
        if value is None or not 0.0 <= value < _MOST:
            step = UNREADABLE
        else:
            step = decoder.decode(t_ns, value, gaps.power_w)
        joules, power_w, power_s, restarts = step
        if power_w is not None:
            gaps.learn(power_w, power_s)
        if joules is None:
            self._book_missing(t_ns, covered=had_value)
        if restarts:
            gaps.forget_debt()
        if joules is not None:
            self._book_measured(t_ns, joules)
        self._history.add(t_ns, self._measured_j, self._extrapolated_j, self._missing_s)

    def at(self, t_ns: int) -> Energy:
        """Return the cumulative energy at an instant: interpolated, or extrapolated after the last."""
        end_ns = self._history.end_ns
        if t_ns < end_ns:
            return self._history.at(t_ns)
        gap_s = (t_ns - end_ns) / NANOSECONDS_PER_SECOND
        ahead_j = (self._gaps.power_w or 0.0) * gap_s * self._share
        return Energy(self._measured_j, self._extrapolated_j + ahead_j, self._missing_s + gap_s)

    def _book_measured(self, t_ns: int, joules: float) -> None:
        gaps = self._gaps
        self._booked_ns = t_ns
        if gaps.debt_j:
            joules = gaps.repay(joules)
        if gaps.unpowered_s:
            owed_s = gaps.fill_in()
            power_w = (gaps.power_w or 0.0) * self._share
            self._extrapolated_j += power_w * owed_s
            self._history.fill_in(power_w, owed_s)
        self._measured_j += joules * self._share

    def _book_missing(self, t_ns: int, *, covered: bool) -> None:
        span_s = (t_ns - self._booked_ns) / NANOSECONDS_PER_SECOND
        self._booked_ns = t_ns
        self._missing_s += span_s
        self._extrapolated_j += self._gaps.extrapolate(span_s, covered=covered) * self._share
