"""The table of families: each is a function that simulates one run and returns its figures."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from coverage_simulation.figures import Figure

Simulate = Callable[[Random], "list[Figure]"]


class Family(NamedTuple):
    """A kind of run.

    Attributes:
        name: Short description, as the table shows it.
        simulate: Simulates one run with random devices, and returns its figures.
        cost: Runs of the long form for each run of a cheap family, 0 to 1.
    """

    name: str
    simulate: Simulate
    cost: float = 1.0


FAMILIES: dict[str, Family] = {}


def family(name: str, cost: float = 1.0) -> Callable[[Simulate], Simulate]:
    """Add a function to the table.

    Args:
        name: Name of the family.
        cost: As in `Family`.
    """

    def add(simulate: Simulate) -> Simulate:
        FAMILIES[name] = Family(name, simulate, cost)
        return simulate

    return add
