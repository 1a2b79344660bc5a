"""The requests that a program served during a run, and their energy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from carbon_core import uncertainty, units
from carbon_core.limits import Amount, Count, Seconds, SigmaLn
from carbon_core.record import record
from carbon_core.records import Estimate

if TYPE_CHECKING:
    from carbon_core.report import Report


@record(frozen=True)
class RequestCounts:
    """The requests of one counter, with their joules of the hardware.

    Attributes:
        name: Name of the counter.
        completed: Requests that have ended without an error.
        failed: Requests that have ended with one.
        unfinished: Requests that are open.
        tokens: Tokens of the completed requests.
        joules: Joules of the completed requests.
        failed_j: Joules of the failed ones.
        unfinished_j: Joules of the open ones so far.
    """

    name: str
    completed: Count = 0
    failed: Count = 0
    unfinished: Count = 0
    tokens: Count = 0
    joules: Amount = 0.0
    failed_j: Amount = 0.0
    unfinished_j: Amount = 0.0


@record(frozen=True)
class Requests:
    """The requests of a run, since its first counter was made.

    Attributes:
        counters: The counters.
        duration_s: Seconds since then.
        idle_s: Seconds in which no request was open.
        idle_j: Joules of the hardware in that time; with those of all requests, they add up.
        sigma_ln: One standard deviation of ln(reported / true) of the joules of requests.
        idle_sigma_ln: The same of `idle_j`.
    """

    counters: tuple[RequestCounts, ...]
    duration_s: Seconds
    idle_s: Seconds
    idle_j: Amount
    sigma_ln: SigmaLn
    idle_sigma_ln: SigmaLn


class RequestTotals(NamedTuple):
    """The requests of one counter, and their energy in kWh, times PUE, with 95 % intervals.

    A figure is None where it is unknown: without a reading, or without a request or token.

    Attributes:
        name: Name of the counter.
        completed: Requests that have ended without an error.
        failed: Requests that have ended with one.
        unfinished: Requests that are open.
        tokens: Tokens of the completed requests.
        energy_kwh: Energy of the completed requests.
        failed_kwh: Energy of the failed ones.
        unfinished_kwh: Energy of the open ones so far.
        per_request_kwh: Mean energy of a completed request.
        per_token_kwh: Mean energy of a token of these.
        idle_kwh: Energy while no request of any counter was open, which no request contains.
        idle_s: Seconds in which none was open.
        duration_s: Seconds since the run's first counter was made.
    """

    name: str
    completed: int = 0
    failed: int = 0
    unfinished: int = 0
    tokens: int = 0
    energy_kwh: Estimate | None = None
    failed_kwh: Estimate | None = None
    unfinished_kwh: Estimate | None = None
    per_request_kwh: Estimate | None = None
    per_token_kwh: Estimate | None = None
    idle_kwh: Estimate | None = None
    idle_s: float = 0.0
    duration_s: float = 0.0


def totals_of(report: Report) -> tuple[RequestTotals, ...]:
    """Return the totals of each counter of a run."""
    requests = report.requests
    if requests is None:
        return ()

    def kwh(joules: float, sigma_ln: float = requests.sigma_ln) -> Estimate | None:
        if not report.is_known:
            return None
        value = units.kwh(max(0.0, joules)) * report.run.pue
        return uncertainty.interval(value, sigma_ln, report.foreign_share)

    def mean(joules: float, count: int) -> Estimate | None:
        energy = kwh(joules)
        return energy.scaled(1.0 / count) if count and energy is not None else None

    idle_kwh = kwh(requests.idle_j, requests.idle_sigma_ln)
    return tuple(
        RequestTotals(
            one.name,
            one.completed,
            one.failed,
            one.unfinished,
            one.tokens,
            energy_kwh=kwh(one.joules),
            failed_kwh=kwh(one.failed_j),
            unfinished_kwh=kwh(one.unfinished_j),
            per_request_kwh=mean(one.joules, one.completed),
            per_token_kwh=mean(one.joules, one.tokens),
            idle_kwh=idle_kwh,
            idle_s=requests.idle_s,
            duration_s=requests.duration_s,
        )
        for one in requests.counters
    )


def with_division(sigma_ln: float, uncertain_j: float, joules: float) -> float:
    """Return a standard deviation of ln(reported / true) with that of a division by time.

    Args:
        sigma_ln: That of the joules, which the meters cause.
        uncertain_j: Joules by which the division may be wrong: half of its 95 % interval.
        joules: The joules.
    """
    more = uncertain_j / (uncertainty.Z_95 * joules) if joules > 0 else 0.0
    return min(10.0, math.hypot(sigma_ln, more))
