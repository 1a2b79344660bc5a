"""The base class of callbacks that measure searches for hyperparameters."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from carbon_callbacks.studies import Study, StudyTotals, TrialEnergy, TrialResult
from carbon_core import EmissionsTracker, SystemClock, raise_if_of_program, status_of, text_in

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from carbon_core import SettingArguments

# The meters are found before the first trial, whose time would be taken otherwise.
_PREPARE_TIMEOUT_S = 1.0
_NOTE_EVERY_NS = 10_000_000_000
_OF_TRIALS = ("energy_kwh", "energy_low_kwh", "energy_high_kwh", "emissions_kg")
_OF_STUDIES = (*_OF_TRIALS, "waste_kwh")
# The callbacks whose blocks this process is within, the innermost last.
_entered: list[SearchCallback] = []


class SearchCallback:
    """Measures searches for hyperparameters: each is a study, with a part for each of its trials.

    In a ``with`` block, every search is measured, also one that takes no callbacks; the measurement
    ends with the block, otherwise with the search.

    Args:
        **settings: Settings of `carbon_callbacks.EmissionsTracker`. ``budget_kwh`` and
            ``budget_kg_co2e`` are limits of the whole study: with ``on_budget="stop"``, no trial begins
            once one is reached. With ``study_id``, all searches belong to one study; otherwise, each
            is a study of its own.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **settings: Unpack[SettingArguments]) -> None:
        super().__init__()
        self._tracker = EmissionsTracker(**settings)  # checks the settings, and warns
        self._given: dict[str, Any] = {**settings}
        self._study_id = self._tracker.settings.study_id
        self._given.pop("study_id", None)
        self._stops = self._tracker.settings.on_budget == "stop"
        self._clock = SystemClock()
        self._open = _Open()
        self._latest: StudyTotals | None = None

    def __getstate__(self) -> dict[str, Any]:
        # The tracker has the settings, too, without secrets.
        return {**self.__dict__, "_given": {}, "_latest": None}

    @property
    def totals(self) -> StudyTotals | None:
        """Totals of the study that was measured last, so far or final; None before its first trial."""
        studies = list(self._open.studies.values())
        return studies[-1].totals() if studies else self._latest

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Keep an error of this package, or of a storage that it writes to, out of the search."""
        outer = sys.exc_info()[1]
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the guard of the program's thread
            raise_if_of_program(error, outer)
            self._tracker.warn(f"a result of the search could not be stored: {error!r}")

    @classmethod
    def of_search(cls, callbacks: Iterable[Any] = ()) -> Self | None:
        """Return the callback that measures a search that begins on this thread; None without one.

        A search within a trial is a part of that trial.

        Args:
            callbacks: Those of the search; without one of this class, that of a block is used.
        """
        found = (one for one in (*callbacks, *reversed(_entered)) if isinstance(one, cls))
        chosen = next(found, None)
        return chosen if chosen is None or not chosen._open.depth else None

    @property
    def in_block(self) -> bool:
        """Whether the program is within the ``with`` block of this callback."""
        return self._open.blocks > 0

    def study(self, search: Hashable, study_id: str, direction: str = "minimize") -> Study:
        """Return the study of a search; its first trial begins the measurement.

        Args:
            search: The framework's object.
            study_id: Id of the study, if it has no setting: the same in all processes that take part.
            direction: ``minimize`` or ``maximize``.
        """
        studies = self._open.studies
        with self._open.lock:
            if search not in studies:
                name = self._study_id or "".join(filter(str.isprintable, study_id)) or "study"
                studies[search] = Study(
                    name, direction=direction, like=self._tracker, **self._given
                )
                studies[search].tracker.prepare(_PREPARE_TIMEOUT_S)
            return studies[search]

    def note_progress(self, search: Hashable) -> None:
        """Store the totals so far, now and then: those of other processes are read from files."""
        study, now_ns = self._open.studies.get(search), self._clock.monotonic_ns()
        if study is not None and now_ns >= self._open.due_ns:
            self._open.due_ns = now_ns + _NOTE_EVERY_NS
            self.note_totals(search, study.totals())

    def trial_id(self, study_id: str, number: str | int) -> str:
        """Return the id of a trial: that of its search in a study of several, or its number."""
        return f"{study_id}:{number}" if self._study_id else str(number)

    @contextlib.contextmanager
    def searching(self, search: Hashable) -> Iterator[None]:
        """Measure a block that searches; the study ends with the last one that is running."""
        with self._open.lock:
            self._open.searches[search] += 1
        try:
            yield
        finally:
            with self._open.lock:
                self._open.searches[search] -= 1
                is_last = self._open.searches[search] == 0
                if is_last:
                    del self._open.searches[search]
            if is_last and not self.in_block:
                self.end(search)

    @contextlib.contextmanager
    def measuring(self, one: TrialEnergy) -> Iterator[None]:
        """Measure a block that is a trial; an exception ends it as pruned or failed."""
        self._open.depth += 1
        try:
            yield
        except BaseException as error:
            one.end("pruned" if status_of(error) == "pruned" else "failed")
            raise
        finally:
            self._open.depth -= 1
        if one.result.status == "running":
            one.end()

    def begin_trial(self, study: Study, name: str, parameters: Mapping[str, Any]) -> None:
        """Begin a trial that a hook reports; does nothing if it is open.

        Args:
            study: Its study.
            name: Its id.
            parameters: Its hyperparameters.
        """
        with self.guard(), self._open.lock:
            if (study.study_id, name) not in self._open.trials:
                self._open.trials[study.study_id, name] = study.trial(name, parameters)

    def open_trial(self, search: Hashable, name: str) -> TrialEnergy | None:
        """Return a trial that `begin_trial` has begun; None if it is not open."""
        study = self._open.studies.get(search)
        return self._open.trials.get((study.study_id, name)) if study is not None else None

    def end_trial(
        self,
        study: Study,
        name: str,
        parameters: Mapping[str, Any],
        status: str,
        value: float | None = None,
    ) -> TrialResult | None:
        """End a trial that a hook reports, and return its results; None if it is not open.

        Args:
            study: Its study.
            name: Its id.
            parameters: Its hyperparameters, some of which it may have chosen itself.
            status: ``completed``, ``pruned`` or ``failed``.
            value: The metric that the search optimises.
        """
        with self.guard():
            one = self._open.trials.pop((study.study_id, name), None)
            if one is not None:
                one.note_parameters(parameters)
                return one.end(status, value)
        return None

    def must_stop(self, search: Hashable) -> bool:
        """Return whether no further trial may begin; logs a warning then."""
        study = self._open.studies.get(search)
        if study is None or not self._stops or not study.over_budget:
            return False
        self._tracker.warn(f"study {study.study_id}: no further trial begins: its budget is spent")
        return True

    def end(self, search: Hashable) -> None:
        """End the study of a search, and keep its totals."""
        with self._open.lock:
            study = self._open.studies.pop(search, None)
        if study is not None:
            self._open.forget(study.study_id)
            with self.guard():
                self._latest = study.end()
                self.note_totals(search, self._latest)

    def note_totals(self, search: Hashable, totals: StudyTotals) -> None:
        """Store totals where the framework keeps the results of a search."""

    def __enter__(self) -> Self:
        self._open.blocks += 1
        _entered.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.blocks -= 1
        _entered.remove(self)
        for search in list(self._open.studies) if not self._open.blocks else ():
            self.end(search)


class _Open:
    """The searches that a callback is measuring; a copy of the callback measures none of them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.studies: dict[Hashable, Study] = {}
        self.searches: Counter[Hashable] = Counter()
        self.trials: dict[tuple[str, str], TrialEnergy] = {}
        self.blocks = 0
        self.due_ns = 0
        self._thread = threading.local()

    def forget(self, study_id: str) -> None:
        """Forget the open trials of a study that ends."""
        for key in [one for one in self.trials if one[0] == study_id]:
            del self.trials[key]

    @property
    def depth(self) -> int:
        """How many trials this thread is within."""
        return getattr(self._thread, "depth", 0)

    @depth.setter
    def depth(self, value: int) -> None:
        self._thread.depth = value

    def __reduce__(self) -> tuple[type[_Open], tuple[()]]:
        return _Open, ()


