"""Spans without readings: extrapolated from known power, and repaid by a counter that survived."""

from __future__ import annotations

from carbon_core.ledger.decoders import POWER_MEMORY_S


class Gaps:
    """What one device's missing time is extrapolated with. All values are the whole device's.

    Attributes:
        power_w: Mean power of about the last ten seconds of readings; None while it is unknown.
        power_s: Seconds that it is the mean of.
        debt_j: Joules extrapolated over failed reads, which a surviving counter delivers again.
        unpowered_s: Seconds that went missing before any power was known; the first known power
            fills them in.
    """

    __slots__ = (
        "_covered_s",
        "_fallback_w",
        "_last",
        "debt_j",
        "power_s",
        "power_w",
        "unpowered_s",
    )

    def __init__(self) -> None:
        self.power_w: float | None = None
        self.debt_j = 0.0
        self.unpowered_s = 0.0
        self.power_s = 0.0
        # Power before the last span was learned, and that span: its power and seconds.
        self._last: tuple[float, float, float] | None = None
        # Power by a fallback at the last reading that had one.
        self._fallback_w: float | None = None
        # Of `unpowered_s`, the seconds since the first reading: the counter will deliver them.
        self._covered_s = 0.0

    def learn(self, power_w: float, span_s: float) -> None:
        """Add the mean power of a span to what missing time is extrapolated with."""
        before_w = self.power_w
        self._last = None if before_w is None else (before_w, power_w, span_s)
        if before_w is None or span_s >= POWER_MEMORY_S:
            self.power_w, self.power_s = power_w, min(POWER_MEMORY_S, span_s)
            return
        self.power_s = min(POWER_MEMORY_S, self.power_s + span_s)
        if span_s:
            self.power_w = before_w + (power_w - before_w) * span_s / self.power_s

    def learn_fallback(self, power_w: float) -> None:
        """Replace the power by that of a fallback: the mean of its last two values."""
        before_w = power_w if self._fallback_w is None else self._fallback_w
        self._fallback_w = power_w
        self.learn((before_w + power_w) / 2, POWER_MEMORY_S)

    def stopped_j(self) -> float:
        """Return the joules that the last span lacks because its counter stopped within it.

        The power before that span is then the last known one.
        """
        if self._last is None:
            return 0.0
        (before_w, power_w, span_s), self._last = self._last, None
        self.power_w = before_w
        lacking_j = max(0.0, (before_w - power_w) * span_s)
        self.debt_j += lacking_j
        return lacking_j

    def extrapolate(self, span_s: float, *, covered: bool) -> float:
        """Return the joules of a missing span; 0 while power is unknown.

        Args:
            span_s: Length of the span in seconds.
            covered: Whether the counter has had a first value, and will deliver the span later.
        """
        if self.power_w is None:
            self.unpowered_s += span_s
            self._covered_s += span_s if covered else 0.0
            return 0.0
        joules = self.power_w * span_s
        self.debt_j += joules
        return joules

    def repay(self, joules: float) -> tuple[float, float]:
        """Return what remains of measured joules without those that were extrapolated before.

        Returns:
            The rest, and the part (0 to 1) of the extrapolated joules that was delivered.
        """
        if joules >= self.debt_j:
            rest_j, self.debt_j = joules - self.debt_j, 0.0
            return rest_j, 1.0
        part = joules / self.debt_j
        self.debt_j -= joules
        return 0.0, part

    def fill_in(self) -> float:
        """Return the seconds before any power was known that no counter delivers; forget them."""
        owed_s = self.unpowered_s - self._covered_s
        self.unpowered_s = self._covered_s = 0.0
        return owed_s

    @property
    def has_fallback(self) -> bool:
        """Whether the power is a fallback's."""
        return self._fallback_w is not None

    def forget_fallback(self) -> None:
        """Note that the device gives values again."""
        self._fallback_w = None

    def fill_in_all(self) -> tuple[float, float]:
        """Return the seconds before any power was known: delivered later, and not; forget them."""
        covered_s, owed_s = self._covered_s, self.unpowered_s - self._covered_s
        self.debt_j += (self.power_w or 0.0) * covered_s
        self.unpowered_s = self._covered_s = 0.0
        return covered_s, owed_s

    def forget_debt(self) -> None:
        """Note that the counter delivers nothing of what was missed."""
        self.debt_j = self._covered_s = 0.0
