"""CITATION.cff, the pre-commit hooks and the forge's workflow agree with the project."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from carbon_core.disclosure.paper import bibtex
from carbon_core.version import VERSION

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def load(path: Path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def constant(name: str):
    """Return a constant of the noxfile."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )
    return ast.literal_eval(value)


def assert_nox_has(sessions: list[str]) -> None:
    assert sessions
    command = [sys.executable, "-m", "nox", "-f", ROOT / "noxfile.py", "--list", "-s", *sessions]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def sessions_of_ci_run() -> list[str]:
    """Return the sessions that `.ci/run` calls, in its order."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    calls = [
        shlex.split(re.split(" (?:>|\\|)", line)[0]) for line in lines if line.startswith("nox ")
    ]
    return [session for call in calls for session in call[call.index("-s") + 1 :]]


@pytest.mark.parametrize(
    ("schema", "path"),
    [("citation-file-format", ROOT / "CITATION.cff"), ("github-workflows", WORKFLOW)],
    ids=["citation", "workflow"],
)
def test_files_follow_their_published_schema(schema, path):
    arguments = ["--builtin-schema", f"vendor.{schema}", str(path)]
    done = CliRunner().invoke(check_jsonschema, arguments)
    assert done.exit_code == 0, done.output


def test_the_citation_names_this_version_and_licence():
    citation, project = load(ROOT / "CITATION.cff"), pyproject()["project"]
    assert citation["version"] == VERSION
    for key, same in (("title", "name"), ("license", "license"), ("keywords", "keywords")):
        assert citation[key] == project[same]


def test_a_disclosure_for_a_paper_has_the_same_citation():
    citation, bib = load(ROOT / "CITATION.cff"), bibtex()
    (author,) = citation["authors"]
    for key in ("title", "version", "license"):
        assert f"  {key} = {{{citation[key]}}},\n" in bib
    assert f"  author = {{{{{author['name']}}}}},\n" in bib
    assert bib in (ROOT / "docs" / "citing.md").read_text(encoding="utf-8")


def test_pre_commit_runs_what_the_lint_session_runs():
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # nothing is downloaded but the linter
    assert [hook["entry"] for hook in repository["hooks"]] == constant("LINT")
    for hook in repository["hooks"]:
        assert hook["additional_dependencies"] == pyproject()["dependency-groups"]["lint"]
        assert hook["always_run"]
        assert not hook["pass_filenames"]


def test_the_workflow_runs_the_sessions_of_ci_run():
    linux = load(WORKFLOW)["jobs"]["linux"]
    assert linux["strategy"]["matrix"]["session"] == sessions_of_ci_run()
    assert_nox_has(sessions_of_ci_run())
    assert linux["steps"][-1]["run"] == 'nox -s "$SESSION"'


def test_other_systems_run_existing_sessions_and_fail_nothing():
    job = load(WORKFLOW)["jobs"]["other-systems"]
    assert job["continue-on-error"] is True
    calls = [step["run"] for step in job["steps"] if step.get("run", "").startswith("nox ")]
    assert_nox_has([call.removeprefix("nox -s ") for call in calls])


def test_the_workflow_has_every_supported_python():
    (setup,) = (
        step["with"]["python-version"].split()
        for step in load(WORKFLOW)["jobs"]["linux"]["steps"]
        if "setup-python" in step.get("uses", "")
    )
    classifiers = pyproject()["project"]["classifiers"]
    supported = [m[1] for c in classifiers if (m := re.search(r"Python :: (3\.\d+)", c))]
    assert sorted(setup) == supported == constant("PYTHONS")
