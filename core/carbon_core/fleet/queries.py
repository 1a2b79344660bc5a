"""Questions about a fleet as SQL, in files of ``data/fleet``: for DuckDB and ClickHouse.

They use standard functions only. Each is a view over the views of the tables, which read the files of an
export. No alias has the name of a column of the tables: ClickHouse would take it in place of the column.
"""

from __future__ import annotations

from collections.abc import Mapping

from carbon_core.data import text
from carbon_core.escaping import one_line
from carbon_core.fleet.columns import ALL_TABLES, BOOLEAN, INTEGER, NUMBER, TEXT, TIME, Table

# View -> its question.
QUESTIONS: Mapping[str, str] = {
    "by_project": "How much energy do the projects use?",
    "by_user": "How much energy do the users use?",
    "by_cluster": "How much energy do the clusters use?",
    "by_job": "How much energy do the jobs of a batch system use, with all elements of their arrays?",
    "by_month": "How does the energy of trainings and evaluations change by month?",
    "waste": "How much energy had runs that failed, were interrupted or pruned?",
    "energy_per_accuracy": "How much energy did the most accurate run of each project take?",
    "what_if": "What would the emissions be if all runs had been in another country?",
    "by_hardware": "How much energy do the devices use, and how was it measured?",
    "top_runs": "Which runs used most energy?",
    "by_phase": "How much energy do the phases use?",
}
# Format -> function of DuckDB, its argument for types that it would have to guess, and format of
# ClickHouse.
_READERS = {
    "parquet": ("read_parquet", "", "Parquet"),
    "csv": ("read_csv", "types", "CSVWithNames"),
    "jsonl": ("read_json", "columns", "JSONEachRow"),
}
_TYPES = {
    TEXT: "VARCHAR",
    INTEGER: "BIGINT",
    NUMBER: "DOUBLE",
    BOOLEAN: "BOOLEAN",
    TIME: "TIMESTAMP",
}


def query(name: str) -> str:
    """Return the SELECT statement of a question."""
    return text(f"fleet/{name}.sql").strip()


def views() -> str:
    """Return the statements that create a view for each question."""
    parts = [
        f"-- {question}\nCREATE OR REPLACE VIEW {name} AS\n{query(name)};\n"
        for name, question in QUESTIONS.items()
    ]
    return "\n".join(parts)


def tables(target: str, form: str, *, clickhouse: bool = False) -> str:
    """Return the statements that create a view for each table.

    Args:
        target: Directory or address of the export.
        form: Its format.
        clickhouse: Whether they are for ClickHouse; otherwise for DuckDB.
    """
    found = []
    for table in ALL_TABLES:
        depth = "*" if table.columns[1].name != "month" else "*/*"
        files = _quoted(f"{target.rstrip('/')}/{table.name}/{depth}.{form}")
        call = f"file({files}, {_READERS[form][2]})" if clickhouse else _read(table, files, form)
        found.append(f"CREATE OR REPLACE VIEW {table.name} AS\nSELECT * FROM {call};\n")
    return "".join(found)


def _read(table: Table, files: str, form: str) -> str:
    """Return the call of DuckDB that reads the files of a table."""
    reader, argument, _ = _READERS[form]
    types = ", ".join(f"{one.name}: '{_TYPES[one.type]}'" for one in table.columns)
    others = f", {argument} = {{{types}}}" if argument else ""
    return f"{reader}({files}, union_by_name = true{others})"


def script(target: str, form: str) -> str:
    """Return all statements for DuckDB, with those that differ for ClickHouse as comments."""
    other = "".join(
        f"--   {one_line(line, len(line))}\n"
        for line in tables(target, form, clickhouse=True).rstrip("\n").split(";\n")
    )
    return f"-- The tables, for DuckDB; for ClickHouse:\n{other}{tables(target, form)}\n{views()}"


def _quoted(path: str) -> str:
    doubled = path.replace("'", "''")
    return f"'{doubled}'"
