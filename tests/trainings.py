"""Simulated trainings for the forecast: the energy of each step, by kind of training.

Each kind is a function of a random generator that returns the energy of every step, relative to a
typical one. A kind stands for something that trainings do; its sizes are drawn anew for each training.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from carbon_callbacks._training.forecast import Forecast, Laps

Steps = list[float]
Kind = Callable[[random.Random], Steps]

COUNT = 600
_NOISE = 0.03


def steady(rng: random.Random) -> Steps:
    return _noisy(rng, [1.0] * COUNT)


def drifting(rng: random.Random) -> Steps:
    """The rate rises or falls in a straight line, as sequences become longer or shorter."""
    by = rng.uniform(-0.5, 0.6)
    return _noisy(rng, [1.0 + by * i / COUNT for i in range(COUNT)])


def slow_start(rng: random.Random) -> Steps:
    """Compilation, cold caches and warm-up: the first steps need several times the energy."""
    by, length = rng.uniform(0.5, 5.0), COUNT * rng.uniform(0.01, 0.1)
    return _noisy(rng, [1.0 + by * math.exp(-i / length) for i in range(COUNT)])


def late_jump(rng: random.Random) -> Steps:
    """The rate changes at once in the second half: longer sequences, unfrozen layers, a lower clock."""
    at, factor = (
        COUNT * rng.uniform(0.5, 0.95),
        math.exp(rng.choice([-1, 1]) * rng.uniform(0.2, 0.5)),
    )
    return _noisy(rng, [1.0 if i < at else factor for i in range(COUNT)])


def large_late_jump(rng: random.Random) -> Steps:
    """The rate rises to as much as twice the former one: a larger model stage, a lost fast data path."""
    at, factor = COUNT * rng.uniform(0.6, 0.95), rng.uniform(1.5, 2.0)
    return _noisy(rng, [1.0 if i < at else factor for i in range(COUNT)])


def final_evaluation(rng: random.Random) -> Steps:
    """The last step is followed by an evaluation of the test data, with the energy of many steps."""
    steps = _noisy(rng, [1.0] * COUNT)
    return [*steps[:-1], steps[-1] + COUNT * rng.uniform(0.02, 0.12)]


def early_part(rng: random.Random) -> Steps:
    """A first part of another kind: shorter sequences, frozen layers."""
    until, level = COUNT * rng.uniform(0.05, 0.35), rng.uniform(0.5, 1.5)
    return _noisy(rng, [level if i < until else 1.0 for i in range(COUNT)])


def jump(rng: random.Random) -> Steps:
    """As `late_jump`, upwards and at any time."""
    at, factor = COUNT * rng.random(), rng.uniform(1.2, 1.6)
    return _noisy(rng, [1.0 if i < at else factor for i in range(COUNT)])


def noisy_neighbour(rng: random.Random) -> Steps:
    """Another program on the machine, now and then: the energy of a step is higher meanwhile."""
    height, busy = rng.uniform(0.2, 1.0), COUNT * rng.uniform(0.01, 0.1)
    quiet = busy * rng.uniform(1.0, 6.0)
    steps, is_busy = [], rng.random() < 0.2
    while len(steps) < COUNT:
        length = 1 + int(rng.expovariate(1 / (busy if is_busy else quiet)))
        steps += [1.0 + height * is_busy] * length
        is_busy = not is_busy
    return _noisy(rng, steps[:COUNT])


def wandering(rng: random.Random) -> Steps:
    """The logarithm of the rate is a random walk: temperature, clocks, lengths of samples."""
    step, level, steps = rng.uniform(0.1, 0.3) / math.sqrt(COUNT), 0.0, []
    for _ in range(COUNT):
        steps.append(math.exp(level))
        level += rng.gauss(0.0, step)
    return _noisy(rng, steps)


def validated(rng: random.Random) -> Steps:
    """Each epoch ends with a validation, whose energy is that of many steps."""
    epoch, part = COUNT // rng.choice([4, 6, 10, 20]), rng.uniform(0.05, 0.3)
    last = part / (1.0 - part) * epoch
    return _noisy(rng, [1.0 + last * ((i + 1) % epoch == 0) for i in range(COUNT)])


def heavy_tailed(rng: random.Random) -> Steps:
    """A few steps need ten or a hundred times as much: checkpoints, retries, long samples."""
    size, part = rng.uniform(5.0, 60.0), rng.uniform(0.002, 0.01)
    return _noisy(rng, [1.0 + size * (rng.random() < part) for _ in range(COUNT)])


def staged(rng: random.Random) -> Steps:
    """Several stages, each at its own rate: a curriculum, a schedule of batch sizes."""
    ends = sorted(rng.random() for _ in range(rng.randint(1, 4)))
    rates = [math.exp(rng.gauss(0.0, 0.2)) for _ in range(len(ends) + 1)]
    return _noisy(rng, [rates[sum(i / COUNT > end for end in ends)] for i in range(COUNT)])


def breathing(rng: random.Random) -> Steps:
    """The rate swings with the time of day."""
    height, periods, phase = rng.uniform(0.05, 0.3), rng.uniform(1.0, 6.0), rng.random()
    return _noisy(
        rng,
        [
            1.0 + height * math.sin(2 * math.pi * (phase + periods * i / COUNT))
            for i in range(COUNT)
        ],
    )


def compiled(rng: random.Random) -> Steps:
    """The first step compiles the model."""
    return _noisy(rng, [COUNT * rng.uniform(0.005, 0.3)] + [1.0] * (COUNT - 1))


def scattered(rng: random.Random) -> Steps:
    """Steps of very different lengths."""
    sigma = rng.uniform(0.3, 1.0)
    return [rng.lognormvariate(0.0, sigma) for _ in range(COUNT)]


KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in (
        steady, drifting, slow_start, late_jump, large_late_jump, final_evaluation, early_part, jump,
        noisy_neighbour, wandering, validated, heavy_tailed, staged, breathing, compiled, scattered,
    )
}  # fmt: skip


def _noisy(rng: random.Random, steps: Steps) -> Steps:
    return [rate * math.exp(rng.gauss(0.0, _NOISE)) for rate in steps]


def forecasts_of(
    steps: Steps, parts: tuple[float, ...], laps: int, start: float = 0.0
) -> tuple[float, dict[float, Forecast]]:
    """Return the energy of a training, and its forecast after some parts of it.

    Args:
        steps: Energy of each step.
        parts: Parts done (0 to 1) of what this run does, at which to forecast.
        laps: Number of laps in the whole training.
        start: Part of the training (0 to 1) that an earlier run did.
    """
    first, size, found = round(start * len(steps)), len(steps) / laps, {}
    stops = {first + round(part * (len(steps) - first)): part for part in parts}
    so_far, done, next_lap = Laps(start), 0.0, first + size
    for i in range(first, len(steps)):
        done += steps[i]
        if i + 1 >= next_lap - 1e-9 or i + 1 in stops:
            so_far.add((i + 1) / len(steps), done)
        if i + 1 >= next_lap - 1e-9:
            next_lap += size
        if i + 1 in stops and (forecast := so_far.forecast()) is not None:
            found[stops[i + 1]] = forecast
    return done, found
