"""Warns about devices that give no reading, once for each: their energy is extrapolated or unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from carbon_core.ledger import Ledger, Silence
from carbon_core.records import Device

# One failed reading may be a hiccup of the driver; at the end of a run, there is no second one.
FAILURES = 2


class Silences:
    """Watches the accounts of a ledger.

    Args:
        warn: Callback that receives the messages.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._said: set[str] = set()
        self._reported: set[str] = set()

    def note_said(self, devices: Iterable[Device]) -> None:
        """Note that the user was already warned about devices."""
        self._said.update(device.id for device in devices)

    def note_reporting(self, devices: Iterable[Device]) -> None:
        """Note devices whose meter warns about failed reads itself."""
        self._reported.update(device.id for device in devices)

    def check(self, ledger: Ledger, *, is_last: bool) -> None:
        """Warn about devices without a reading.

        Args:
            ledger: The ledger after the latest readings.
            is_last: Whether the run ends here.
        """
        for silence in ledger.silences(1 if is_last else FAILURES):
            device = silence.device
            is_reported = device.id in self._reported and not silence.is_still
            if device.id not in self._said and not is_reported:
                self._said.add(device.id)
                self._warn(_message(silence))


def _message(silence: Silence) -> str:
    """Return the problem of a device and its effect on the results."""
    device = silence.device
    if silence.is_still:
        cause, end = "its energy counter stands still", "until it moves"
    else:
        cause, end = "it gives no valid reading", "until it does"
    if silence.is_known:
        rest = f"its energy is estimated from its last known power (grade E) {end}"
    else:
        rest = f"its energy is unknown and not counted {end}"
    return f"{device.name} ({device.id}): {cause}; {rest}"
