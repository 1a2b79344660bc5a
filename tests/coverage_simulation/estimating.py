"""Families of estimates before a training: dry runs by kind of training, and past trainings.

They are a table of their own, that of docs/estimate.md, which `tools/write_estimates.py` writes. The
truth is the true energy and time of the planned training, which differs from the dry run as two runs of
one training do. How much they differ is an assumption; so are the kinds of training.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from random import Random

from trainings import KINDS, Kind

from carbon_callbacks._training.dry_run import DryRun
from carbon_core.estimation import from_runs
from carbon_core.outputs import receipt_reading
from carbon_core.record import replace
from carbon_core.report import Phase
from carbon_core.run_facts import Work
from carbon_core.testing import FakeClock
from carbon_core.units import kwh
from coverage_simulation import published
from coverage_simulation.coverage import Family, Limits
from coverage_simulation.devices import Power, counter
from coverage_simulation.forecasting import power_of, simulated, spans_of
from coverage_simulation.measuring import Figure, Measurement
from coverage_simulation.nvml import Card, open_cards

# The interval must contain trainings of all kinds: for one that turns out to be steady it is too wide.
LIMITS = Limits(coverage=0.90, ratio=math.inf)
# Two runs of one training differ by so much (standard deviation of ln).
_AGAIN_SD = 0.03
# Between runs of a project, by project.
_PROJECT_SD = (0.02, 0.15)
# Seconds between two readings of a counter.
_TICK_S = 5.0

ESTIMATES: dict[str, Family] = {}


def _dry_run(kind: Kind) -> Callable[[Random], list[Figure]]:
    def simulate(rng: Random) -> list[Figure]:
        clock = FakeClock()
        begin_s = clock.monotonic_ns() / 1e9
        levels = kind(rng)
        step_s, watts = rng.uniform(0.05, 5.0), rng.uniform(100.0, 500.0)
        again = [math.exp(rng.gauss(0.0, _AGAIN_SD)) for _ in range(2)]
        powers = [power_of(level) for level in levels]
        spans_s = spans_of(levels, step_s)
        ends_s = list(itertools.accumulate(spans_s, initial=begin_s))
        power = Power(ends_s[:-1], [watts * one for one in powers])
        name, gain = published.nvml_model(rng)
        card = Card(name, energy=counter(power, gain, update_s=0.1, first_j=1e6))
        with simulated(clock, lambda: open_cards(clock, [card], rng)):
            dry = DryRun({"country_iso_code": "FRA"}, rng.choice((20, 50)))
            with dry.measure():
                dry.begin_steps(len(levels))
                for span_s in spans_s:
                    clock.advance(span_s)
                    if dry.step():
                        break
                dry.end_steps()
        planned = dry.planned()
        assert planned is not None
        true_kwh = kwh(power.between(begin_s, ends_s[-1])) * again[0]
        return [
            Figure("energy", planned.energy_kwh, true_kwh),
            Figure("time", planned.duration_s, sum(spans_s) * again[1]),
        ]

    return simulate


for _name, _kind in KINDS.items():
    _title = f"dry run, {_name.replace('_', ' ')}"
    ESTIMATES[_title] = Family(_title, _dry_run(_kind), limits=LIMITS)


def _past_runs(runs: int) -> Callable[[Random], list[Figure]]:
    def simulate(rng: Random) -> list[Figure]:
        sd = rng.uniform(*_PROJECT_SD)
        name, gain = published.nvml_model(rng)
        watts, step_s = rng.uniform(100.0, 500.0), rng.uniform(0.05, 2.0)
        found = []
        for _ in range(runs):
            steps, setup_s = rng.randint(200, 5000), rng.uniform(1.0, 30.0)
            train_s = steps * step_s * math.exp(rng.gauss(0.0, sd))
            run = Measurement("setup")
            power = Power([run.begin_s, run.begin_s + setup_s], [0.3 * watts, watts])
            card = Card(name, energy=counter(power, gain, update_s=0.1, first_j=1e6))
            run.begin(*open_cards(run.clock, [card], rng))
            run.go(setup_s, _TICK_S)
            run.mark("train")
            run.go(train_s, _TICK_S)
            report = run.end()
            found.append(
                receipt_reading.of_report(_with_work(report, run, Work(steps=float(steps))))
            )
        steps = rng.randint(200, 5000)
        train_s = steps * step_s * math.exp(rng.gauss(0.0, sd))
        setup_s = rng.uniform(1.0, 30.0)
        planned = from_runs(found, Work(steps=float(steps)))
        return [
            Figure("energy", planned.energy_kwh, kwh(watts * (0.3 * setup_s + train_s))),
            Figure("time", planned.duration_s, setup_s + train_s),
        ]

    return simulate


def _with_work(report, run, work):
    phases = tuple(
        Phase(total.name, total.duration_s, total.joules, total.count, total.sigma_ln)
        for total in run.sampler.phases.values()
    )
    return replace(report, work=work, phases=phases)


for _runs in (1, 3, 10):
    _title = f"{_runs} past training{'s' if _runs > 1 else ''}"
    ESTIMATES[_title] = Family(_title, _past_runs(_runs), limits=LIMITS)
