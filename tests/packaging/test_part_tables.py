"""The tables of parts are complete: a new row that lacks something is told which file to edit."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from core.cli.test_config_check import FAULTS
from core.intensity.test_source_contract import CASES as SOURCE_CASES
from core.outputs.test_output_contract import CASES as OUTPUT_CASES

from carbon_callbacks._adapters import ADAPTERS, Adapter
from carbon_core.config.output_table import OUTPUTS, Check
from carbon_core.config.schema import KEYS, SAVE_TO, Settings
from carbon_core.config.secret_values import Secret
from carbon_core.intensity.source_table import MARGINAL_SOURCES, SOURCES

ROOT = Path(__file__).parents[2]
SCHEMA = "core/carbon_core/config/schema.py"
SOURCE_TABLE = "core/carbon_core/intensity/source_table.py"
OUTPUT_TABLE = "core/carbon_core/config/output_table.py"
# Adapters that are more than hooks: their frameworks call none where an exception is raised.
LONG_ADAPTERS = {"keras", "transformers"}
ROWS = {**SOURCES, **MARGINAL_SOURCES}


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def rows_of(document):
    return [line for line in text_of(document).splitlines() if line.startswith("| ")]


def gaps(checks):
    """Return the message of each check that does not hold."""
    return [message for holds, message in checks if not holds]


def setting_gaps(keys, what):
    return gaps((key in KEYS, f"{SCHEMA}: add the setting {key} of {what}") for key in keys)


def secret_gaps(key, what):
    secret = key not in KEYS or KEYS[key].secret
    return gaps([(secret, f"{SCHEMA}: the setting {key} of {what} must have secret=True")])


def fault_gaps(name, needs_something):
    covered = not needs_something or name in {fault.row for fault in FAULTS}
    return gaps([(covered, f"tests/core/cli/test_config_check.py: add a fault of {name}")])


def gaps_of_source(source):
    """Return what a row of the table of sources lacks."""
    name, needs = source.name, source.needs
    documented = [row for row in rows_of("docs/intensity.md") if f"| {source.title} |" in row]
    secret_is_needed = source.secret is None or source.secret in needs
    checks = [
        (
            documented,
            f"docs/intensity.md: add a row for {name} (python tools/write_intensities.py)",
        ),
        (
            name in SOURCE_CASES,
            f"tests/core/intensity/test_source_contract.py: add a case for {name}",
        ),
        (secret_is_needed, f"{SOURCE_TABLE}: the secret of {name} must be in needs"),
        (needs or not source.automatic, f"{SOURCE_TABLE}: {name} is automatic and needs nothing"),
        (source.url.startswith("https://"), f"{SOURCE_TABLE}: {name} needs a default address"),
        (source.coverage and source.terms, f"{SOURCE_TABLE}: {name} needs coverage and terms"),
    ]
    secrets = secret_gaps(source.secret, name) if source.secret else []
    settings = setting_gaps((*needs, source.url_key), name)
    return [*gaps(checks), *settings, *secrets, *fault_gaps(name, needs)]


def gaps_of_output(spec):
    """Return what a row of the table of outputs lacks."""
    rows = [row for row in rows_of("docs/outputs.md") if row.startswith(f"| {spec.title} |")]
    row = rows[0] if rows else ""
    keys = [key for key in (spec.switch, spec.selected_by) if key]
    keys += [spec.secret.key, spec.secret.address] if spec.secret else []
    word = f"`{spec.name}` in `output_methods`"
    shown = [f"`{key}`" for key in keys] if spec.switch or spec.selected_by else [word]
    shown = [one for one in shown if spec.secret is None or one != f"`{spec.secret.address}`"]
    extra = f'\n{spec.extra} = ["'
    all_extras = re.search(r"^all = .*$", text_of("pyproject.toml"), re.MULTILINE).group()
    installs = not spec.extra or extra in text_of("pyproject.toml")
    in_all = not spec.extra or re.search(rf"[\[,]{spec.extra}[,\]]", all_extras)
    explained = not spec.extra or f"[{spec.extra}]" in text_of("docs/outputs.md")
    checks = [
        (rows, f"docs/outputs.md: add a row that begins with {spec.title!r}"),
        (spec.name in OUTPUT_CASES, f"tests/core/outputs/test_output_contract.py: add {spec.name}"),
        (installs, f"pyproject.toml: add the extra {spec.extra} of {spec.name}"),
        (in_all, f"pyproject.toml: add {spec.extra} to the extra all"),
        (explained, f"docs/outputs.md: say that {spec.name} needs the extra [{spec.extra}]"),
        (bool(spec.library) == bool(spec.extra), f"{OUTPUT_TABLE}: {spec.name}: library or extra"),
        (spec.method or spec.selected_by, f"{OUTPUT_TABLE}: nothing selects {spec.name}"),
        *((one in row, f"docs/outputs.md: the row of {spec.name} lacks {one}") for one in shown),
    ]
    secrets = secret_gaps(spec.secret.key, spec.name) if spec.secret else []
    settings = setting_gaps(keys, spec.name)
    needs = spec.secret or spec.check or spec.library
    return [*gaps(checks), *settings, *secrets, *fault_gaps(spec.name, needs)]


def section_of(place):
    """Return the section of a document that ``page.md#anchor`` names, or the whole page."""
    page, _, anchor = place.partition("#")
    if not (ROOT / "docs" / page).exists():
        return ""
    text = text_of(f"docs/{page}")
    sections = re.split(r"^## ", text, flags=re.MULTILINE) if anchor else []
    found = [one for one in sections if slug(one.partition("\n")[0]) == anchor]
    return "".join(found) if anchor else text


