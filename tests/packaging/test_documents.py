"""The documents are true: their code runs, their outputs and tables are generated, their files exist."""

import os
import re
import subprocess
import sys

import pytest
import write_messages
import write_metrics
from compat import differences
from documents import (
    DOCUMENTS,
    ROOT,
    Session,
    blocks_of,
    check,
    missing_framework,
    outputs,
    runnable,
    session_for,
    unfigured,
)

from carbon_callbacks.testing import AdapterContract
from carbon_callbacks.training import METRICS, Metric


def text_of(document):
    return document.read_text(encoding="utf-8")


WITH_CODE = [document for document in DOCUMENTS if "```" in text_of(document)]
# Run by test_walks.
WALKED = (
    "CONTRIBUTING", "comparing", "install", "lightning", "maintaining", "migrating-from-codecarbon",
    "notebooks", "page", "reading", "slurm",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "document", [one for one in WITH_CODE if one.stem not in WALKED], ids=lambda path: path.stem
)
def test_the_code_of_a_page_runs_from_top_to_bottom_and_prints_what_is_shown(document, tmp_path):
    if missing := missing_framework(runnable(document)):
        pytest.skip(f"{missing} is not installed here")
    check(document, session_for(document, tmp_path))


def test_the_pages_of_the_walks_are_run_by_them():
    walks = text_of(ROOT / "tests" / "packaging" / "test_walks.py")
    assert set(re.findall(r'walk\(tmp_path, "([^"]+)"\)', walks)) == set(WALKED)


@pytest.mark.parametrize("document", WITH_CODE, ids=lambda path: path.stem)
def test_what_is_not_run_has_a_reason_and_a_language(document):
    for block in blocks_of(text_of(document)):
        assert block.language, f"line {block.line}"
    notes = re.findall(r"<!-- (?:not run|shown|output of)(.*?)-->\n+(```)?", text_of(document))
    assert all(reason.startswith(": ") and fence for reason, fence in notes), notes


def test_an_output_is_compared_without_its_figures():
    shown = "┏━━━┓\n┃ kWh ┃\n│ 3.1e-05 │\nended after 3.1 s: 38.4 µWh (95 %: 1 to 2 g; 2026-11-28 10:00)"
    other = (
        "┏━━┓\n┃ kWh   ┃\n│ 12 │\nended after 980 ms: 1.2 Wh (95 %: 0.5 to 7 g; 2026-12-01 09:30)"
    )
    assert unfigured(shown) == unfigured(other) != unfigured(other.replace("ended", "over"))
    shown = "10.2 s, 97 % estimated from load (CPU), 3 % measured by counters (GPU, RAM); world"
    other = (
        "1 min 5 s, 60 % measured by counters, 38 % estimated from load, 2 % extrapolated; world"
    )
    assert unfigured(shown) == unfigured(other) != unfigured(other.replace("world", "France"))
    assert unfigured(shown) == unfigured(f"{other}; whole node estimated: 33.8 µWh")


def test_the_form_of_a_number_is_not_compared():
    shown = "('Poland', 9.798885128160282e-05, 3.07e-05)\n('France', 1, 2.5)"
    other = "('Poland', 0.00010946341602004039, 2.1e-05)\n('France', 12, 0.1)"
    assert unfigured(shown) == unfigured(other) != unfigured(other.replace("Poland", "Spain"))


def test_what_a_few_runs_show_is_not_compared():
    shown = (
        "energy: 81 mWh (n = 3) -> 109 mWh (n = 3): ratio 1.33 (95 %: 0.9 to 2); no clear change"
    )
    other = "energy: 9 mWh (n = 3) -> 12 mWh (n = 3): ratio 1.52 (95 %: 1.4 to 1.6), +52.5 %"
    few = "energy: 9 mWh (n = 3) -> 12 mWh (n = 3): ratio 1.52; too few runs for an interval"
    assert unfigured(shown) == unfigured(other) == unfigured(few)
    assert unfigured(shown) != unfigured(other.replace("energy", "emissions"))


def test_where_a_cell_of_a_table_is_broken_into_lines_is_not_compared():
    shown = "│ total │ 163 mWh (100 to 268) │ 6.77 mg (1.6 to │\n│       │              │ 29.6) │\n"
    other = "│ total │ 36.5 mWh (22.5 to │ 1.51 mg (0.35 to │\n│       │ 59.2)      │ 6.60) │\n"
    assert unfigured(shown) == unfigured(other) != unfigured(other.replace("total", "sum"))
    assert unfigured(shown) != unfigured(other.replace("1.51 mg (0.35 to │", "1.51 mg (0.35 by │"))


def test_a_block_that_fails_and_an_output_that_differs_are_found(tmp_path):
    page = "```bash\nfalse\n```\n"
    with pytest.raises(AssertionError, match="exit status 1"):
        list(outputs(page, Session(tmp_path / "a")))
    page = (
        '```python title="a.py"\nprint(6 * 7)\n```\n```bash\npython a.py\n```\n\n```text\n41\n```\n'
    )
    ((block, printed),) = outputs(page, Session(tmp_path / "b"))
    assert (block.text, printed, block.line) == ("41\n", "42\n", 8)


