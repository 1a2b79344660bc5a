"""Run a training with and without the callback and compare everything that can be observed.

A *way* is a function that uses a framework's Trainer as a user would. Each framework has a module with a
table of them::

    WAYS = Ways()

    @WAYS.way("gradient accumulation")
    def gradient_accumulation(place):
        fit(place, accumulate_grad_batches=2)

`examine` runs a way in an empty directory, bare and measured, and returns the differences: in what the
way returns or raises, in what it puts into the place (weights, metrics, log entries), in its files, and
in what happens to the process around it (`upstream.process`). Each difference has a name, such as
``added logs/csv/0/carbon/energy_kwh``; those that are meant are in `upstream.allowed`.
"""

import gc
import os
import re
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from upstream.allowed import ALLOWED, is_ours, without_ours
from upstream.plain import entries_of_csv, flat, normal
from upstream.process import Process, seed_everything

TEXT_FILES = {".json", ".yaml", ".yml", ".txt", ".md"}


class Boom(Exception):
    """The user's own exception."""


class Framework:
    """What the harness has to know of a framework; each has a subclass.

    Attributes:
        name: Name in the table.
        loggers: Names of its loggers; records of WARNING and above are compared.
        classes: Classes whose attributes must stay as they are.
        accompanying: Keys that the framework adds to each log entry.
    """

    name: str
    loggers: tuple[str, ...] = ()
    classes: tuple[type, ...] = ()
    accompanying: frozenset[str] = frozenset({"epoch", "step"})

    def new_callback(self) -> Any:
        """Return our callback as a user makes it; it logs warnings and errors only."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget which messages were shown already, where a message is shown once per process."""

    def content(self, path: Path) -> Any:
        """Return the content of a file as nested data, or None if only its name is compared.

        Extend it for the framework's own files. Log files are returned as a `Log`.
        """
        if path.suffix == ".csv":
            return Log(entries_of_csv(path))
        return path.read_text() if path.suffix in TEXT_FILES else None

    def file_name(self, name: str) -> str:
        """Return a file's name without what differs between two runs (host, process, time)."""
        return name


@dataclass
class Log:
    """Entries of one logger in their order: the values by key, and the step."""

    entries: list[tuple[Mapping[str, Any], Any]] = field(default_factory=list)

    def add(self, values: Mapping[str, Any], step: Any = None) -> None:
        """Add an entry."""
        self.entries.append((dict(values), step))


@dataclass
class Seen:
    """What a way found that is to be compared. All may stay empty.

    Attributes:
        weights: Arrays by name; compared bit for bit.
        metrics: What others monitor: keys of ours may be added.
        logs: Log entries by logger.
        attributes: Names and types of an object's attributes, by object.
    """

    weights: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    logs: dict[str, Log] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


class Unavailable(Exception):
    """A package or a class that the way needs is absent from the installed versions."""


class Place:
    """Where a way runs, and what it has at hand.

    Attributes:
        framework: The framework.
        path: A directory for the way's files. Its content is compared.
        measured: Whether the run has our callback.
        callbacks: Our callbacks for the Trainer: a list with one, or empty in the bare run.
        seen: What is to be compared.
        error: An exception for the way to raise; it must arrive as this very object.
        monkeypatch: Changes that are undone after the run.
    """

    def __init__(self, framework: Framework, path: Path, measured: bool) -> None:
        self.framework, self.path, self.measured = framework, path, measured
        self.callbacks = self.new_callbacks()
        self.seen = Seen()
        self.error = Boom("the user's own exception")
        self.monkeypatch = pytest.MonkeyPatch()
        self.watched: dict[str, weakref.ref[Any]] = {}

    def new_callbacks(self) -> list[Any]:
        """Return another list with a new callback, or an empty one in the bare run."""
        return [self.framework.new_callback()] if self.measured else []

    def watch(self, **objects: Any) -> None:
        """Compare whether these objects are released when the way has returned."""
        self.watched.update({name: weakref.ref(one) for name, one in objects.items()})

    def inspect(self, **objects: Any) -> None:
        """Compare which attributes these objects have now."""
        for name, one in objects.items():
            self.seen.attributes[name] = {key: type(value) for key, value in vars(one).items()}

    def log(self, name: str) -> Log:
        """Return the log of a name, to add entries to."""
        return self.seen.logs.setdefault(name, Log())

    def need(self, module: str, attribute: str | None = None) -> Any:
        """Return a module, or one of its attributes; the way is skipped where it is absent."""
        try:
            found = pytest.importorskip(module)
        except pytest.skip.Exception as absent:
            raise Unavailable(str(absent)) from None
        if attribute is None:
            return found
        if not hasattr(found, attribute):
            raise Unavailable(f"{module} has no {attribute}")
        return getattr(found, attribute)


