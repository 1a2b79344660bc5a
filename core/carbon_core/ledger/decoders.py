"""From raw values to joules: counters that wrap, reset or glitch, and power that is integrated.

    counter:  empty ──first value──▶ following ──implausible value──▶ suspect
                                         ▲                               │
                                         └──────────next value───────────┘

In the state *suspect*, the next value decides: two values in a row that agree with each other outweigh
the one before (the counter was reset, or moved with its machine); otherwise the value was a bad read.

A counter that shows one value for longer than `Device.still_s` is broken: the span counts as missing.
Where it moves again, its step decides whether it has counted meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from carbon_core.records import Device
from carbon_core.units import NANOSECONDS_PER_SECOND

# Extrapolation uses the mean power of about so long: a counter that advances in steps shows no power at
# all, or twice the true one, between two readings that follow each other closely.
POWER_MEMORY_S = 10.0
# A counter has wrapped between two readings where the last power implies it, up to rounding.
_WRAPPED = 0.99
# After failed reads, a value below the one before is a wrap where it means at most so many times the
# power that is known, else a reset.
_MOST_RISE = 2.0
# A counter that stood still has counted meanwhile where it then adds this part of what was
# extrapolated.
_DELIVERED = 0.5


class Step(NamedTuple):
    """The result of decoding one value.

    Attributes:
        joules: Energy since the previous value; None where the span counts as missing.
        power_w: Mean power of the span in watts; None where it is unknown.
        power_s: Seconds that this power is the mean of.
        restarts: Whether a counter will never deliver what it missed before this value.
        still_ns: Monotonic time since which a counter has stood still; None where it moves.
        is_suspect: Whether a counter has a value that does not follow the one before: it was reset, or
            this is a bad read. The next value decides.
    """

    joules: float | None
    power_w: float | None = None
    power_s: float = 0.0
    restarts: bool = False
    still_ns: int | None = None
    is_suspect: bool = False


UNREADABLE = Step(None)
_SUSPECT = Step(None, is_suspect=True)
_FIRST = Step(None, restarts=True)


class Decoder(Protocol):
    """Turns the values of one device into joules.

    Attributes:
        has_value: Whether a first value was decoded.
    """

    has_value: bool

    def decode(self, t_ns: int, value: float, power_w: float | None, debt_j: float) -> Step:
        """Decode a value.

        Args:
            t_ns: Monotonic time of the value in nanoseconds.
            value: Joules or watts, by the device's kind.
            power_w: Power known so far in watts, or None.
            debt_j: Joules extrapolated over missing time, which a counter may deliver again.
        """
        ...


class CounterDecoder:
    """Decodes cumulative joules.

    Args:
        device: Has the range and the highest power of the counter.
    """

    __slots__ = (
        "_has_restarted",
        "_is_still",
        "_max_power_w",
        "_still_ns",
        "_suspect",
        "_value",
        "_wrap_j",
        "has_value",
    )

    def __init__(self, device: Device) -> None:
        self._wrap_j = device.wrap_j
        self._max_power_w = device.max_power_w
        still_s = device.still_s
        self._still_ns = None if still_s is None else int(still_s * NANOSECONDS_PER_SECOND)
        self._is_still = self._has_restarted = False
        self.has_value = False
        # The last plausible value with the time it was first seen at, and an implausible one after it.
        self._value: tuple[int, float] | None = None
        self._suspect: tuple[int, float] | None = None

    def decode(self, t_ns: int, value: float, power_w: float | None, debt_j: float) -> Step:
        """Return the joules since the last plausible value."""
        if self._value is None:
            self._value, self.has_value = (t_ns, value), True
            return _FIRST
        restarts = False
        suspect, self._suspect = self._suspect, None
        is_back = value == self._value[1]
        if suspect and not is_back:
            since_j = self._plausible_j(suspect, t_ns, value, power_w)
            # Where the load has risen, the power since then makes a wrap more likely.
            power_w = _larger(power_w, since_j, t_ns - suspect[0])
            if since_j is not None and self._step_j(self._value, *suspect, power_w, debt_j) is None:
                self._value, restarts = suspect, True
        if value == self._value[1] and self._still_ns is not None:
            return self._unmoved(t_ns, self._value[0], self._still_ns, restarts=restarts)
        joules = self._step_j(self._value, t_ns, value, power_w, 0.0 if restarts else debt_j)
        if joules is None:
            self._suspect = (t_ns, value)
            return _SUSPECT
        span_s = (t_ns - self._value[0]) / NANOSECONDS_PER_SECOND
        was_still, self._is_still = self._is_still, False
        self._value = (t_ns, value)
        if was_still and power_w is None and not self._has_restarted:
            self._has_restarted = True  # a counter that is updated rarely gets here again
            return _FIRST
        if was_still and joules < _DELIVERED * debt_j:
            return Step(joules, restarts=True)
        return Step(joules, joules / span_s, span_s, restarts)

    def _unmoved(self, t_ns: int, since_ns: int, still_ns: int, *, restarts: bool) -> Step:
        """Return nothing for a value that was seen before; no power: it is that of the next step."""
        if t_ns - since_ns < still_ns:
            return Step(0.0, restarts=restarts)
        self._is_still = True
        return Step(None, restarts=restarts, still_ns=since_ns)

    def _step_j(
        self,
        before: tuple[int, float],
        t_ns: int,
        value_j: float,
        power_w: float | None,
        debt_j: float,
    ) -> float | None:
        """Return the joules between two counter values; None also where it was rather reset."""
        joules = self._plausible_j(before, t_ns, value_j, power_w)
        if joules is None or value_j >= before[1] or not debt_j or power_w is None:
            return joules
        most_j = _MOST_RISE * power_w * (t_ns - before[0]) / NANOSECONDS_PER_SECOND
        return joules if joules <= most_j else None

    def _plausible_j(
        self, before: tuple[int, float], t_ns: int, value_j: float, power_w: float | None
    ) -> float | None:
        """Return the joules between two counter values, or None where no device could draw them."""
        before_ns, before_j = before
        delta_j = value_j - before_j
        if delta_j < 0.0 and self._wrap_j is not None:
            delta_j += self._wrap_j
        span_s = (t_ns - before_ns) / NANOSECONDS_PER_SECOND
        limit_j = self._max_power_w * span_s
        if not 0.0 <= delta_j <= limit_j:
            return None
        if self._wrap_j is None or power_w is None:
            return delta_j
        unseen_j = self._unseen_wraps_j(span_s, delta_j, self._wrap_j, power_w)
        return delta_j + unseen_j if delta_j + unseen_j <= limit_j else delta_j

    @staticmethod
    def _unseen_wraps_j(span_s: float, delta_j: float, wrap_j: float, power_w: float) -> float:
        """Return the joules of whole wraps between two readings, by the power known last.

        Only where that power would have made the counter wrap: below that, a load that fell is more
        likely.
        """
        expected_j = power_w * span_s
        if expected_j < _WRAPPED * wrap_j:
            return 0.0
        return max(0, round((expected_j - delta_j) / wrap_j)) * wrap_j


class PowerDecoder:
    """Integrates power readings by the trapezoidal rule.

    Args:
        device: Has the highest power, and the longest gap that may be bridged.
    """

    __slots__ = ("_max_gap_s", "_max_power_w", "_value", "has_value")

    def __init__(self, device: Device) -> None:
        self._max_power_w = device.max_power_w
        self._max_gap_s = device.max_gap_s
        self.has_value = False
        # Time and watts of the last plausible value.
        self._value: tuple[int, float] | None = None

    def decode(self, t_ns: int, value: float, power_w: float | None, debt_j: float) -> Step:
        """Return the joules since the last plausible value."""
        if value > self._max_power_w:
            return UNREADABLE
        before, self._value = self._value, (t_ns, value)
        if before is None:
            self.has_value = True
            return Step(None, value, restarts=True)
        span_s = (t_ns - before[0]) / NANOSECONDS_PER_SECOND
        mean_w = (before[1] + value) / 2
        if span_s > self._max_gap_s:
            return Step(None, mean_w, POWER_MEMORY_S, restarts=True)
        return Step(mean_w * span_s, mean_w, span_s)


def _larger(power_w: float | None, joules: float | None, span_ns: int) -> float | None:
    """Return the larger of a power and that of some joules in a time; None where neither is known."""
    if joules is None or span_ns <= 0:
        return power_w
    return max(power_w or 0.0, joules * NANOSECONDS_PER_SECOND / span_ns)


def decoder_for(device: Device) -> Decoder:
    """Return the decoder for a device's kind."""
    return CounterDecoder(device) if device.kind == "counter" else PowerDecoder(device)
