"""Warns about devices that give no reading, once for each: their energy is extrapolated or unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from carbon_core.ledger import Ledger
from carbon_core.records import Device

# One failed reading may be a hiccup of the driver; at the end of a run, there is no second one.
_FAILURES = 2


class Silences:
    """Watches the accounts of a ledger.

    Args:
        warn: Callback that receives the messages.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._said: set[str] = set()

    def note_said(self, devices: Iterable[Device]) -> None:
        """Note that the user was already warned about devices."""
        self._said.update(device.id for device in devices)

    def check(self, ledger: Ledger, *, is_last: bool) -> None:
        """Warn about devices without a reading.

        Args:
            ledger: The ledger after the latest readings.
            is_last: Whether the run ends here.
        """
        for silence in ledger.silences(1 if is_last else _FAILURES):
            device = silence.device
            if device.id not in self._said:
                self._said.add(device.id)
                cause = "its counter stands still" if silence.is_still else "it gives no reading"
                rest = (
                    "its energy is extrapolated from its power before (grade E), until it can be read"
                    if silence.is_known
                    else "its energy is unknown so far and not counted"
                )
                self._warn(f"{device.name} ({device.id}): {cause}; {rest}")
