"""The contract that every adapter fulfils."""

from __future__ import annotations

from carbon_callbacks.testing.ends import CopiesContract, EndsContract
from carbon_callbacks.testing.harmless import BudgetContract, HarmlessContract
from carbon_callbacks.testing.measured import MeasuredContract, RepeatedContract


class AdapterContract(
    HarmlessContract,
    BudgetContract,
    MeasuredContract,
    RepeatedContract,
    EndsContract,
    CopiesContract,
):
    """Tests of an adapter with real trainings of a tiny model; inherit from it and set `framework`."""
