"""File formats of an export: Parquet, CSV and JSON Lines. A file has rows of one table.

All of them keep the rows of some runs of a file and add rows to them, which is what an export does to a
file. Parquet is written by pyarrow, which is imported when it is needed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from carbon_core.decoding import parsed
from carbon_core.errors import OutputError
from carbon_core.escaping import LONGEST, csv_cell, one_line
from carbon_core.fleet.columns import BOOLEAN, INTEGER, NUMBER, SCHEMA_VERSION, TEXT, TIME, Table
from carbon_core.limits import MOST_ITEMS
from carbon_core.outputs.csv_rows import as_cell, as_lines

Rows = Sequence[Sequence[Any]]
_VERSION_KEY = "carbon_callbacks_schema_version"
_ID = "run_id"


class Kept(NamedTuple):
    """Rows of a file that stay in it.

    Attributes:
        data: The file.
        run_ids: The runs whose rows stay.
    """

    data: bytes
    run_ids: Collection[str]


class Format(Protocol):
    """A file format."""

    suffix: str

    def written(self, table: Table, rows: Rows, kept: Kept | None = None) -> bytes:
        """Return a file with the kept rows of another, and further rows."""
        ...

    def read(self, table: Table, data: bytes, names: Sequence[str]) -> Iterator[Sequence[Any]]:
        """Yield some columns of each row of a file.

        Raises:
            OutputError: It is no file of the table, or one of a newer version.
        """
        ...


class Parquet:
    """Parquet files, with the version of the tables in their metadata, too."""

    suffix = ".parquet"

    def written(self, table: Table, rows: Rows, kept: Kept | None = None) -> bytes:
        """Return a file with the kept rows of another, and further rows."""
        import pyarrow as pa
        from pyarrow import parquet

        schema = self._schema(table)
        columns = list(zip(*rows)) if rows else [()] * len(table.columns)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, schema)]
        found = pa.Table.from_arrays(arrays, schema=schema)
        if kept is not None:
            before = self._of_file(table, kept.data)
            stays = [one in kept.run_ids for one in before.column(_ID).to_pylist()]
            found = pa.concat_tables([before.filter(pa.array(stays, pa.bool_())), found])
        buffer = io.BytesIO()
        parquet.write_table(found.combine_chunks(), buffer)
        return buffer.getvalue()

    def read(self, table: Table, data: bytes, names: Sequence[str]) -> Iterator[Sequence[Any]]:
        """Yield some columns of each row of a file."""
        found = self._of_file(table, data, names)
        try:
            return zip(*(found.column(name).to_pylist() for name in names))
        except (
            ValueError,
            OverflowError,
        ) as error:  # text that is not UTF-8, a time of another era
            raise OutputError(f"is not a Parquet file of {table.name}: {error}") from error

    def _of_file(self, table: Table, data: bytes, names: Sequence[str] = ()) -> Any:
        """Return the content of a file with the columns of this version; new ones are null."""
        import pyarrow as pa
        from pyarrow import parquet

        try:
            file = parquet.ParquetFile(io.BytesIO(data))
            # Any number of equal rows takes a few bytes.
            if names and file.metadata.num_rows > MOST_ITEMS:
                raise OutputError(f"has more than {MOST_ITEMS:,} rows")
            _check_version((file.schema_arrow.metadata or {}).get(_VERSION_KEY.encode(), b"0"))
            wanted = [one for one in self._schema(table) if not names or one.name in names]
            had = set(file.schema_arrow.names)
            if table.names[0] not in had:
                raise OutputError(f"is not a Parquet file of {table.name}")
            found = file.read(columns=[one.name for one in wanted if one.name in had])
            arrays = [
                found.column(one.name) if one.name in had else pa.nulls(found.num_rows, one.type)
                for one in wanted
            ]
            metadata = self._schema(table).metadata
            return pa.Table.from_arrays(arrays, schema=pa.schema(wanted, metadata=metadata))
        # Arrow's own errors, and those of a version that is no number, of damaged pages and of types.
        except (pa.ArrowException, ValueError, TypeError, KeyError, OSError) as error:
            raise OutputError(f"is not a Parquet file of {table.name}: {error}") from error

    def _schema(self, table: Table) -> Any:
        import pyarrow as pa

        # Times are UTC without a zone: engines need further libraries for times with one.
        types = {
            TEXT: pa.string(),
            INTEGER: pa.int64(),
            NUMBER: pa.float64(),
            BOOLEAN: pa.bool_(),
            TIME: pa.timestamp("us"),
        }
        fields = [
            pa.field(
                one.name,
                types[one.type],
                metadata={"unit": one.unit, "description": one.description},
            )
            for one in table.columns
        ]
        return pa.schema(fields, metadata={_VERSION_KEY: str(SCHEMA_VERSION)})


class Csv:
    """CSV files: one line for each row, empty cells for null, text without formulas."""

    suffix = ".csv"

    def written(self, table: Table, rows: Rows, kept: Kept | None = None) -> bytes:
        """Return a file with the kept rows of another, and further rows."""
        before: Iterable[Sequence[Any]] = ()
        if kept is not None:
            found = self.read(table, kept.data, table.names)
            before = (row for row in found if row[0] in kept.run_ids)
        cells = ([_cell(value) for value in row] for row in (*before, *rows))
        return as_lines((table.names, *cells))

    def read(self, table: Table, data: bytes, names: Sequence[str]) -> Iterator[Sequence[Any]]:
        """Yield some columns of each row of a file."""
        lines = csv.reader(io.StringIO(data.decode("utf-8", "replace"), newline=""))
        types = {one.name: one.type for one in table.columns}
        most = csv.field_size_limit(max(len(data), 1))
        try:
            header = next(lines, [])
            of_version = header.index("schema_version")
            at = [header.index(name) if name in header else -1 for name in names]
            for cells in lines:
                _check_version(cells[of_version])
                yield [
                    _value(cells[i], types[name]) if i >= 0 else None for i, name in zip(at, names)
                ]
        except (ValueError, IndexError, csv.Error) as error:
            raise OutputError(f"is not a CSV file of {table.name}: {error}") from error
        finally:
            csv.field_size_limit(most)


class JsonLines:
    """JSON Lines: one object for each row."""

    suffix = ".jsonl"

    def written(self, table: Table, rows: Rows, kept: Kept | None = None) -> bytes:
        """Return a file with the kept rows of another, and further rows."""
        before: Iterable[Sequence[Any]] = ()
        if kept is not None:
            found = self.read(table, kept.data, table.names)
            before = (row for row in found if row[0] in kept.run_ids)
        texts = (
            json.dumps(dict(zip(table.names, row)), default=_time_text) for row in (*before, *rows)
        )
        return "".join(f"{text}\n" for text in texts).encode()

    def read(self, table: Table, data: bytes, names: Sequence[str]) -> Iterator[Sequence[Any]]:
        """Yield some columns of each row of a file."""
        times = {one.name for one in table.columns if one.type == TIME}
        try:
            for line in data.splitlines():
                row = parsed(line)
                _check_version(row["schema_version"])
                yield [
                    _time(value) if name in times and (value := row.get(name)) else row.get(name)
                    for name in names
                ]
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise OutputError(f"is not a file of {table.name} in JSON Lines: {error}") from error


def _check_version(found: Any) -> None:
    if int(found) > SCHEMA_VERSION:
        raise OutputError(
            f"its schema ({int(found)}) is newer than this version of carbon-callbacks"
        )


def _time_text(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds") + "Z"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix("Z"))


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _time_text(value)
    if isinstance(value, str) and len(value) > LONGEST:  # JSON
        return csv_cell(value[:LONGEST]) + one_line(value[LONGEST:], len(value))
    return as_cell(value)


_OF_TEXT = {
    TEXT: str,
    INTEGER: int,
    NUMBER: float,
    BOOLEAN: lambda cell: cell == "true",
    TIME: _time,
}


def _value(cell: str, kind: str) -> Any:
    return _OF_TEXT[kind](cell) if cell else None  # type: ignore[operator]


FORMATS: dict[str, Format] = {"parquet": Parquet(), "csv": Csv(), "jsonl": JsonLines()}
