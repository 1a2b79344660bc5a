"""Five walks through the documentation: what a new user does, with the commands and code of the pages.

Each page is run in an empty directory of its own. What it prints is compared with what it shows, and
what the user wants is checked in the files that are left.
"""

import csv
import json
import re

import pytest
from documents import (
    DOCUMENTS,
    ROOT,
    Block,
    Session,
    blocks_of,
    check,
    missing_framework,
    session_for,
)

pytestmark = pytest.mark.slow
PAGES = {document.stem: document for document in DOCUMENTS}


def walk(directory, name):
    """Run a page and return its session."""
    document = PAGES[name]
    if missing := missing_framework(document.read_text(encoding="utf-8")):
        pytest.skip(f"{missing} is not installed here")
    session = session_for(document, directory / name)
    check(document, session)
    return session


def rows(session, path="emissions.csv"):
    with open(session.directory / path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run(session, command):
    return session.run(Block("bash", command, "", "", "", 0, 0))


def test_a_researcher_finds_the_energy_in_the_logger_reads_it_and_compares(tmp_path):
    session = walk(tmp_path, "lightning")
    (run_row, *others) = rows(session)
    assert (run_row["project_name"], run_row["country_iso_code"]) == ("boring", "FRA")
    assert float(run_row["energy_consumed"]) > 0
    assert others  # the budget's training, and the one without a code change
    logged = rows(session, "lightning_logs/version_0/metrics.csv")
    curve = [float(line["carbon/energy_kwh"]) for line in logged if line["carbon/energy_kwh"]]
    assert len(curve) >= 3
    assert curve == sorted(curve)
    assert curve[-1] <= float(run_row["energy_consumed"]) * 1.0001
    reading = walk(tmp_path, "reading")
    assert [row["country_iso_code"] for row in rows(reading)] == ["", "FRA"]
    compared = walk(tmp_path, "comparing")
    assert len(rows(compared, "new/emissions.csv")) == 4
    page = (walk(tmp_path, "page").directory / "report.html").read_text(encoding="utf-8")
    assert "digits" in page
    assert "http-equiv" in page


def test_a_slurm_engineer_measures_jobs_and_arrays_without_a_change_to_their_code(tmp_path):
    walk(tmp_path, "install")
    session = walk(tmp_path, "slurm")
    log = (session.directory / "logs" / "4242.out").read_text(encoding="utf-8")
    assert "trained" in log
    assert "carbon-callbacks: completed" in log
    jobs = rows(session, "results/emissions.csv")
    assert [row["project_name"] for row in jobs] == ["digits", "search", "search", "search"]
    assert [row["experiment_id"] for row in jobs[1:]] == ["0", "1", "2"]
    merged = json.loads(run(session, "carbon-callbacks merge ranks --json"))
    (training,) = merged
    assert [part["rank"] for part in training["parts"]] == [0]
    assert training["energy_low_kwh"] < training["energy_kwh"] < training["energy_high_kwh"]


def test_a_user_of_codecarbon_changes_the_import_and_can_change_it_back(tmp_path):
    session = walk(tmp_path, "migrating-from-codecarbon")
    (session.directory / "after.py").unlink()
    before = rows(session)
    assert len(before[0]) == 38
    assert {"mine", "codecarbon"} >= {row["project_name"] for row in before}
    text = PAGES["migrating-from-codecarbon"].read_text(encoding="utf-8")
    (change,) = (block for block in blocks_of(text) if block.text.startswith("sed "))
    session.run(change)
    assert rows(session)[: len(before)] == before
    assert len(rows(session)) == len(before) + 1
    old = (session.directory / "before.py").read_text(encoding="utf-8")
    new = (session.directory / "after.py").read_text(encoding="utf-8")
    assert old == new.replace("from carbon_callbacks import", "from codecarbon import")


def test_a_user_of_a_notebook_sees_a_table_below_the_cell(tmp_path, monkeypatch):
    session = walk(tmp_path, "notebooks")
    assert [row["project_name"] for row in rows(session)] == ["notebook", "notebook"]
    client = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    text = PAGES["notebooks"].read_text(encoding="utf-8")
    cells = [block.text for block in blocks_of(text) if block.language == "python"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    for name, value in session.environ.items():
        monkeypatch.setenv(name, value)
    where = {"metadata": {"path": session.directory}}
    done = client.NotebookClient(book, timeout=120, resources=where).execute()
    shown = [output["data"] for output in done.cells[0]["outputs"] if "data" in output]
    (html,) = (data["text/html"] for data in shown if "text/html" in data)
    assert "<table" in html
    assert re.search(r"95\s*%", html)
    assert len(rows(session)) == 4  # those of the page, and those of the kernel


def test_a_maintainer_finds_every_command_of_a_change_a_release_and_a_refresh(tmp_path):
    walk(tmp_path, "CONTRIBUTING")
    session = walk(tmp_path, "maintaining")
    version = (ROOT / "core" / "carbon_core" / "version.py").read_text(encoding="utf-8")
    (number,) = re.findall(r'VERSION = "([^"]+)"', version)
    for page in ("CITATION.cff", "docs/citing.md"):  # as step 1 of a release names them
        assert number in (ROOT / page).read_text(encoding="utf-8")
    written = run(session, "python tools/write_messages.py --check && echo current")
    assert written == "current\n"
    assert isinstance(session, Session)
