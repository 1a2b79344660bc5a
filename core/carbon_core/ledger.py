"""Running totals: joules by device, grams by price. Pure, and of fixed size however long a run is.

One rule covers counters and polled power alike: a reading adds a non-negative amount to what was
measured, or else the span since the last booking becomes missing and is carried over from the
neighbouring power. No total ever falls, so any two snapshots subtract to a sensible window.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from carbon_core import units
from carbon_core.records import Device, Energy, Intensity, PriceShare, Reading, Snapshot
from carbon_core.units import NANOSECONDS_PER_SECOND

# Marks are resolved after the next reading of every device, so a few points of history suffice.
_HISTORY = 4
# More than a gigawatt-hour on one counter is no reading, however often it is repeated.
_MOST = 3.6e12
# Looked up every two minutes, the price of 17 hours; after that, spans of the same kind are joined.
_MAX_PRICES = 512
# A counter went round when its last power says so; the hundredth is for power that is not known exactly.
_ROUND = 0.99
# What is carried over is the mean power of about so long: a counter that advances in steps shows no
# power at all, or twice the true one, between two readings that follow each other closely.
_POWER_MEMORY_S = 10.0


class Account:
    """One device's running totals.

    Args:
        device: What is metered.
        opened_ns: Monotonic time from which the device's energy counts, in nanoseconds.
    """

    __slots__ = (
        "_booked_ns",
        "_covered_s",
        "_debt_j",
        "_extrapolated_j",
        "_measured_j",
        "_missing_s",
        "_points",
        "_power_s",
        "_power_w",
        "_raw",
        "_raw_ns",
        "_share",
        "_suspect",
        "_unpowered_s",
        "device",
    )

    def __init__(self, device: Device, opened_ns: int) -> None:
        self.device = device
        self._measured_j = self._extrapolated_j = self._missing_s = 0.0
        self._booked_ns = opened_ns
        self._raw: float | None = None
        self._raw_ns = opened_ns
        # Fraction that counts. Raw values, power and debt are the whole device's; totals are not.
        self._share = 1.0
        self._power_w: float | None = None
        # Seconds that this power is the mean of.
        self._power_s = 0.0
        # Seconds that went missing before any power was known; filled in by the first known power.
        self._unpowered_s = 0.0
        # Of these, the seconds since the first reading: a counter that goes on will deliver them.
        self._covered_s = 0.0
        # A value that made no sense, until the next one tells whether it was the counter or the read.
        self._suspect: tuple[int, float] | None = None
        # Joules extrapolated over failed reads, which a surviving counter will deliver again.
        self._debt_j = 0.0
        # Flat tuples (t_ns, *energy): this is written at every reading of every device.
        self._points = deque([(opened_ns, 0.0, 0.0, 0.0)], _HISTORY)

    @property
    def energy(self) -> Energy:
        """Energy up to the last reading."""
        return Energy(self._measured_j, self._extrapolated_j, self._missing_s)

    @property
    def booked(self) -> tuple[int, float] | None:
        """When the last reading was, and the joules up to it; None while no power is known."""
        if self._unpowered_s:
            return None
        return self._booked_ns, self._measured_j + self._extrapolated_j

    def update(self, t_ns: int, value: float | None, share: float | None = None) -> None:
        """Book one reading.

        Args:
            t_ns: Monotonic time of the reading in nanoseconds.
            value: Joules or watts, as the device's kind says; None when the read failed.
            share: Fraction of the energy since the previous reading that counts; None for as before.
        """
        if share is not None:
            self._share = share
        if t_ns <= self._booked_ns and self._raw is not None:
            return
        if value is None or not 0.0 <= value < _MOST:
            self._book_missing(t_ns)
        elif self._raw is None:
            self._begin(t_ns, value)
        elif self.device.kind == "counter":
            self._book_counter(t_ns, value, self._raw)
        else:
            self._book_power(t_ns, value, self._raw)
        self._points.append((t_ns, self._measured_j, self._extrapolated_j, self._missing_s))

    def at(self, t_ns: int) -> Energy:
        """Return the cumulative energy at an instant, interpolated between readings."""
        points = tuple(self._points)
        if t_ns >= points[-1][0]:
            return self._carried_to(t_ns)
        if t_ns <= points[0][0]:
            return Energy(*points[0][1:])
        upper = bisect_left(points, t_ns, key=lambda point: point[0])
        (t0, *before), (t1, *after) = points[upper - 1], points[upper]
        share = (t_ns - t0) / (t1 - t0)
        return Energy(*(a + (b - a) * share for a, b in zip(before, after)))

    def _carried_to(self, t_ns: int) -> Energy:
        gap_s = (t_ns - self._points[-1][0]) / NANOSECONDS_PER_SECOND
        carried_j = (self._power_w or 0.0) * gap_s * self._share
        return Energy(self._measured_j, self._extrapolated_j + carried_j, self._missing_s + gap_s)

    def _begin(self, t_ns: int, raw: float) -> None:
        """Take the first reading: what came before it can only be extrapolated."""
        if self.device.kind == "power":
            if raw > self.device.max_power_w:
                self._book_missing(t_ns)
                return
            self._power_w = raw
        self._book_missing(t_ns)
        self._raw, self._raw_ns = raw, t_ns
        self._debt_j = 0.0

    def _book_counter(self, t_ns: int, raw_j: float, before_j: float) -> None:
        if self._suspect is not None:
            self._settle_suspect(t_ns, raw_j, *self._suspect)
            before_j = self._raw if self._raw is not None else raw_j
        delta_j = self._plausible_j(t_ns - self._raw_ns, raw_j, before_j)
        if delta_j is None:
            self._book_missing(t_ns)
            self._suspect = (t_ns, raw_j)
        else:
            span_s = (t_ns - self._raw_ns) / NANOSECONDS_PER_SECOND
            self._raw, self._raw_ns = raw_j, t_ns
            self._book_measured(t_ns, delta_j, delta_j / span_s, span_s)

    def _settle_suspect(self, t_ns: int, raw_j: float, since_ns: int, suspect_j: float) -> None:
        """Decide whether the last, implausible value was a bad read or where the counter is now.

        Two readings in a row that agree with each other outweigh the one before: the counter was
        reset, or moved with its machine, and what it had not told by then it will never tell.
        """
        self._suspect = None
        if self._plausible_j(t_ns - since_ns, raw_j, suspect_j) is not None:
            self._raw, self._raw_ns = suspect_j, since_ns
            self._debt_j = self._covered_s = 0.0

    def _plausible_j(self, span_ns: int, after_j: float, before_j: float) -> float | None:
        """Return the joules between two counter values, or None when no device could draw them."""
        delta_j = after_j - before_j
        if delta_j < 0.0 and self.device.wrap_j is not None:
            delta_j += self.device.wrap_j
        limit_j = self.device.max_power_w * span_ns / NANOSECONDS_PER_SECOND
        if not 0.0 <= delta_j <= limit_j:
            return None
        unseen_j = self._unseen_rounds_j(span_ns, delta_j)
        return delta_j + unseen_j if delta_j + unseen_j <= limit_j else delta_j

    def _unseen_rounds_j(self, span_ns: int, delta_j: float) -> float:
        """Return the whole rounds that a counter made unseen, by the power known last.

        Only where that power would have taken it all the way round: below that, a load that fell
        is the likelier story.
        """
        wrap_j, power_w = self.device.wrap_j, self._power_w
        if wrap_j is None or power_w is None:
            return 0.0
        expected_j = power_w * span_ns / NANOSECONDS_PER_SECOND
        if expected_j < _ROUND * wrap_j:
            return 0.0
        return max(0, round((expected_j - delta_j) / wrap_j)) * wrap_j

    def _book_power(self, t_ns: int, power_w: float, before_w: float) -> None:
        if power_w > self.device.max_power_w:
            self._book_missing(t_ns)
            return
        span_s = (t_ns - self._raw_ns) / NANOSECONDS_PER_SECOND
        mean_w = (before_w + power_w) / 2
        self._raw, self._raw_ns = power_w, t_ns
        if span_s > self.device.max_gap_s:
            self._power_w, self._power_s = mean_w, _POWER_MEMORY_S
            self._book_missing(t_ns)
            self._debt_j = 0.0
        else:
            self._book_measured(t_ns, mean_w * span_s, mean_w, span_s)

    def _book_measured(self, t_ns: int, delta_j: float, power_w: float, span_s: float) -> None:
        self._booked_ns = t_ns
        self._learn_power(power_w, span_s)
        if self._debt_j:
            repaid_j = min(delta_j, self._debt_j)
            self._debt_j -= repaid_j
            delta_j -= repaid_j
        if self._unpowered_s:
            self._fill_in(power_w)
        self._measured_j += delta_j * self._share

    def _learn_power(self, power_w: float, span_s: float) -> None:
        """Take a span into the power that missing time is given."""
        before_w = self._power_w
        if before_w is None or span_s >= _POWER_MEMORY_S:
            self._power_w, self._power_s = power_w, min(_POWER_MEMORY_S, span_s)
            return
        self._power_s = min(_POWER_MEMORY_S, self._power_s + span_s)
        self._power_w = before_w + (power_w - before_w) * span_s / self._power_s

    def _fill_in(self, power_w: float) -> None:
        """Give the time before any power was known the first one that is."""
        power_w *= self._share
        owed_s = self._unpowered_s - self._covered_s
        self._unpowered_s = self._covered_s = 0.0
        self._extrapolated_j += power_w * owed_s
        earlier = [(t, m, e + power_w * min(s, owed_s), s) for t, m, e, s in self._points]
        self._points = deque(earlier, _HISTORY)

    def _book_missing(self, t_ns: int) -> None:
        span_s = (t_ns - self._booked_ns) / NANOSECONDS_PER_SECOND
        self._booked_ns = t_ns
        self._missing_s += span_s
        if self._power_w is None:
            self._unpowered_s += span_s
            self._covered_s += span_s if self._raw is not None else 0.0
        else:
            self._extrapolated_j += self._power_w * span_s * self._share
            self._debt_j += self._power_w * span_s


class Ledger:
    """All devices' totals.

    Args:
        opened_ns: Monotonic time at which the run began, in nanoseconds.
    """

    def __init__(self, opened_ns: int) -> None:
        self._opened_ns = opened_ns
        self._accounts: dict[str, Account] = {}
        self._devices: tuple[Device, ...] = ()

    def add_devices(self, devices: Sequence[Device]) -> None:
        """Open an account for each device, counting from the beginning of the run."""
        for device in devices:
            self._accounts[device.id] = Account(device, self._opened_ns)
        self._devices = tuple(account.device for account in self._accounts.values())

    def update(self, readings: Iterable[Reading]) -> None:
        """Book the readings of one tick."""
        accounts = self._accounts
        for device_id, t_ns, value, share in readings:
            accounts[device_id].update(t_ns, value, share)

    def readings(self) -> Iterator[tuple[int, int, float]]:
        """Give each device whose power is known: its number, when it was booked last, its joules."""
        for i, account in enumerate(self._accounts.values()):
            if (booked := account.booked) is not None:
                yield (i, *booked)

    def snapshot(self, t_ns: int) -> Snapshot:
        """Return the totals at an instant that lies within or after the last few readings."""
        energies = tuple(account.at(t_ns) for account in self._accounts.values())
        return Snapshot(t_ns, self._devices, energies)


class _Priced(NamedTuple):
    """Where a span that is priced ends, in cumulative joules and grams, and what priced it."""

    end_j: float
    end_g: float
    intensity: Intensity


_NOTHING = _Priced(0.0, 0.0, Intensity(0.0, "", "", "user", None, 0.0))


class PriceCurve:
    """Grams as a function of cumulative joules.

    Energy only ever grows, so a price change is a point on the joule axis. A price may be set late,
    for the joules since the previous one: whoever asks afterwards sees the better value, for every
    window alike, and the grams of adjacent windows still add up.

    Args:
        assumed: The intensity that holds until a source says otherwise.
        pue: Power usage effectiveness; facility energy per joule of the hardware.
    """

    def __init__(self, assumed: Intensity, *, pue: float = 1.0) -> None:
        self.assumed = assumed
        self._pue = pue
        # Assigned at once, so that a reader on another thread never sees half a change.
        self._priced: tuple[_Priced, ...] = ()

    def price(self, up_to_j: float, intensity: Intensity) -> None:
        """Price the joules since the last price, and assume the value for those that follow."""
        self.assumed = intensity
        span_j = up_to_j - self._last.end_j
        if span_j > 0:
            end_g = self._last.end_g + self._grams_of(span_j, intensity)
            self._priced = _thinned((*self._priced, _Priced(up_to_j, end_g, intensity)))

    def revise(self, spans: Sequence[tuple[float, float, Intensity]]) -> None:
        """Give spans of what is priced already other intensities; the rest keeps its own.

        Args:
            spans: Where each begins and ends, in cumulative joules, and its intensity; ascending.
        """
        edges = {edge for begin_j, end_j, _ in spans for edge in (begin_j, end_j)}
        edges |= {one.end_j for one in self._priced}
        revised = [_NOTHING]
        coming = deque(spans)
        for end_j in sorted(edge for edge in edges if 0.0 < edge <= self._last.end_j):
            begin_j = revised[-1].end_j
            while coming and coming[0][1] <= begin_j:
                coming.popleft()
            if coming and coming[0][0] <= begin_j:
                intensity = coming[0][2]
                grams = self._grams_of(end_j - begin_j, intensity)
            else:
                intensity = self._priced[bisect_left(self._priced, end_j, key=_end_of)].intensity
                grams = self.grams(end_j) - self.grams(begin_j)
            revised.append(_Priced(end_j, revised[-1].end_g + grams, intensity))
        self._priced = tuple(revised[1:])

    def grams(self, joules: float) -> float:
        """Return the grams of CO2e that the first `joules` of the run stand for."""
        priced = self._priced
        i = bisect_left(priced, joules, key=_end_of)
        before = priced[i - 1] if i else _NOTHING
        span_j = joules - before.end_j
        if i == len(priced):
            return before.end_g + self._grams_of(span_j, self.assumed)
        whole = priced[i]
        return before.end_g + (whole.end_g - before.end_g) * span_j / (whole.end_j - before.end_j)

    def shares(self, total_j: float) -> tuple[PriceShare, ...]:
        """Return how much of a run of `total_j` joules each kind of intensity priced."""
        shares: dict[tuple[str, ...], PriceShare] = {}
        before = _NOTHING
        for one in self._priced:
            joules, grams = one.end_j - before.end_j, one.end_g - before.end_g
            _add_share(shares, one.intensity, joules, grams)
            before = one
        open_j = max(0.0, total_j - before.end_j)
        if open_j or not shares:
            _add_share(shares, self.assumed, open_j, self._grams_of(open_j, self.assumed))
        return tuple(shares.values())

    @property
    def _last(self) -> _Priced:
        return self._priced[-1] if self._priced else _NOTHING

    def _grams_of(self, joules: float, intensity: Intensity) -> float:
        return units.kwh(joules) * self._pue * intensity.g_per_kwh


def _end_of(priced: _Priced) -> float:
    return priced.end_j


def _kind(intensity: Intensity) -> tuple[str, ...]:
    return (intensity.kind, intensity.place, intensity.source, str(intensity.scope))


def _thinned(priced: tuple[_Priced, ...]) -> tuple[_Priced, ...]:
    """Return fewer spans where there are too many: every second joins the next of its kind."""
    if len(priced) <= _MAX_PRICES:
        return priced
    newest = len(priced) - 1
    return tuple(
        one
        for i, one in enumerate(priced)
        if i % 2 or i >= newest - 1 or _kind(one.intensity) != _kind(priced[i + 1].intensity)
    )


def _add_share(
    shares: dict[tuple[str, ...], PriceShare], intensity: Intensity, joules: float, grams: float
) -> None:
    key = _kind(intensity)
    before = shares.get(key, PriceShare(intensity, 0.0, 0.0))
    shares[key] = PriceShare(intensity, before.joules + joules, before.grams + grams)
