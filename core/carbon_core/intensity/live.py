"""What all live sources of grid intensity share: the interface, checks, age of values, backoff.

A source is a class with `latest` and `between`; it turns one service's responses into intensities and
leaves everything else to this module. `source_table` lists the sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from carbon_core.addresses import may_carry_secrets, with_scheme
from carbon_core.backoff import Backoff
from carbon_core.clock import Clock
from carbon_core.errors import IntensityError
from carbon_core.hours import iso_hour, utc
from carbon_core.intensity_spread import of_other_hours
from carbon_core.record import replace
from carbon_core.records import Intensity, Marginal

MAX_G_PER_KWH = 3000.0
# Standard uncertainties of ln(factor): 5 % where the grid reports, more where it is modelled.
SIGMA_MEASURED = 0.05
SIGMA_ESTIMATED = 0.12
# Values come every hour, and up to two late; one of another day is not valid for this one.
_OLD = timedelta(hours=3)
_TOO_OLD = timedelta(hours=24)


class IntensitySource(Protocol):
    """A service that publishes the intensity of one place."""

    @property
    def name(self) -> str:
        """The service's name."""
        ...

    def latest(self) -> Intensity:
        """Return the newest value, with its time.

        Raises:
            IntensityError: The request failed, or its response is invalid.
        """
        ...

    def between(self, start: datetime, end: datetime) -> Sequence[Intensity]:
        """Return the values of a span as far as the service has them, each with its time.

        Raises:
            IntensityError: The request failed, or its response is invalid.
        """
        ...


class MarginalSource(Protocol):
    """A service that publishes the marginal intensity of one place."""

    @property
    def name(self) -> str:
        """The service's name."""
        ...

    def marginal(self, start: datetime, end: datetime) -> Marginal:
        """Return the mean over a span.

        Raises:
            IntensityError: The request failed, or its response is invalid.
        """
        ...


class BackoffSource:
    """A source with exponential backoff after failures, which keeps its last value for a while.

    Args:
        source: The source to request.
        clock: Source of time, for the age of values and the backoff.
    """

    def __init__(self, source: IntensitySource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._last: Intensity | None = None
        self._failure = ""
        self._backoff = Backoff(clock)

    def latest(self, *, insist: bool = False) -> Intensity:
        """Return the newest value.

        Args:
            insist: Request even soon after a failure, unless the service sent Retry-After.

        Raises:
            IntensityError: There is none, it is of another day, or the source is backed off after such a
                failure, which is named.
        """
        if not self._backoff.may_request(insist=insist):
            raise IntensityError(self._failure)
        try:
            found = self._source.latest()
            current = aged(found, self._clock.now())
        except IntensityError as error:
            self._failure = str(error)
            self._backoff.failed(error.retry_after_s)
            raise
        self._last = found
        self._backoff.succeeded()
        return current

    def between(self, start: datetime, end: datetime) -> Sequence[Intensity]:
        """Return the values of a span, as `IntensitySource.between`."""
        return self._source.between(start, end)

    @property
    def held(self) -> Intensity | None:
        """The last valid value with its age, or None when there is none of this day."""
        if self._last is None:
            return None
        try:
            return aged(self._last, self._clock.now())
        except IntensityError:
            return None


def aged(intensity: Intensity, now: datetime) -> Intensity:
    """Return a value with its age, and less certain, where it is not of this hour.

    Raises:
        IntensityError: It is of another day.
    """
    try:
        age = now - utc(intensity.time or "")
    except ValueError:
        return intensity  # of an unknown hour
    if age > _TOO_OLD:
        raise IntensityError(
            f"{intensity.source}: the latest value of {intensity.place} is too old"
        )
    if age < _OLD:
        return intensity
    hours = round(age.total_seconds() / 3600)
    note = "; ".join(filter(None, [intensity.note, f"{hours} h old when requested"]))
    old = replace(intensity, note=note, sigma_ln=max(intensity.sigma_ln, SIGMA_ESTIMATED))
    return of_other_hours(old)


def checked_g_per_kwh(value: Any, what: str) -> float:
    """Return a service's value if it is a possible intensity.

    Args:
        value: The value from the response, in gCO2e/kWh.
        what: Names the service, field and place in the message.

    Raises:
        IntensityError: It is no number, or none that a grid can have.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise IntensityError(f"{what} is {value!r:.100}")
    if not 0 <= value <= MAX_G_PER_KWH:
        raise IntensityError(f"{what} is out of range: {value!r:.40}")
    return float(value)


def secure(url: str, key: str) -> str:
    """Return the address of a service that gets a secret, with its scheme.

    Args:
        url: Address, with or without scheme.
        key: The setting that it comes from.

    Raises:
        IntensityError: It is no address, or neither HTTPS nor on this machine.
    """
    address = with_scheme(url, "https")
    if not may_carry_secrets(address):
        raise IntensityError(f"{key} must be https: a secret is sent to it")
    return address


def listed(response: Any, key: str, name: str) -> list[Mapping[str, Any]]:
    """Return the objects that a response lists under a key.

    Raises:
        IntensityError: The response has another shape.
    """
    items = response.get(key) if isinstance(response, Mapping) else None
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise IntensityError(f"{name}: the response has no list of objects in {key!r}")
    return items


def in_steps(
    start: datetime, end: datetime, step: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the parts of a span, none longer than a step."""
    while start < end:
        yield start, min(start + step, end)
        start += step


def by_hour(values: Iterable[Intensity]) -> dict[str, Intensity]:
    """Return the mean of each hour's values, by the hour as `HourEnergy.start` has it."""
    hours: dict[str, list[Intensity]] = {}
    for value in values:
        try:
            hour = iso_hour(utc(value.time or ""))
        except ValueError:
            continue  # of an unknown hour
        hours.setdefault(hour, []).append(value)
    return {
        hour: replace(
            within[-1],
            g_per_kwh=sum(value.g_per_kwh for value in within) / len(within),
            sigma_ln=max(value.sigma_ln for value in within),
            time=hour,
        )
        for hour, within in hours.items()
    }