@pytest.mark.slow
def test_a_framework_of_one_s_own_passes_the_test_kit_with_the_40_lines_shown(tmp_path):
    session = Session(tmp_path)
    files = {
        b.title: b for b in blocks_of(text_of(ROOT / "docs" / "your-own-framework.md")) if b.title
    }
    assert len(files["emissions.py"].text.splitlines()) <= 40
    for block in files.values():
        session.run(block)
    arguments = ("-m", "pytest", "-p", "no:cacheprovider", "--basetemp", tmp_path / "temp")
    done = subprocess.run(
        [sys.executable, *arguments, "test_emissions.py"],
        cwd=session.directory,
        env={**session.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    contract = [name for name in dir(AdapterContract) if name.startswith("test_")]
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    assert passed >= len(contract) > 35
    assert "skipped" not in done.stdout


def test_a_metric_without_its_row_in_the_table_is_found():
    toy = Metric("toy_j", "J", "A toy.", lambda rank: 1.0)
    assert "| `toy_j` | J | A toy. | all | sum |" in write_metrics.tables([*METRICS, toy])
    assert write_metrics.page([*METRICS, toy]) != text_of(write_metrics.PAGE)
    assert {one.topic for one in METRICS} <= set(write_metrics.TOPICS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8"))
    for link in links:
        if not link.startswith(("http", "mailto")):
            assert (document.parent / link).exists(), link


@pytest.mark.parametrize(
    "name",
    [
        "write_settings.py",
        "write_disclosure.py",
        "write_intensities.py",
        "write_schemas.py",
        "write_messages.py",
        "write_metrics.py",
        "write_dashboards.py",
        "write_works_in.py",
        "write_fleet.py",
    ],
)
def test_a_generated_page_is_the_one_that_its_tool_writes(name):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    tool = ROOT / "tools" / name
    done = subprocess.run([sys.executable, tool, "--check"], env=environment, timeout=60)
    assert done.returncode == 0, f"run `python tools/{name}`"


def all_messages():
    return [text for texts in write_messages.all_messages().values() for text in texts]


def test_messages_are_collected_from_calls_exceptions_and_results():
    source = '''
"""A docstring of several words."""
_PATTERN = re.compile(r"(?P<one>two three) four")

def f(self, name: "a type of words") -> str:
    self._messages.warn(f"{name}: the meter did not respond")
    raise MeterError("no such meter here") if name else None
    return "a reason " "of two literals"
'''
    assert set(write_messages.messages_of(source)) == {
        "…: the meter did not respond",
        "no such meter here",
        "a reason of two literals",
    }


def test_errors_of_disclosures_and_of_damaged_files_are_among_the_messages():
    errors = {"no format …; known are …", "is not valid JSON: …", "--set …: must be key=value"}
    assert errors <= set(all_messages())


def test_the_page_of_messages_explains_messages_that_exist():
    rows = re.findall(r"^\| `([^`]+)`", text_of(write_messages.PAGE), re.MULTILINE)
    assert len(rows) > 40
    messages = all_messages()
    for row in rows:
        pattern = ".*".join(map(re.escape, re.split("…+", row)))
        assert any(re.search(pattern, text) for text in messages), row


def test_the_table_of_differences_is_the_one_that_the_comparison_uses():
    text = (ROOT / "docs" / "migrating-from-codecarbon.md").read_text(encoding="utf-8")
    shown = re.search("<!-- differences -->\n(.*?)<!-- /differences -->", text, re.DOTALL)
    assert shown.group(1) == differences.table()


def test_the_architecture_fits_on_two_screens_and_names_files_that_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    for name in re.findall(r"`((?:hardware|outputs|tracker|config|intensity|assemble)/\w*)", text):
        path = ROOT / "core" / "carbon_core" / name
        assert path.exists() or path.with_suffix(".py").exists(), name


def test_the_readme_is_short_and_shows_the_two_commands():
    text = text_of(ROOT / "README.md")
    assert len(text.splitlines()) <= 120
    assert "pip install nox && nox -s demo" in text
    assert "nox -s tests" in text


# Those that install the command, too.
WITH_COMMAND = {"cli", "report", "fleet", "all"}


@pytest.mark.parametrize("name", ["README.md", "docs/install.md", "docs/notebooks.md", "docs/slurm.md",
                                  "docs/migrating-from-codecarbon.md", "docs/fleet.md"])  # fmt: skip
def test_a_page_installs_the_command_before_it_uses_it(name):
    bash = "".join(b.text for b in blocks_of(text_of(ROOT / name)) if b.language == "bash")
    before, found, _ = f"\n{bash}".partition("\ncarbon-callbacks ")
    assert found
    extras = re.findall(r"^pip install '[^'\[]*\[([\w,-]+)\]'", before, re.MULTILINE)
    assert WITH_COMMAND & {extra for names in extras for extra in names.split(",")}


def test_the_readme_starts_each_framework_with_a_whole_program():
    programs = [b.text for b in blocks_of(text_of(ROOT / "README.md")) if b.language == "python"]
    started = [re.findall(r"from carbon_callbacks\.(\w+) import", one) for one in programs]
    assert {"lightning", "transformers", "keras"} <= {name for names in started for name in names}
