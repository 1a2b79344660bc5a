"""All devices' running totals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat

from carbon_core.ledger.account import Account, Silence
from carbon_core.ledger.opening import Opening
from carbon_core.record import replace
from carbon_core.records import NO_ENERGY, Device, Reading, Snapshot


class Ledger:
    """All devices' totals.

    Args:
        opened_ns: Monotonic time at which the run began, in nanoseconds.
    """

    def __init__(self, opened_ns: int) -> None:
        self._opened_ns = opened_ns
        self._accounts: dict[str, Account] = {}
        # The devices and their accounts in one assignment, also closed ones: other threads take
        # snapshots.
        self._open: tuple[tuple[Device, ...], tuple[Account, ...]] = ((), ())

    def add_devices(self, devices: Sequence[Device]) -> None:
        """Open an account for each device, counting from the beginning of the run."""
        for device in devices:
            self._add(Account(device, self._opened_ns))

    def promote(self, device: Device) -> None:
        """Open an account for a device that another method reads from its last reading on.

        The account so far keeps what it has; both together are the device's energy.
        """
        self._add(self._accounts[device.id].successor(device))

    def _add(self, account: Account) -> None:
        self._accounts[account.device.id] = account
        devices, accounts = self._open
        self._open = (*devices, account.device), (*accounts, account)

    def update(self, readings: Iterable[Reading]) -> None:
        """Book the readings of one tick."""
        accounts = self._accounts
        for device_id, t_ns, value, share, power_w in readings:
            accounts[device_id].update(t_ns, value, share, power_w)

    def silences(self, failures: int) -> list[Silence]:
        """Return the devices whose last readings have failed.

        Args:
            failures: Least number of failed readings in a row.
        """
        found = (account.silence(failures) for account in self._accounts.values())
        return [one for one in found if one is not None]

    def awaits_power(self, failures: int) -> bool:
        """Return whether the first readings of a device will add to windows that have ended.

        Args:
            failures: Readings that must have failed for a device to count as one that gives none.
        """
        accounts = tuple(self._accounts.values())  # another thread may add one
        return any(not one.has_begun and one.silence(failures) is None for one in accounts)

    def readings(self) -> Iterator[tuple[int, int, float]]:
        """Give each device whose power is known: its number, when it was booked last, its joules."""
        for i, account in enumerate(self._open[1]):
            if (booked := account.booked) is not None:
                yield (i, *booked)

    def snapshot(self, t_ns: int) -> Snapshot:
        """Return the totals at an instant within or after the last few readings."""
        devices, accounts = self._open
        return Snapshot(t_ns, devices, tuple([account.at(t_ns) for account in accounts]))

    def mark(self, t_ns: int) -> Snapshot:
        """Return the totals at an instant without the time before each device's first reading.

        That time may become known later: `completed` adds it when the totals are read.
        """
        devices, accounts = self._open
        return Snapshot(t_ns, devices, tuple([account.since_first(t_ns) for account in accounts]))

    def completed(self, mark: Snapshot) -> Snapshot:
        """Return the totals of `mark` with what is known by now of the time before first readings."""
        devices, accounts = self._open
        if len(devices) == len(mark.devices) and not any(one.opening.span_s for one in accounts):
            return mark
        # Devices that were found later have none yet.
        known = chain(mark.energies, repeat(NO_ENERGY))
        energies = tuple(
            [energy.plus(one.opening.up_to(mark.t_ns)) for one, energy in zip(accounts, known)]
        )
        return replace(mark, devices=devices, energies=energies)

    def openings(self) -> list[tuple[Device, Opening]]:
        """Return the devices that were not read at once, with the time before their first reading."""
        pairs = zip(*self._open)
        return [(device, one.opening) for device, one in pairs if one.opening.span_s]