def slug(heading):
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def gaps_of_adapter(row):
    """Return what a row of the table of adapters lacks."""
    name, project = row.name, text_of("pyproject.toml")
    module = ROOT / "carbon_callbacks" / f"{name}.py"
    lines = len(module.read_text("utf-8").splitlines()) if module.exists() else 0
    imported = f"carbon_callbacks.{name}"
    page = row.page.partition("#")[0]
    return gaps(
        [
            (lines, f"carbon_callbacks/{name}.py: write the adapter"),
            (lines <= 120 or name in LONG_ADAPTERS, f"{module.name}: more than 120 lines"),
            (f"\n{row.extra} = [" in project, f"pyproject.toml: add the extra {row.extra}"),
            (f'"{row.package}.*"' in project, f'pyproject.toml: add "{row.package}.*" for mypy'),
            (f'"{imported}",' in project, f"pyproject.toml: {imported}: imports no other adapter"),
            ((ROOT / "tests/adapters" / row.tests).exists(), f"tests/adapters/{row.tests}: write"),
            (imported in section_of(row.page), f"docs/{row.page}: show {imported}"),
            (f"`[{row.extra}]`" in text_of("docs/install.md"), f"docs/install.md: {row.extra}"),
            (f": {page}\n" in text_of("mkdocs.yml"), f"mkdocs.yml: add {page} to the navigation"),
            (f"::: {imported}." in text_of("docs/api.md"), f"docs/api.md: add the class of {name}"),
            ((ROOT / "examples" / row.example).exists(), f"examples/{row.example}: write it"),
        ]
    )


@pytest.mark.parametrize("row", ADAPTERS, ids=lambda row: row.name)
def test_an_adapter_lacks_nothing(row):
    assert gaps_of_adapter(row) == []


def test_every_row_has_its_own_sessions_of_nox():
    sessions = [name for row in ADAPTERS for name in row.sessions]
    assert len(set(sessions)) == len(sessions)
    keras = {name: row.sessions[name] for row in ADAPTERS for name in row.sessions if "-" in name}
    assert keras["keras-jax"] == ("keras", "jax")
    assert keras["keras-torch"] == ("keras",)


def test_a_new_adapter_is_told_what_it_lacks():
    toy = Adapter("toy", "toys", "toy", (), "test_toy.py", "loops.md#toy", "toy_digits.py")
    files = {text.partition(":")[0] for text in gaps_of_adapter(toy)}
    assert files == {
        "carbon_callbacks/toy.py",
        "pyproject.toml",
        "tests/adapters/test_toy.py",
        "docs/loops.md#toy",
        "docs/install.md",
        "docs/api.md",
        "examples/toy_digits.py",
    }


@pytest.mark.parametrize("name", ROWS)
def test_a_source_lacks_nothing(name):
    assert gaps_of_source(ROWS[name]) == []


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_lacks_nothing(name):
    assert gaps_of_output(OUTPUTS[name]) == []


@pytest.mark.parametrize("table", [SOURCES, MARGINAL_SOURCES, OUTPUTS], ids=["a", "m", "o"])
def test_a_row_stands_under_its_own_name(table):
    assert list(table) == [row.name for row in table.values()]


def test_what_is_documented_of_a_live_source_is_its_row():
    for source in ROWS.values():
        (row,) = [row for row in rows_of("docs/intensity.md") if f"| {source.title} |" in row]
        parts = (source.coverage, source.url, source.url_key, source.terms, *source.needs)
        assert all(part in row for part in parts)


def test_no_contract_case_is_left_of_a_row_that_is_gone():
    assert SOURCE_CASES.keys() == ROWS.keys()
    assert OUTPUT_CASES.keys() == OUTPUTS.keys()
    assert {fault.row for fault in FAULTS} <= {*ROWS, *OUTPUTS}


def test_every_save_to_setting_selects_a_row():
    assert {key for key in KEYS if key.startswith("save_to_")} == SAVE_TO.keys()
    assert all(not field.default for field in fields(Settings) if field.name in [*SAVE_TO][1:])


def test_a_new_source_is_told_what_it_lacks():
    toy = replace(
        SOURCES["electricitymaps"],
        name="toy",
        title="Toy",
        url_key="toy_url",
        needs=("toy_token",),
        secret="toy_key",
        terms="",
    )
    files = {text.partition(":")[0] for text in gaps_of_source(toy)}
    assert files == {
        "docs/intensity.md",
        SOURCE_TABLE,
        SCHEMA,
        "tests/core/intensity/test_source_contract.py",
        "tests/core/cli/test_config_check.py",
    }


def test_a_new_output_is_told_what_it_lacks():
    toy = replace(
        OUTPUTS["logfire"],
        name="toy",
        title="Toy",
        switch="save_to_toy",
        secret=Secret("toy_key", "toy_url"),
        check=Check(lambda settings: "", "toy_key", ()),
        extra="toy",
    )
    files = {text.partition(":")[0] for text in gaps_of_output(toy)}
    assert files == {
        "docs/outputs.md",
        "pyproject.toml",
        SCHEMA,
        "tests/core/outputs/test_output_contract.py",
        "tests/core/cli/test_config_check.py",
    }


@pytest.mark.parametrize("title", ["Add an intensity source", "Add an output"])
def test_a_recipe_is_short_and_names_files_that_exist(title):
    recipe = re.search(
        rf"### {title}\n\n(.*?)(?=\n###? |\Z)", text_of("CONTRIBUTING.md"), re.DOTALL
    )
    lines = [line for line in recipe.group(1).splitlines() if line]
    assert len(lines) <= 10
    names = re.findall(r"`(?:python |pytest )?((?:core|tests|tools|docs)/[^`]*)`", recipe.group(1))
    assert len(names) >= 4
    assert all((ROOT / name).exists() for name in names), names
