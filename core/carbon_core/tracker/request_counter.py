"""Counters of requests and tokens: the energy of each, for programs that serve or generate."""

from __future__ import annotations

import math
from types import TracebackType
from typing import TYPE_CHECKING, Any

from carbon_core.interruptions import raise_if_of_program, suppressed
from carbon_core.request_totals import RequestTotals

if TYPE_CHECKING:
    from carbon_core.ledger.requests import Point
    from carbon_core.tracker.requests import RunRequests


class RequestCounter:
    """Counts requests and tokens of a run; made by `Tracker.requests`.

    May be used by several threads, and by the tasks of an event loop. No method raises, and none reads a
    meter but `totals`.

    Attributes:
        name: Its name.

    Args:
        name: As above.
        requests: Those of the run; None where nothing is measured.
    """

    def __init__(self, name: str, requests: RunRequests | None) -> None:
        self.name = requests.counter(name) if requests is not None else name
        self._requests = requests

    def request(self, n: int = 1, tokens: int = 0) -> Request:
        """Begin a request, which a ``with`` block or `Request.end` ends.

        Requests that are open at the same time share the energy equally, those of other counters too.

        Args:
            n: How many requests it is, for a batch; 0 for work on requests that `done` counts.
            tokens: Tokens that are known already; `Request.tokens` can be changed later.
        """
        return Request(self, self._whole(n, "n", 1), tokens)

    def done(self, n: int = 1, tokens: int = 0) -> None:
        """Count requests that have ended now.

        If no request is open, they have had the time since the last call or event of any counter: call
        `idle` after a wait. While one is open, they are counted without a time of their own.

        Args:
            n: How many they are.
            tokens: Their tokens.
        """
        if self._requests is not None:
            count, number = self._whole(n, "n", 1), self._whole(tokens, "tokens", 0)
            self._requests.done(self.name, count, number)

    def idle(self) -> None:
        """Count the time since the last call or event as idle, if no request is open."""
        if self._requests is not None:
            self._requests.rest()

    def totals(self) -> RequestTotals:
        """Return requests, tokens and their energy so far, or at the end of the run.

        Reads the meters, which takes milliseconds, 50 at most: not for each of many short requests.
        """
        with suppressed(Exception):  # no exception may reach the program
            if self._requests is not None:
                return self._requests.totals(self.name)
        return RequestTotals(self.name)

    def _whole(self, value: Any, what: str, instead: int) -> int:
        """Return a number of requests or tokens; one that is invalid is a warning, and replaced."""
        try:
            number = int(value)
        except Exception as error:  # noqa: BLE001 - an object of the program may raise anything
            raise_if_of_program(error)
            number = -1
        if number >= 0:
            return number
        if self._requests is not None:
            text = f"{what} of a request must be a number of at least 0, got {value!r:.80}"
            self._requests.warn(f"{text}; {instead} is used")
        return instead

    def __getstate__(self) -> dict[str, Any]:
        # A copy counts nothing: the run's threads stay here.
        return {"name": self.name, "_requests": None}


class Request:
    """A request that is being served, or a batch; ends with its ``with`` block, or with `end`.

    One that an exception ends has failed. One that is dropped without an end has, too.

    Attributes:
        tokens: Its tokens, which may be changed until it ends.
        points: Its begin, its end and its weight; for `energy_kwh`.

    Args:
        counter: Its counter.
        n: How many requests it is.
        tokens: As above.
    """

    __slots__ = ("_counter", "_number", "_requests", "points", "tokens")

    def __init__(self, counter: RequestCounter, n: int, tokens: int) -> None:
        self._number: int | None = None
        self._counter = counter
        self._requests = counter._requests
        self.tokens = tokens
        self.points: tuple[Point, Point, int] | None = None
        if self._requests is not None:
            # Known before it begins: an exception of the program in between leaves none open.
            self._number = self._requests.new_number()
            self._requests.open(self._number, counter.name, n)

    def end(self, tokens: int = 0, *, failed: bool = False) -> None:
        """End it now; further calls do nothing.

        Args:
            tokens: Tokens to be added to those that it has.
            failed: Whether it has failed: its energy then counts apart.
        """
        if self._number is None or self._requests is None:
            return
        whole = self._counter._whole
        count = whole(self.tokens, "tokens", 0) + whole(tokens, "tokens", 0)
        self._requests.close(self._number, count, failed=failed, request=self)
        self._number = None

    @property
    def energy_kwh(self) -> float:
        """Its energy in kWh, times PUE; NaN before its end, and where nothing is measured.

        Reads the meters, as `RequestCounter.totals` does.
        """
        if self.points is None or self._requests is None:
            return math.nan
        with suppressed(Exception):  # no exception may reach the program
            return self._requests.energy_kwh(self.points)
        return math.nan

    def __enter__(self) -> Request:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(failed=error is not None)

    def __del__(self) -> None:
        # Without any attribute where its making was interrupted.
        number = getattr(self, "_number", None)
        if number is not None and self._requests is not None:
            self._requests.close(number, 0, failed=True, request=None)
