"""Parts of Optuna: its searches and their ids, the values of trials, and a pruner by energy."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import math
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.pruners import BasePruner
from optuna.study import Study

from carbon_callbacks._training.forecast import Laps
from carbon_callbacks.training import wrap_method
from carbon_core import ConfigError

if TYPE_CHECKING:
    from carbon_callbacks.optuna import EmissionsCallback
    from carbon_callbacks.studies import TrialEnergy

_log = logging.getLogger("carbon_callbacks")
_ID = "carbon:study_id"
# Begin of the names that Optuna gives; a UUID follows.
_UNNAMED = "no-name-"
_ids: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


class OpenTrial:
    """A trial that is being measured.

    Args:
        energy: Its energy.
    """

    def __init__(self, energy: TrialEnergy) -> None:
        self._energy = energy
        self._laps = Laps(0.0)

    @property
    def kwh(self) -> float | None:
        """Its energy so far, in kWh; None where it is unknown."""
        return self._energy.energy_kwh

    def forecast_kwh(self, done: float) -> float | None:
        """Return the energy that the whole trial will use, in kWh; None where it is unknown.

        Args:
            done: Part of it (0 to 1) that is done; each call is a point of the forecast.
        """
        if (kwh := self.kwh) is None:
            return None
        self._laps.add(done, kwh)
        forecast = self._laps.forecast()
        return forecast.value if forecast is not None else None


# By their study and their number. A name or an id may be that of several studies at once.
_open_trials: dict[tuple[int, int], OpenTrial] = {}


@contextlib.contextmanager
def opened(trial: Any, energy: TrialEnergy) -> Iterator[None]:
    """Let `EnergyPruner` have the energy of a trial within a block."""
    key = id(trial.study), trial.number
    _open_trials[key] = OpenTrial(energy)
    try:
        yield
    finally:
        _open_trials.pop(key, None)


def store(where: Any, attributes: Mapping[str, float]) -> None:
    """Store user attributes with a trial or a study."""
    for key, value in attributes.items():
        where.set_user_attr(key, value)


def wrap_optimize(kind: type[EmissionsCallback]) -> None:
    """Have searches measured that are given a callback, or are within the block of one.

    Args:
        kind: The class of the callbacks.
    """
    signature = inspect.signature(Study.optimize)

    def search(optimize: Any, study: Any, /, *args: Any, **kwargs: Any) -> None:
        call = signature.bind(study, *args, **kwargs)
        given: list[Any] = list(call.arguments.get("callbacks") or ())
        call.arguments["callbacks"] = given
        ours = kind.of_search(given)
        if ours is None:
            optimize(*call.args, **call.kwargs)
            return
        if all(one is not ours for one in given):
            given.append(ours)
        call.arguments["func"] = ours.measured(call.arguments["func"])
        ours.search(study, functools.partial(optimize, *call.args, **call.kwargs))

    wrap_method(Study, "optimize", search)


def has_begun(study: Any) -> bool:
    """Return whether a study has a trial that was not only enqueued."""
    trials = study.get_trials(deepcopy=False)
    return bool(trials) and trials[0].datetime_start is not None


def note_id(study: Any) -> None:
    """Find the id of a study that has begun, and store it with the study.

    It is the same in each process, and not the name: names are used again, by studies in memory and
    by the next storage.
    """
    if study in _ids:
        return
    known, name = study.user_attrs.get(_ID), study.study_name
    if isinstance(known, str) and known.startswith(name):  # that of a copy is another's
        _ids[study] = known
        return
    began = study.get_trials(deepcopy=False)[0].datetime_start
    is_unique = name.startswith(_UNNAMED) or began is None
    _ids[study] = name if is_unique else f"{name}-{began:%Y%m%d-%H%M%S-%f}"
    study.set_user_attr(_ID, _ids[study])


def id_of(study: Any) -> str:
    """Return the id of a study that `note_id` has found; its name where the storage failed."""
    return _ids.get(study, str(study.study_name))


def outcome_of(values: Sequence[Any], count: int) -> tuple[str, float | None]:
    """Return the status of a trial and its first value: Optuna fails one with invalid values.

    Args:
        values: What its objective returned.
        count: Number of values that the study optimises.
    """
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return "failed", None
    if len(numbers) != count or any(map(math.isnan, numbers)):
        return "failed", None
    return "completed", numbers[0]


class EnergyPruner(BasePruner):
    """Prunes a trial whose energy, or the forecast of it, exceeds a limit.

    ``trial.should_prune()`` calls it after ``trial.report()``. It has the energy of studies that an
    `EmissionsCallback` measures; without one, it prunes nothing and logs a warning.

    Args:
        max_kwh: Limit for each trial, in kWh.
        n_reports: How often a trial that is not pruned reports a value, such as its number of epochs.
            Without it there is no forecast: a trial is pruned once it has used the limit.
        n_warmup_reports: Reports of a trial before the first forecast; the first ones may contain
            compilation and the reading of data.
        pruner: Another pruner, which may prune as well; not `optuna.pruners.HyperbandPruner`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self,
        max_kwh: float,
        *,
        n_reports: int | None = None,
        n_warmup_reports: int = 1,
        pruner: BasePruner | None = None,
    ) -> None:
        if not max_kwh > 0:
            raise ConfigError(f"max_kwh must be above 0, got {max_kwh!r}")
        if n_reports is not None and n_reports < 1:
            raise ConfigError(f"n_reports must be 1 or more, got {n_reports!r}")
        self._max_kwh = max_kwh
        self._n_reports = n_reports
        self._n_warmup_reports = n_warmup_reports
        self._pruner = pruner
        self._warned = False

    def prune(self, study: Any, trial: Any) -> bool:
        """Return whether a trial must stop; Optuna calls this."""
        if self._pruner is not None and self._pruner.prune(study, trial):
            return True
        measured = _open_trials.get((id(study), trial.number))
        if measured is None:
            self._warn_once()
            return False
        reports, forecast = len(trial.intermediate_values), None
        if self._n_reports and reports:
            # Also of the first reports, which are points of the forecast.
            forecast = measured.forecast_kwh(min(1.0, reports / self._n_reports))
        is_early = reports <= self._n_warmup_reports
        return self._exceeds(measured.kwh) or (not is_early and self._exceeds(forecast))

    def _exceeds(self, kwh: float | None) -> bool:
        return kwh is not None and kwh > self._max_kwh

    def _warn_once(self) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("EnergyPruner prunes nothing: no EmissionsCallback measures the study")
