"""What is installed: few dependencies, typed, with its tables and its command, and nothing else."""

import re
import subprocess
import sys
from importlib import metadata, resources
from importlib.util import find_spec

import pytest

from carbon_callbacks._adapters import ADAPTERS
from carbon_core.version import VERSION


@pytest.fixture(scope="module")
def distribution():
    try:
        return metadata.distribution("carbon-callbacks")
    except metadata.PackageNotFoundError:
        pytest.skip("the package is not installed here")


def test_the_required_dependencies_are_these_four(distribution):
    required = [r for r in distribution.requires if "extra ==" not in r]
    names = {re.match(r"[A-Za-z0-9-]+", r)[0].lower() for r in required}
    assert names == {"psutil", "nvidia-ml-py", "requests", "filelock"}


def test_the_extras_are_these(distribution):
    extras = set(distribution.metadata.get_all("Provides-Extra"))
    frameworks = {row.extra for row in ADAPTERS}
    assert extras == {
        *frameworks,
        "amd",
        "apple",
        "cli",
        "report",
        "prometheus",
        "otel",
        "fleet",
        "all",
    }


def test_the_version_is_that_of_the_code(distribution):
    assert distribution.version == VERSION


@pytest.mark.parametrize("package", ["carbon_core", "carbon_callbacks"])
def test_both_packages_are_typed(package):
    assert resources.files(package).joinpath("py.typed").is_file()


def test_the_tables_and_their_sources_are_shipped():
    data = resources.files("carbon_core.data")
    for name in (
        "grid_country.csv",
        "cpu_tdp.csv",
        "gpu_tdp.csv",
        "embodied_gpu.csv",
        "odbl/em_zone_yearly.csv",
        "odbl/NOTICE.md",
        "SOURCES.md",
    ):
        assert data.joinpath(name).is_file()


def test_the_command_is_installed_and_runs(distribution):
    entry = next(iter(distribution.entry_points.select(name="carbon-callbacks")))
    assert entry.value == "carbon_callbacks.cli:main"
    if find_spec("typer") is None:
        pytest.skip("the extra cli is not installed here")
    code = "import sys; from carbon_callbacks.cli import main; sys.argv[1:] = ['--help']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "detect" in done.stdout


def test_no_file_lands_outside_the_two_packages(distribution):
    tops = {file.parts[0] for file in distribution.files or () if ".." not in file.parts}
    extra = {t for t in tops if not t.startswith(("carbon_c", "_editable", "_carbon", "__"))}
    assert not extra


def test_the_description_has_only_links_that_work_on_an_index(distribution):
    text = distribution.metadata.get_payload() or distribution.metadata["Description"]
    if "60-second start" not in text:
        pytest.skip("the package was installed before its description changed")
    assert re.findall(r"\]\((?!https://|#)[^)]*\)|src=\"(?!https://)[^\"]*", text) == []


def test_links_begin_with_the_address_of_the_repository_or_are_words():
    pytest.importorskip("hatchling")
    description = pytest.importorskip("hatch_build")
    text = '<img alt="A" src="docs/a.png">\n\n[b](docs/b.md#c), [d](https://d.example/)'
    made = description.with_absolute_links(text, "https://forge.example/me/it/")
    assert made == (
        '<img alt="A" src="https://forge.example/me/it/raw/main/docs/a.png">\n\n'
        "[b](https://forge.example/me/it/blob/main/docs/b.md#c), [d](https://d.example/)"
    )
    assert description.with_absolute_links(text, None) == "b, [d](https://d.example/)"
