"""The running totals of one device."""

from __future__ import annotations

from typing import NamedTuple

from carbon_core.ledger.decoders import UNREADABLE, Step, decoder_for
from carbon_core.ledger.extrapolated import Extrapolated
from carbon_core.ledger.gaps import Gaps
from carbon_core.ledger.history import History
from carbon_core.ledger.opening import Opening
from carbon_core.records import Device, Energy
from carbon_core.units import NANOSECONDS_PER_SECOND

# More than a gigawatt-hour on one counter is invalid, however often it is repeated.
_MOST = 3.6e12


class Silence(NamedTuple):
    """A device without a valid reading.

    Attributes:
        device: The device.
        is_still: Whether its counter can be read and stands still.
        is_known: Whether its power is known, so that its energy is extrapolated.
    """

    device: Device
    is_still: bool
    is_known: bool


class Account:
    """One device's running totals.

    Readings made before the account opens add nothing. They give a counter its first value: of the
    energy up to the next one, the part after the opening counts, so that nothing is extrapolated.

    Attributes:
        opening: The time before the first reading.

    Args:
        device: What is metered.
        opened_ns: Monotonic time from which the device's energy counts, in nanoseconds.
    """

    __slots__ = (
        "_before_ns",
        "_booked_ns",
        "_decoder",
        "_extrapolated",
        "_failures",
        "_gaps",
        "_history",
        "_is_closed",
        "_is_still",
        "_is_stopped",
        "_measured_j",
        "_missing_s",
        "_opened_ns",
        "_settled_ns",
        "_share",
        "device",
        "opening",
    )

    def __init__(self, device: Device, opened_ns: int) -> None:
        self.device = device
        self._measured_j = self._missing_s = 0.0
        self._extrapolated = Extrapolated()
        self._opened_ns = self._booked_ns = opened_ns
        # The last valid reading before the opening, until the first one after it.
        self._before_ns: int | None = None
        # Until then, energy or missing time was booked; from then on, readings that added nothing.
        self._settled_ns = opened_ns
        self._failures = 0
        # The last one: whether the present standstill is booked.
        self._is_closed = self._is_still = self._is_stopped = False
        # Fraction that counts. Decoder and gaps have the whole device's values; totals have the share.
        self._share = 1.0
        self._decoder = decoder_for(device)
        self._gaps = Gaps()
        self._history = History(opened_ns)
        self.opening = Opening(opened_ns, 0.0, 0.0, 0.0)

    @property
    def energy(self) -> Energy:
        """Energy up to the last reading."""
        return Energy(*self._totals).plus(self.opening.up_to(self._booked_ns))

    @property
    def booked(self) -> tuple[int, float] | None:
        """When the last reading was, and the joules up to it; None while no power is known."""
        if self._gaps.unpowered_s:
            return None
        return self._booked_ns, self._measured_j + self._extrapolated.joules + self.opening.joules

    def silence(self, failures: int) -> Silence | None:
        """Return a silence where the last `failures` readings or more have failed."""
        if self._failures < failures:
            return None
        return Silence(self.device, self._is_still, self._gaps.power_w is not None)

    def successor(self, device: Device) -> Account:
        """End with the last reading, and return an account of the device as it is read from then on.

        The power so far applies to both.
        """
        self._is_closed = True
        account = Account(device, self._booked_ns)
        account._extrapolated = Extrapolated(self._extrapolated.scatter)
        if self._gaps.power_w is not None:
            account._gaps.learn(self._gaps.power_w, 0.0)
        return account

    def update(
        self,
        t_ns: int,
        value: float | None,
        share: float | None = None,
        power_w: float | None = None,
    ) -> None:
        """Book one reading.

        Args:
            t_ns: Monotonic time of the reading in nanoseconds.
            value: Joules or watts, by the device's kind; None when the read failed.
            share: Fraction of the energy since the previous reading that counts; None for as before.
            power_w: Power by a fallback in watts, used where the value is invalid; or None.
        """
        if share is not None:
            self._share = share
        decoder, gaps = self._decoder, self._gaps
        if t_ns < self._opened_ns or (t_ns == self._opened_ns and self._before_ns is not None):
            self._note_before(t_ns, value)
            return
        had_value = decoder.has_value
        if t_ns <= self._booked_ns and had_value:
            return
        if value is None or not 0.0 <= value < _MOST:
            step = UNREADABLE
        else:
            step = decoder.decode(t_ns, value, gaps.power_w, gaps.debt_j)
        step = step if self._before_ns is None else self._since_opened(step, t_ns)
        self._note(step)
        self._learn(step)
        if step.joules is None:
            if power_w is not None and self._failures and 0.0 <= power_w <= self.device.max_power_w:
                self._learn_fallback(power_w)
            self._book_missing(t_ns, covered=had_value, is_suspect=step.is_suspect)
        if step.restarts:
            gaps.forget_debt()
            self._extrapolated.settle(was_reset=self.device.kind != "power")
        if step.joules is not None:
            self._book_measured(t_ns, step.joules)
        self._history.add(t_ns, *self._totals)
        self._note_opening()

    def at(self, t_ns: int) -> Energy:
        """Return the cumulative energy at an instant: interpolated, or extrapolated after the last."""
        energy = self.since_first(t_ns).plus(self.opening.up_to(t_ns))
        return energy if self.has_begun else energy.plus(self._ahead(t_ns))

    def since_first(self, t_ns: int) -> Energy:
        """Return the energy from the first reading to an instant, as `at`; without the `opening`."""
        if t_ns < self._history.end[0] or self._is_closed or not self.has_begun:
            return self._history.at(t_ns)
        return self._ahead(t_ns)

    @property
    def has_begun(self) -> bool:
        """Whether the opening is over: missing time is a gap from then on."""
        return self._decoder.has_value and self._gaps.power_w is not None

    def _ahead(self, t_ns: int) -> Energy:
        # Of one moment, whatever the sampler's thread books meanwhile.
        end_ns, measured_j, extrapolated_j, missing_s, sd_j = self._history.end
        gap_s = max(0.0, (t_ns - end_ns) / NANOSECONDS_PER_SECOND)
        ahead_j = (self._gaps.power_w or 0.0) * gap_s * self._share
        if ahead_j:
            sd_j += self._extrapolated.ahead_sd_j(ahead_j, gap_s, self._share, self._gaps.power_s)
        return Energy(measured_j, extrapolated_j + ahead_j, missing_s + gap_s, sd_j)

    @property
    def _totals(self) -> tuple[float, float, float, float]:
        extrapolated = self._extrapolated
        return self._measured_j, extrapolated.joules, self._missing_s, extrapolated.sd_j

    def _note_opening(self) -> None:
        first_j, sd_j = self._extrapolated.first_j, self._extrapolated.first_sd_j
        if self.opening.span_s and (first_j, sd_j) != self.opening[2:]:
            self.opening = self.opening._replace(joules=first_j, sd_j=sd_j)

    def _note_before(self, t_ns: int, value: float | None) -> None:
        """Note a reading made before the account opens."""
        is_newer = self._before_ns is None or t_ns > self._before_ns
        if is_newer and value is not None and 0.0 <= value < _MOST:
            self._decoder.decode(t_ns, value, None, 0.0)
            self._before_ns = t_ns

    def _since_opened(self, step: Step, t_ns: int) -> Step:
        """Return the part of the first step across the opening that comes after it."""
        if step.restarts:
            self._before_ns = None
        if self._before_ns is None or step.joules is None:
            return step
        part = (t_ns - self._opened_ns) / (t_ns - self._before_ns)
        self._before_ns = None
        return step._replace(joules=step.joules * part, power_s=step.power_s * part)

    def _learn(self, step: Step) -> None:
        """Note the power of a step, and how it varies."""
        if step.power_w is not None:
            self._gaps.learn(step.power_w, step.power_s)
            if step.joules is not None:
                self._extrapolated.learn(step.joules, step.power_s)

    def _note(self, step: Step) -> None:
        """Count the failed readings in a row; a first value is none."""
        self._is_still = step.still_ns is not None
        failed = step.joules is None and (self._is_still or not step.restarts)
        if self._failures and not failed:
            self._gaps.forget_fallback()
        self._failures = self._failures + 1 if failed else 0
        if step.joules or step.restarts:
            self._is_stopped = False
        if step.still_ns is None or self._is_stopped:
            return
        # Its readings since it stopped were booked as nothing: they are missing, too. Of a window, the
        # missing time may therefore exceed the length.
        self._is_stopped = True
        self._booked_ns = min(self._booked_ns, max(step.still_ns, self._settled_ns))
        self._extrapolated.add(
            self._gaps.stopped_j() * self._share, 0.0, self._share, self._beside_s
        )

    @property
    def _beside_s(self) -> float | None:
        """Seconds that the power is the mean of; None where it is a fallback's."""
        return None if self._gaps.has_fallback else self._gaps.power_s

    def _learn_fallback(self, power_w: float) -> None:
        gaps = self._gaps
        gaps.learn_fallback(power_w)
        if gaps.unpowered_s:
            delivered_s, owed_s = gaps.fill_in_all()
            self._fill_in(owed_s)
            power_w = (gaps.power_w or 0.0) * self._share
            self._extrapolated.add(power_w * delivered_s, delivered_s, self._share, None)

    def _book_measured(self, t_ns: int, joules: float) -> None:
        gaps = self._gaps
        self._booked_ns = t_ns
        if joules:
            self._settled_ns = t_ns
        if gaps.debt_j:
            joules, part = gaps.repay(joules)
            self._measured_j += self._extrapolated.confirm(part)
        if gaps.unpowered_s and gaps.power_w is not None:
            self._fill_in(gaps.fill_in())
        self._measured_j += joules * self._share

    def _fill_in(self, owed_s: float) -> None:
        power_w = (self._gaps.power_w or 0.0) * self._share
        self._extrapolated.add_first(power_w * owed_s, owed_s, self._share, self._beside_s)

    def _book_missing(self, t_ns: int, *, covered: bool, is_suspect: bool) -> None:
        span_s = (t_ns - self._booked_ns) / NANOSECONDS_PER_SECOND
        self._booked_ns = self._settled_ns = t_ns
        is_opening = not covered or self._gaps.power_w is None
        joules = self._gaps.extrapolate(span_s, covered=covered) * self._share
        if not is_opening:
            self._missing_s += span_s
        else:
            self.opening = self.opening._replace(span_s=self.opening.span_s + span_s)
        if joules:
            add = self._extrapolated.add_first if is_opening else self._extrapolated.add
            add(joules, span_s, self._share, self._beside_s)
        # It may have rested: its counter fell, or there was not even a failed read in so long a time.
        if is_suspect or (self.device.kind == "power" and span_s > self.device.max_gap_s):
            self._extrapolated.doubt()
