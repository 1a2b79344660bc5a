"""The questions about a fleet, answered by DuckDB, against figures computed from the receipts."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import fleet_receipts
import pytest

from carbon_core.data import rows as shipped_rows
from carbon_core.fleet import queries
from carbon_core.fleet.export import export
from carbon_core.fleet.files import ExportFiles
from carbon_core.fleet.formats import FORMATS
from carbon_core.fleet.places import Directory

pytest.importorskip("pyarrow")
duckdb = pytest.importorskip("duckdb")
# `nox -s fleet` sets a larger number.
COUNT = int(os.environ.get("CARBON_FLEET_RUNS", "400"))
WASTED = ("failed", "interrupted", "pruned")


class Fleet:
    """A fleet of receipts, its export, and the answers.

    Figures are computed here from the text of the receipts only.
    """

    def __init__(self, directory: Path, form: str) -> None:
        source, target = directory / "in", directory / "it's out"
        self.form, self.target = form, target
        fleet_receipts.write(source, COUNT)
        export([source], ExportFiles(Directory(target), FORMATS[form]))
        self.receipts = [
            json.loads(path.read_text()) for path in (source / "carbon_runs").glob("*.json")
        ]
        self.connection = duckdb.connect()
        self.connection.execute(queries.script(str(target), form))
        by_id = {one["run"]["run_id"]: one for one in self.receipts}
        for one in self.receipts:
            outer = [by_id[run_id] for run_id in one["run"]["within"] if run_id in by_id]
            # The outer run of a generated one is of the same time and devices, and measured all.
            one["counted"] = 0.0 if any(run["is_known"] for run in outer) else 1.0

    def answer(self, view: str) -> list[dict[str, Any]]:
        found = self.connection.execute(f"SELECT * FROM {view}")
        names = [one[0] for one in found.description]
        return [dict(zip(names, row)) for row in found.fetchall()]

    def groups(self, key: Any, value: Any) -> dict[Any, float]:
        """Return sums over the runs, each counted once; None where no value is known."""
        sums: dict[Any, list[float]] = defaultdict(list)
        for one in self.receipts:
            known = value(one)
            sums[key(one)] += [] if known is None else [known * one["counted"]]
        return {name: sum(values) if values else None for name, values in sums.items()}


@pytest.fixture(scope="module", params=list(FORMATS))
def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet"), request.param)
    yield made
    made.connection.close()


def project(one: dict[str, Any]) -> str:
    return one["run"]["project_name"]


def job(name: str) -> Any:
    return lambda one: (one["run"]["job"] or {}).get(name) or None


def kwh(one: dict[str, Any]) -> float | None:
    return one["energy_kwh"]["value"]


def kg(one: dict[str, Any]) -> float | None:
    return one["emissions_kg"]["value"]


def same(found: dict[Any, Any], expected: dict[Any, Any]) -> None:
    assert set(found) == set(expected)
    assert found == {name: pytest.approx(value) for name, value in expected.items()}


@pytest.mark.parametrize(
    ("view", "names", "key"),
    [
        ("by_project", ("project",), project),
        ("by_user", ("user_name",), job("user")),
        ("by_cluster", ("cluster",), job("cluster")),
        ("by_job", ("scheduler", "cluster", "job_id"),
         lambda one: (
             job("scheduler")(one), job("cluster")(one),
             job("array_id")(one) or job("job_id")(one),
         )),
        ("by_month", ("month", "kind"), lambda one: (one["run"]["started_at"][:7], "training")),
    ],
)  # fmt: skip
def test_energy_by(fleet: Fleet, view: str, names: tuple[str, ...], key: Any) -> None:
    rows = fleet.answer(view)

    def by_key(column: str) -> dict[Any, Any]:
        several = ((tuple(row[name] for name in names), row[column]) for row in rows)
        return {name if len(name) > 1 else name[0]: value for name, value in several}

    same(by_key("total_kwh"), fleet.groups(key, kwh))
    same(by_key("total_kg"), fleet.groups(key, kg))
    same(by_key("high_kwh"), fleet.groups(key, lambda one: one["energy_kwh"]["high_95"]))
    same(by_key("runs"), fleet.groups(key, lambda one: 1.0))
    same(by_key("hours"), fleet.groups(key, lambda one: one["duration_s"] / 3600))
    unknown = fleet.groups(key, lambda one: 0.0)
    for one in fleet.receipts:
        unknown[key(one)] += not one["is_known"]
    same(by_key("unknown_runs"), unknown)


def test_the_waste_of_failed_runs(fleet: Fleet) -> None:
    rows = {row["project"]: row for row in fleet.answer("waste")}
    total = fleet.groups(project, kwh)
    waste = fleet.groups(project, lambda one: kwh(one) if one["status"] in WASTED else None)
    same({name: row["waste_kwh"] for name, row in rows.items()}, waste)
    shares = {name: (waste[name] or 0.0) / total[name] for name in total}
    same({name: row["waste_share"] for name, row in rows.items()}, shares)


def test_energy_per_accuracy(fleet: Fleet) -> None:
    rows = {row["project"]: row for row in fleet.answer("energy_per_accuracy")}
    best: dict[str, tuple[float, float]] = {}
    for one in fleet.receipts:
        accuracy = one["logged_metrics"].get("val_accuracy")
        if accuracy is not None and kwh(one) is not None:
            least = (-accuracy, kwh(one))
            best[project(one)] = min(best.get(project(one), least), least)
    same({name: row["best_accuracy"] for name, row in rows.items()},
         {name: -one[0] for name, one in best.items()})  # fmt: skip
    same({name: row["kwh_per_accuracy"] for name, row in rows.items()},
         {name: one[1] / -one[0] for name, one in best.items()})  # fmt: skip


def test_what_if_all_runs_had_been_in_another_country(fleet: Fleet) -> None:
    rows = {row["country_iso_code"]: row for row in fleet.answer("what_if")}
    total = sum(kwh(one) * one["counted"] for one in fleet.receipts if kwh(one) is not None)
    table = {row["iso3"]: row for row in shipped_rows("grid_country")}
    for code in ("FRA", "POL", "NOR", "WORLD"):
        g_per_kwh = float(table[code]["g_per_kwh"])
        assert rows[code]["what_if_kg"] == pytest.approx(total * g_per_kwh / 1000)
    emissions = sum(kg(one) * one["counted"] for one in fleet.receipts if kg(one) is not None)
    assert rows["FRA"]["actual_kg"] == pytest.approx(emissions)


def test_energy_by_hardware_method_and_grade(fleet: Fleet) -> None:
    names = ("component", "device", "method", "grade")
    keys = ("component", "name", "method", "grade")
    expected: dict[Any, list[float]] = defaultdict(list)
    for one in fleet.receipts:
        for device in one["devices"]:
            values = expected[tuple(device[name] for name in keys)]
            if device["energy_kwh"] is not None:
                values.append(device["energy_kwh"] * one["counted"])
    found = {tuple(row[name] for name in names): row["total_kwh"]
             for row in fleet.answer("by_hardware")}  # fmt: skip
    same(found, {name: sum(values) for name, values in expected.items()})


def test_the_runs_with_most_energy(fleet: Fleet) -> None:
    known = [one for one in fleet.receipts if kwh(one) is not None and one["counted"]]
    expected = sorted(known, key=lambda one: -kwh(one))[:20]
    found = fleet.answer("top_runs")
    assert [row["run_id"] for row in found] == [one["run"]["run_id"] for one in expected]


def test_energy_by_phase(fleet: Fleet) -> None:
    expected: dict[str, float] = defaultdict(float)
    for one in fleet.receipts:
        for phase in one["phases"]:
            expected[phase["name"]] += (phase["energy_kwh"] or 0.0) * one["counted"]
    same({row["phase"]: row["total_kwh"] for row in fleet.answer("by_phase")}, dict(expected))


def test_every_question_has_a_test_and_its_file() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in queries.QUESTIONS if f'"{name}"' not in text] == []
    assert all(queries.query(name).startswith("SELECT") for name in queries.QUESTIONS)


def test_clickhouse_answers_alike(fleet: Fleet) -> None:
    pytest.importorskip("chdb", reason="chdb is not installed: ClickHouse in a library of 500 MB")
    from chdb import session

    if fleet.form != "parquet":
        pytest.skip("the types of other formats are guessed by ClickHouse")
    clickhouse = session.Session()
    statements = queries.tables(str(fleet.target), "parquet", clickhouse=True) + queries.views()
    for statement in filter(str.strip, statements.split(";\n")):
        clickhouse.query(statement)
    for view in queries.QUESTIONS:
        found = str(clickhouse.query(f"SELECT * FROM {view}", "JSONEachRow")).splitlines()
        rows = [json.loads(line) for line in found]
        assert _comparable(rows) == _comparable(fleet.answer(view)), view
    clickhouse.close()


def _comparable(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(str([_cell(value) for value in row.values()]) for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(" ", "milliseconds")
    if isinstance(value, str) and value[:2] == "20" and value[-3:] == "000":
        return value[:-3]  # a time with microseconds
    return f"{value:.9g}" if isinstance(value, (int, float)) else value
