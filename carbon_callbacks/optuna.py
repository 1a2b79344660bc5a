"""`EmissionsCallback` for Optuna: ``study.optimize(objective, callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from carbon_callbacks._searches import SearchCallback, attributes_of_study, attributes_of_trial
from carbon_core import ConfigError, with_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks.studies import StudyTotals, TrialEnergy
    from carbon_core import SettingArguments

try:
    from optuna.study import StudyDirection

    from carbon_callbacks import _optuna_trials as trials
    from carbon_callbacks._optuna_trials import EnergyPruner
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["EmissionsCallback", "EnergyPruner"]


@with_settings()
class EmissionsCallback(SearchCallback):
    """Measures searches of Optuna, and stores the energy of each trial with it.

    Trials get the user attributes ``carbon:energy_kwh``, ``carbon:energy_low_kwh``,
    ``carbon:energy_high_kwh`` and ``carbon:emissions_kg``; the study those of its totals, and
    ``carbon:waste_kwh``, the energy of pruned and failed trials. Studies of a storage continue their
    totals, in any number of processes with the same ``output_dir``.

    Args:
        minimize_energy: Whether the energy of a trial, in kWh, is added to the values of the objective
            as the last one; its direction must be ``minimize``.
        **settings: Settings of `carbon_callbacks.EmissionsTracker`; ``study_id`` and the budget as in
            docs/sweeps.md.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self, *, minimize_energy: bool = False, **settings: Unpack[SettingArguments]
    ) -> None:
        super().__init__(**settings)
        self._minimizes = minimize_energy

    def __call__(self, study: Any, trial: Any) -> None:
        """Store the totals after a trial, and end the search if the budget is spent."""
        with self.guard():
            self.note_progress(study)
            if self.must_stop(study):
                study.stop()

    def search(self, study: Any, optimize: Callable[[], None]) -> None:
        """Measure a call of `Study.optimize`; a study whose budget is spent is not continued."""
        if self._minimizes and study.directions[1:][-1:] != [StudyDirection.MINIMIZE]:
            raise ConfigError("minimize_energy needs a study with directions=[..., 'minimize']")
        with self.searching(study):
            if trials.has_begun(study):
                self._study_of(study)
            if not self.must_stop(study):
                optimize()

    @contextlib.contextmanager
    def trial(self, trial: Any) -> Iterator[TrialEnergy]:
        """Measure a block that runs a trial of `Study.ask`, before `Study.tell`."""
        study = trial.study
        one = self._study_of(study).trial(self.trial_id(trials.id_of(study), trial.number))
        try:
            with trials.opened(trial, one), self.measuring(one):
                try:
                    yield one
                finally:
                    with self.guard():
                        one.note_parameters(trial.params)  # which the block has chosen meanwhile
        finally:
            with self.guard():
                trials.store(trial, attributes_of_trial(one.result))

    def measured(self, objective: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return an objective whose calls are measured as trials."""

        @functools.wraps(objective)
        def call(trial: Any) -> Any:
            with self.trial(trial) as one:
                value = objective(trial)
                values = value if isinstance(value, Sequence) else [value]
                with self.guard():
                    one.note_parameters(trial.params)
                    count = len(trial.study.directions) - self._minimizes
                    one.end(*trials.outcome_of(values, count))
            if not self._minimizes or one.result.status == "failed":
                return value
            return (*values, math.nan if one.energy_kwh is None else one.energy_kwh)

        return call

    def note_totals(self, search: Any, totals: StudyTotals) -> None:
        trials.store(search, attributes_of_study(totals))

    def _study_of(self, study: Any) -> Any:
        direction = "minimize"
        with self.guard():  # a search may continue where its storage fails
            direction = study.directions[0].name.lower()
            trials.note_id(study)
        return self.study(study, trials.id_of(study), direction)


trials.wrap_optimize(EmissionsCallback)
