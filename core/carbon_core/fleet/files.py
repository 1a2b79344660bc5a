"""The files of an export, which are also its state.

The table of runs is the state of the export: it has the source of each run, with its size and time. A
file has the rows of at most `MOST_RUNS` runs of a month; the files of the other tables with its name
have the rows of the same runs. `PENDING` names the files that are being written: of a killed export,
the rows without a row in the table of runs are removed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from carbon_core.decoding import DecodingError, decoded, parsed
from carbon_core.errors import OutputError
from carbon_core.fleet.columns import COUNTRY_TABLE, RUNS, TABLES, country_rows
from carbon_core.fleet.formats import FORMATS, Format, Kept
from carbon_core.fleet.places import STATE, Place, is_temporary
from carbon_core.limits import Limit

MOST_RUNS = 5_000
PENDING = f"{STATE}/writing.json"
_STATE_COLUMNS = (
    "run_id", "source", "source_size_bytes", "source_mtime_ns", "status", "within", "month",
    "duration_s", "energy_kwh", "emissions_kg",
)  # fmt: skip
_BY_NAME = {table.name: table for table in TABLES}
# Of a file: its size, and a time in nanoseconds.
_Whole = Annotated[int, Limit("a number of 64 bits", -(2.0**63), 2.0**63)]


class Exported(NamedTuple):
    """A run that was exported before.

    Attributes:
        run_id: Its id.
        source: The file that it was read from.
        size_bytes: Size of that file.
        mtime_ns: Time of its last change.
        status: Its status then; None for a row of a CSV file.
        within: The runs that it is within, separated by blanks, or None.
        month: Month in which it began.
        duration_s: Its duration.
        energy_kwh: Its energy; None where it is unknown.
        emissions_kg: Its emissions; None where they are unknown.
        part: The files that have its rows: the same name in each table.
    """

    run_id: str
    source: str
    size_bytes: _Whole
    mtime_ns: _Whole
    status: str | None
    within: str | None
    month: str
    duration_s: float
    energy_kwh: float | None
    emissions_kg: float | None
    part: str

    @property
    def figures(self) -> tuple[float | None, ...]:
        """What a row of a CSV file has."""
        return self.duration_s, self.energy_kwh, self.emissions_kg


class ExportFiles:
    """The files of an export.

    Args:
        place: Where they are.
        form: Their format.
    """

    def __init__(self, place: Place, form: Format) -> None:
        self._place, self._format = place, form
        self._runs_of: dict[str, set[str]] = {}
        self._last: dict[str, str] = {}

    def load(self) -> Iterator[Exported]:
        """Yield the runs that have been exported, after files of a killed export were repaired.

        Raises:
            OutputError: A file has another format, or one of a newer version.
        """
        names = self._place.names()
        for name in filter(is_temporary, names):
            self._place.remove(name)
        names = [name for name in names if not is_temporary(name)]
        self._require_one_format(names)
        prefix, suffix = f"{RUNS}/", self._format.suffix
        for name in names:
            if name.startswith(prefix) and name.endswith(suffix):
                part = name[len(prefix) : -len(suffix)]
                folder, _, number = part.rpartition("/")
                if number.isdecimal():  # others may have put a file there
                    self._last[folder] = part
                found = [_exported(name, (*row, part)) for row in self._read(name)]
                self._runs_of[part] = {one.run_id for one in found}
                yield from found
        self._remove_doubles()
        if PENDING in names:
            self._repair(names)
        if self._name(COUNTRY_TABLE.name, COUNTRY_TABLE.name) not in names:
            self._write(COUNTRY_TABLE.name, COUNTRY_TABLE.name, list(country_rows()))

    def part_for(self, month: str, more: Mapping[str, Collection[str]]) -> str:
        """Return the files for a new run of a month: the last ones, or new ones if these are full.

        Args:
            month: The month.
            more: Ids of the runs that will be added, by part.
        """
        folder = f"month={month}"
        last = self._last.get(folder, f"{folder}/00000")
        if len(self._runs_of.get(last, ())) + len(more.get(last, ())) >= MOST_RUNS:
            last = f"{folder}/{int(last.rpartition('/')[2]) + 1:05}"
        self._last[folder] = last
        return last

    def write(self, parts: Mapping[str, Mapping[str, Mapping[str, list[Any]]]]) -> None:
        """Write rows of runs: those of a run that is in a file already are replaced.

        Args:
            parts: Rows by part, run and table; a run without rows is removed.
        """
        self._place.write(PENDING, json.dumps(sorted(parts)).encode())
        for part, runs in parts.items():
            kept = self._runs_of.get(part, set()) - runs.keys()
            for table in TABLES:
                rows = [row for run in runs.values() for row in run.get(table.name, ())]
                self._write(table.name, part, rows, kept)
            self._runs_of[part] = kept | {run_id for run_id, rows in runs.items() if rows}
        self._place.remove(PENDING)

    def _write(
        self, table_name: str, part: str, rows: list[Any], kept: Collection[str] = ()
    ) -> None:
        table = _BY_NAME.get(table_name, COUNTRY_TABLE)
        name = self._name(table_name, part)
        before = Kept(self._place.read(name), kept) if kept else None
        self._place.write(name, self._format.written(table, rows, before))

    def _remove_doubles(self) -> None:
        """Remove the earlier rows of runs that a killed export has moved to another file.

        A run moves if it is found to have begun in another month, such as that of its receipt instead of
        that of its row in a CSV file. Its last rows stay, because `load` returns these last.
        """
        seen: set[str] = set()
        for part in reversed(list(self._runs_of)):
            runs = self._runs_of[part]
            kept = runs - seen
            seen |= runs
            if len(kept) < len(runs):
                for table in TABLES:
                    self._write(table.name, part, [], kept)
                self._runs_of[part] = kept

    def _repair(self, names: Iterable[str]) -> None:
        """Remove the rows that a killed export has written without those of their runs."""
        try:
            parts = decoded(list[str], parsed(self._place.read(PENDING)))
        except DecodingError as error:
            raise OutputError(f"{PENDING}: {error}") from error
        for part in parts:
            runs = self._runs_of.get(part)
            for table in TABLES:
                name = self._name(table.name, part)
                if name not in names or table.name == RUNS:
                    continue
                if runs is None:
                    self._place.remove(name)
                else:
                    self._write(table.name, part, [], runs)
        self._place.remove(PENDING)

    def _read(self, name: str) -> list[Sequence[Any]]:
        try:
            data = self._place.read(name)
            return list(self._format.read(_BY_NAME[RUNS], data, _STATE_COLUMNS))
        except OutputError as error:
            raise OutputError(f"{name}: {error}") from error

    def _require_one_format(self, names: Iterable[str]) -> None:
        others = tuple(one.suffix for one in FORMATS.values() if one.suffix != self._format.suffix)
        for name in names:
            if name.startswith(f"{RUNS}/month=") and name.endswith(others):
                raise OutputError(f"has an export in another format, such as {name}")

    def _name(self, table: str, part: str) -> str:
        return f"{table}/{part}{self._format.suffix}"


def _exported(name: str, row: Sequence[Any]) -> Exported:
    """Return a row of a file of runs, which others may have written."""
    try:
        return decoded(Exported, row)
    except DecodingError as error:
        raise OutputError(f"{name}: {error}") from error
