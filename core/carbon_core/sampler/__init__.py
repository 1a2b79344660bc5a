"""The sampler: reads the meters on a thread of its own, and resolves the marks of the others."""

from carbon_core.sampler.mark import Mark
from carbon_core.sampler.phases import PhaseTotal
from carbon_core.sampler.sampler import Sampler

__all__ = ["Mark", "PhaseTotal", "Sampler"]
