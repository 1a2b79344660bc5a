"""Energy use of a study: many trials of a hyperparameter search, each with its share of the machine.

The adapters of search libraries use these classes, too. Importing this module loads no framework.
"""

from __future__ import annotations

from carbon_core import Study, StudyTotals, TrialEnergy, TrialResult

__all__ = ["Study", "StudyTotals", "TrialEnergy", "TrialResult"]
