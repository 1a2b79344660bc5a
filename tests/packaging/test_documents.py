"""The documents are true: their code runs, their tables are generated, their files exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from compat import differences

from carbon_callbacks.testing import AdapterContract
from carbon_callbacks.training import METRICS, Metric

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md"))


def code_blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


# Code that is shown as a file, for the other files of its page.
FILE_NAME = re.compile(r"# (\w+\.py)\n")
ALL_CODE = [
    pytest.param(block, id=f"{document.name}-{i}")
    for document in DOCUMENTS
    for i, block in enumerate(code_blocks(document, "python"))
    if "import EmissionsCallback" not in block and not FILE_NAME.match(block)
]
TEST_SUITES = [code for code in ALL_CODE if "import pytest" in code.values[0]]
FRAMEWORK_FREE = [code for code in ALL_CODE if code not in TEST_SUITES]


def run_python(directory, *arguments, timeout_s=60):
    environment = {**os.environ, "HOME": str(directory), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("block", FRAMEWORK_FREE)
def test_code_without_a_framework_runs_as_shown(block, tmp_path):
    run_python(tmp_path, "-c", block)
    assert (tmp_path / "emissions.csv").exists()


@pytest.mark.slow
@pytest.mark.parametrize("block", TEST_SUITES)
def test_a_test_suite_passes_as_shown_and_leaves_no_results_where_it_ran(block, tmp_path):
    (tmp_path / "test_shown.py").write_text(block, encoding="utf-8")
    arguments = ("-m", "pytest", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "temp"))
    said = run_python(tmp_path, *arguments, "test_shown.py")
    assert f"{block.count('def test_')} passed" in said
    assert not {"emissions.csv", "carbon_runs"} & set(os.listdir(tmp_path))


@pytest.mark.slow
def test_a_framework_of_one_s_own_passes_the_test_kit_with_the_40_lines_shown(tmp_path):
    blocks = code_blocks(ROOT / "docs" / "your-own-framework.md", "python")
    files = {m[1]: block for block in blocks if (m := FILE_NAME.match(block))}
    assert len(files["emissions.py"].splitlines()) <= 40
    for name, block in files.items():
        (tmp_path / name).write_text(block, encoding="utf-8")
    arguments = ("-m", "pytest", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "temp"))
    said = run_python(tmp_path, *arguments, "test_emissions.py", timeout_s=600)
    contract = [name for name in dir(AdapterContract) if name.startswith("test_")]
    passed = int(re.search(r"(\d+) passed", said)[1])
    assert passed >= len(contract) > 35
    assert "skipped" not in said


def undocumented(metrics):
    """Return what is missing in the table of metrics, as messages."""
    page = "docs/callbacks.md"
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = [f"| `{one.name}` | {one.unit} | {one.help} | {one.level} |" for one in metrics]
    return [f"{page} lacks the row {row}" for row in rows if row not in text]


def test_the_table_of_metrics_is_that_of_the_code():
    assert undocumented(METRICS) == []


def test_a_metric_without_its_row_in_the_table_is_found():
    (message,) = undocumented([*METRICS, Metric("toy_j", "J", "A toy.", lambda rank: 1.0)])
    assert message == "docs/callbacks.md lacks the row | `toy_j` | J | A toy. | all |"


def test_there_is_code_without_a_framework_to_run():
    assert FRAMEWORK_FREE
    assert TEST_SUITES


def test_every_import_of_a_callback_in_the_readme_names_a_module_that_is_there():
    modules = re.findall(
        r"from (carbon_callbacks\.\w+) import EmissionsCallback",
        (ROOT / "README.md").read_text(encoding="utf-8"),
    )
    assert len(set(modules)) == 3
    for module in modules:
        assert (ROOT / (module.replace(".", "/") + ".py")).exists()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8"))
    for link in links:
        if not link.startswith(("http", "mailto")):
            assert (document.parent / link).exists(), link


@pytest.mark.parametrize("name", ["write_settings.py", "write_intensities.py", "write_schemas.py"])
def test_a_generated_page_is_the_one_that_its_tool_writes(name):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    tool = ROOT / "tools" / name
    done = subprocess.run([sys.executable, tool, "--check"], env=environment, timeout=60)
    assert done.returncode == 0, f"run `python tools/{name}`"


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


def test_the_readme_shows_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install nox && nox -s demo" in text
    assert "nox -s tests" in text
