"""The table of meters and what the project says elsewhere about each row; messages name the file."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from carbon_core import methods
from carbon_core.hardware import meters
from carbon_core.hardware.meter_spec import GpuBackend, MeterSpec
from carbon_core.methods import Method
from carbon_core.uncertainty import FLOOR_SIGMA_LN, interval

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[import-not-found,no-redef]

ROOT = Path(__file__).parents[2]
ROWS = [pytest.param(row, id=row.name) for row in meters.METERS]
WITH_VENDOR = [pytest.param(row, id=row.name) for row in meters.METERS if row.vendor_module]
METHODS = [value for value in vars(methods).values() if isinstance(value, Method)]
TABLE = "core/carbon_core/hardware/meters.py"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def contract(project: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [c for c in project["tool"]["importlinter"]["contracts"] if c["name"] == name]
    return found


def home_of(row: MeterSpec | GpuBackend) -> str:
    """Return the file of a row's module, relative to the root."""
    return f"core/{row.module.replace('.', '/')}.py"


def test_names_are_unique() -> None:
    assert len({row.name for row in meters.METERS}) == len(meters.METERS)


@pytest.mark.parametrize("row", ROWS)
def test_its_module_is_there(row) -> None:
    assert row.module.startswith("carbon_core.hardware.")
    importlib.import_module(row.module)
    assert (ROOT / home_of(row)).is_file()


@pytest.mark.parametrize("row", WITH_VENDOR)
def test_its_vendors_module_is_banned_everywhere_but_in_its_own(row, project) -> None:
    lint = project["tool"]["ruff"]["lint"]
    banned = lint["flake8-tidy-imports"]["banned-api"]
    home, vendor = home_of(row), row.vendor_module
    told = f"pyproject.toml: ban {vendor} in ruff's banned-api; the message names {home}"
    assert vendor in banned, told
    assert home.removeprefix("core/carbon_core/") in banned[vendor]["msg"], told
    ignores = lint["per-file-ignores"]
    assert "TID251" in ignores.get(home, []), f"pyproject.toml: per-file-ignores of {home}: TID251"
    layers = contract(project, "Each vendor library is imported by one module")
    assert vendor in layers["forbidden_modules"], (
        f"pyproject.toml: the import-linter contract {layers['name']!r} lacks {vendor}"
    )
    allowed = [line for line in layers["ignore_imports"] if line.endswith(f"-> {vendor}")]
    assert allowed == [f"{row.module} -> {vendor}"], (
        f"pyproject.toml: ignore_imports of {layers['name']!r} must have {row.module} -> {vendor}"
    )
    untyped = [one for each in project["tool"]["mypy"]["overrides"] for one in each["module"]]
    assert f"{vendor}.*" in untyped, f"pyproject.toml: mypy's overrides lack {vendor}.*"


def test_no_other_module_of_the_meters_may_import_what_is_banned(project) -> None:
    ignores = project["tool"]["ruff"]["lint"]["per-file-ignores"]
    hardware = "core/carbon_core/hardware/"
    exempt = {file for file, rules in ignores.items() if file.startswith(hardware)}
    homes = {home_of(row) for row in meters.METERS if row.vendor_module}
    assert exempt == {f"{hardware}host.py"} | homes, "pyproject.toml: per-file-ignores"


@pytest.mark.parametrize("row", WITH_VENDOR)
def test_the_distribution_of_its_vendors_module_is_required(row, project) -> None:
    assert row.distribution, f"{TABLE}: {row.name} has no distribution"
    extras = project["project"]["optional-dependencies"]
    if row.extra:
        required = extras.get(row.extra, [])
        where = f"pyproject.toml: the extra {row.extra!r}"
    else:
        required = project["project"]["dependencies"]
        where = "pyproject.toml: dependencies"
    names = {re.match(r"[\w.-]+", one)[0] for one in required}
    assert row.distribution in names, f"{where} must require {row.distribution}"
    try:
        files = metadata.files(row.distribution) or ()
    except metadata.PackageNotFoundError:
        return  # of another system, or not installed here
    tops = {file.parts[0].removesuffix(".py") for file in files}
    assert row.vendor_module in tops, f"{row.distribution} does not provide {row.vendor_module}"


def test_meters_do_not_know_each_other(project) -> None:
    listed = set(contract(project, "Meters do not import each other")["modules"])
    wanted = {re.match(r"carbon_core\.hardware\.\w+", row.module)[0] for row in meters.METERS}
    assert listed == wanted, "pyproject.toml: the contract lists the modules of the table's rows"


# --- methods --------------------------------------------------------------------------------------


def test_every_method_belongs_to_a_row() -> None:
    of_rows = {method for row in meters.METERS for method in row.methods}
    missing = {str(one) for one in set(METHODS) - of_rows - {methods.EXTRAPOLATED}}
    assert not missing, f"{TABLE}: no row has the methods {missing}"
    assert of_rows <= set(METHODS), "core/carbon_core/methods.py lacks methods of a row"


def shown(method: Method) -> str:
    """Return the first columns of a method's row in docs/uncertainty.md."""
    rounded = round(float(f"{method.sigma_ln:.3f}"), 3)
    factors = {round(method_ln, 3): text for method_ln, text in LOGARITHMS.items()}
    sigma = factors.get(rounded) or f"{method.sigma_ln:.3f}".removesuffix("0")
    edge = f", and {method.edge_s:g} s of power at a window's ends" if method.edge_s else ""
    high = interval(1.0, max(FLOOR_SIGMA_LN, method.sigma_ln)).high
    range_95 = f"± {100 * (high - 1):.0f} %" if high < 1.5 else f"within a factor of {high:.1f}"
    return f"{method.grade} | {sigma}{edge} | {range_95}"


LOGARITHMS = {methods.EXTRAPOLATED.sigma_ln: "ln 2"}


def test_the_page_about_uncertainty_has_a_row_for_every_method_with_its_figures() -> None:
    page = (ROOT / "docs" / "uncertainty.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)`[^|]*\| (.+? \| .+? \| .+?) \| .+ \|$", page, re.MULTILINE)
    in_page = Counter(f"{name} | {figures}" for name, figures in rows)
    in_code = Counter(f"{method.name} | {shown(method)}" for method in METHODS)
    assert in_page == in_code, "docs/uncertainty.md: one row for each method of methods.py"


# --- pages ----------------------------------------------------------------------------------------


def test_the_page_about_detection_lists_the_table() -> None:
    page = (ROOT / "docs" / "detect.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]*)\|", page, re.MULTILINE)
    in_table = [
        (
            row.name,
            ", ".join([*row.components, *row.also]),
            f"`[{row.extra}]`" if row.extra else "",
        )
        for row in meters.METERS
    ]
    found = [(name, parts, extra.strip()) for name, parts, extra in listed]
    assert found == in_table, "docs/detect.md: the table of meters, in the order of meters.py"


def test_the_recipes_are_short() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for title in ("Add a meter", "Add a GPU backend"):
        (body,) = re.findall(rf"^### {title}\n\n(.*?)(?=\n#|\Z)", text, re.DOTALL | re.MULTILINE)
        assert len(body.strip().splitlines()) <= 10
        for name in re.findall(r"`((?:core|tests|docs)/[\w/.]+)`", body):
            assert (ROOT / name).exists(), name