def attributes_of_trial(result: object) -> dict[str, float]:
    """Return what is stored with a trial: its energy and emissions, where they are known."""
    return _attributes(result, _OF_TRIALS)


def metrics_of_trial(result: object) -> dict[str, float]:
    """Return what is logged with each result of a trial: with the same names always, NaN if unknown."""
    known = attributes_of_trial(result)
    return {name: known.get(name, math.nan) for name in (f"carbon:{one}" for one in _OF_TRIALS)}


def attributes_of_study(totals: object) -> dict[str, float]:
    """Return what is stored with a search: its totals, and the energy of pruned and failed trials."""
    return _attributes(totals, _OF_STUDIES)


def _attributes(of: object, names: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float | None] = {f"carbon:{name}": getattr(of, name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def id_in(directory: str, name: str) -> str:
    """Return the id of a search that keeps its state in a directory: also that of a resumed one.

    Args:
        directory: The directory; one that is deleted and made again is of another search.
        name: The name of the search.
    """
    path = Path(directory) / "carbon_study_id.txt"
    with contextlib.suppress(OSError):  # such as a directory in a bucket
        if not path.exists():
            draft = path.with_suffix(f".{uuid4().hex}")
            draft.write_text(f"{name}-{draft.suffix[1:9]}", encoding="utf-8")
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                pass  # another worker was first
            except OSError:  # no hard links, as on a mounted drive
                draft.replace(path)
            draft.unlink(missing_ok=True)
        return text_in(path) or name  # the file may be anyone's, and anything
    return name