@dataclass(frozen=True)
class Way:
    """One way of using a Trainer.

    Attributes:
        name: Its name in the table.
        run: The function, called with the place.
        raises: Name of the exception's type that it ends with, also without the callback.
    """

    name: str
    run: Callable[[Any], Any]
    raises: str | None = None

    @property
    def id(self) -> str:
        """Its name as part of a test's name."""
        return re.sub(r"\W+", "-", self.name)


class Ways:
    """The table of a framework's ways."""

    def __init__(self) -> None:
        self._ways: dict[str, Way] = {}

    def way(
        self, name: str, *, raises: str | None = None
    ) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
        """Add the decorated function to the table; see `Way`."""

        def add(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            assert name not in self._ways, f"two ways are called {name!r}"
            self._ways[name] = Way(name, function, raises)
            return function

        return add

    def __iter__(self) -> Iterator[Way]:
        return iter(self._ways.values())

    def __len__(self) -> int:
        return len(self._ways)


@dataclass(frozen=True)
class Difference:
    """Something that the measured run did otherwise than the bare one.

    Attributes:
        name: ``added``, ``removed`` or ``changed``, and what; in groups separated by slashes.
        bare: Its value in the bare run.
        measured: Its value in the measured run.
    """

    name: str
    bare: str | None
    measured: str | None

    @property
    def allowed(self) -> str | None:
        """The pattern in the table of allowed differences that it matches."""
        return next((one for one in ALLOWED if fnmatchcase(self.name, one)), None)

    def __str__(self) -> str:
        values = [one[:120] for one in (self.bare, self.measured) if one not in (None, "")]
        return f"{self.name}: {' -> '.join(values)}" if values else self.name


def examine(framework: Framework, way: Way, root: Path) -> list[Difference]:
    """Return how the measured run of a way differs from the bare one, by name.

    Where they differ both are run again: what differs between the two bare runs, or in one of the pairs
    only, is not due to the callback.
    """
    bare = observe(framework, way, root, measured=False)
    raised = bare.get("raised/type")
    assert raised == way.raises, f"the bare run raised {raised}: {bare.get('raised/text')}"
    found = compare(bare, observe(framework, way, root, measured=True))
    if not all(one.allowed for one in found):
        second = observe(framework, way, root, measured=False)
        unsteady = {one.name for one in compare(bare, second)}
        again = compare(second, observe(framework, way, root, measured=True))
        names = {one.name for one in again} - unsteady
        found = [one for one in found if one.name in names]
    return found


def check(framework: Framework, way: Way, root: Path, results: list[Any]) -> None:
    """Examine a way for a test: add a row to the table; fail unless every difference is allowed."""
    found = examine(framework, way, root)
    results.append((framework.name, way.name, found))
    differing = [str(one) for one in found if not one.allowed]
    assert not differing, "\n".join(differing)


def compare(bare: Mapping[str, str], measured: Mapping[str, str]) -> list[Difference]:
    """Return the differences between two observations."""
    found = []
    for key in [*bare, *(key for key in measured if key not in bare)]:
        was, became = bare.get(key), measured.get(key)
        if was != became:
            kind = "added" if was is None else "removed" if became is None else "changed"
            found.append(Difference(f"{kind} {key}", was, became))
    return found


def observe(framework: Framework, way: Way, root: Path, *, measured: bool) -> dict[str, str]:
    """Run a way once; return what was observed, by name.

    All runs of a way have the same paths, so that paths need not be normalised.
    """
    directories = {name: root / name for name in ("way", "ours", "cwd", "home")}
    for directory in directories.values():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        for variable in [one for one in os.environ if one.startswith(("CODECARBON_", "CARBON_"))]:
            patch.delenv(variable)
        patch.setenv("CODECARBON_OUTPUT_DIR", str(directories["ours"]))
        patch.setenv("HOME", str(directories["home"]))
        patch.chdir(directories["cwd"])
        framework.reset()
        gc.collect()
        gc.freeze()  # what is there already need not be searched again
        place = Place(framework, directories["way"], measured)
        seed_everything()
        process = Process([*framework.loggers, "carbon_callbacks"], framework.classes)
        gc.disable()
        try:
            with process.observed():
                outcome = _outcome(way, place)
            seen, watched = place.seen, place.watched
            del place  # it holds our callbacks, to which Lightning ties the model
            alive = {name: one() is not None for name, one in watched.items()}
            gc.collect()
            collected = {name: one() is None for name, one in watched.items()}
        finally:
            gc.enable()
        named: dict[str, str] = dict(flat(outcome))
        named.update(flat({"weights": seen.weights, "metrics": seen.metrics}))
        named.update(flat({"attributes": seen.attributes, "process": process.seen}))
        named.update(flat({"alive": alive, "collected": collected}))
        for name, log in seen.logs.items():
            named.update(_log_items(f"logs/{name}", log, framework))
        named.update(_file_items("files", directories["way"], framework))
        named.update(_file_items("files elsewhere/cwd", directories["cwd"], framework))
        named.update(_file_items("files elsewhere/home", directories["home"], framework))
    return named


def _outcome(way: Way, place: Place) -> dict[str, Any]:
    """Run a way; return what it returned or raised."""
    try:
        return {"returned": way.run(place)}
    except Unavailable as absent:
        pytest.skip(str(absent))
    except BaseException as error:
        if isinstance(error, pytest.skip.Exception):
            raise
        text, listed = without_ours(normal(str(error)))
        raised = {
            "type": type(error).__qualname__,
            "text": text,
            "same object": error is place.error,
            "cause": repr(error.__cause__),
        }
        return {"raised": raised, "metrics of ours listed in the exception": listed}
    finally:
        place.error.__traceback__ = place.error.__context__ = None
        place.monkeypatch.undo()


def _log_items(name: str, log: Log, framework: Framework) -> Iterator[tuple[str, str]]:
    """Yield a log's values by name.

    Entries that hold only figures of ours are named apart, so that those after them keep their number.
    """
    number, ours = 0, 0
    for values, step in log.entries:
        added = sorted(key for key in values if is_ours(key))
        if added and not values.keys() - set(added) - framework.accompanying:
            yield f"{name}/entry of ours {ours}", f"step {step}: {', '.join(added)}"
            ours += 1
            continue
        yield from flat(step, f"{name}/{number}/step")
        for key in sorted(values):
            yield from flat("" if key in added else values[key], f"{name}/{number}/{key}")
        number += 1


def _file_items(name: str, root: Path, framework: Framework) -> Iterator[tuple[str, str]]:
    """Yield the files below a directory, and their contents where they can be compared."""
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    counted: dict[str, int] = {}
    for path in paths:
        relative = framework.file_name(str(path.relative_to(root)))
        counted[relative] = counted.get(relative, 0) + 1
        label = f"{name}/{relative}" + (f" {n}" if (n := counted[relative]) > 1 else "")
        yield label, ""
        content = framework.content(path)
        if isinstance(content, Log):
            yield from _log_items(label, content, framework)
        elif content is not None:
            yield from flat(content, label + ":")
