"""The documents are true: their code runs, their tables are generated, their files exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from compat import differences

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md"))


def code_blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


FRAMEWORK_FREE = [
    pytest.param(block, id=f"{document.name}-{i}")
    for document in DOCUMENTS
    for i, block in enumerate(code_blocks(document, "python"))
    if "import EmissionsCallback" not in block
]


@pytest.mark.parametrize("block", FRAMEWORK_FREE)
def test_code_without_a_framework_runs_as_shown(block, tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "emissions.csv").exists()


def test_there_is_code_without_a_framework_to_run():
    assert FRAMEWORK_FREE


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
