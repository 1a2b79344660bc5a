"""What an import says where a package is missing: which one, and how to install it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from carbon_callbacks._adapters import ADAPTERS, Adapter

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
for name in sys.argv[1].split():
    sys.modules[name] = None
try:
    __import__(sys.argv[2])
except ImportError as error:
    print(error)
"""


def message(module: str, missing: str, **environ: str) -> str:
    """Return the error of an import where some packages are missing."""
    (row,) = (one for one in ADAPTERS if module == f"carbon_callbacks.{one.name}")
    if find_spec(row.package) is None:
        pytest.skip(f"{row.package} is not installed here")
    kept = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, missing, module],
        env={**kept, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("row", ADAPTERS, ids=lambda row: row.name)
def test_a_framework_that_is_missing(row: Adapter) -> None:
    said = message(f"carbon_callbacks.{row.name}", row.package)
    assert said == (
        f"carbon_callbacks.{row.name} needs the package {row.package}: "
        f"pip install 'carbon-callbacks[{row.extra}]'"
    )


@pytest.mark.parametrize("module", ["lightning", "pytorch_lightning", "transformers"])
def test_a_framework_without_torch(module: str) -> None:
    assert message(f"carbon_callbacks.{module}", "torch") == (
        f"carbon_callbacks.{module}: {module} is installed, but PyTorch is missing: pip install torch"
    )


@pytest.mark.parametrize("module", ["lightning", "pytorch_lightning"])
def test_a_framework_that_lacks_another_package(module: str) -> None:
    said = message(f"carbon_callbacks.{module}", "lightning_utilities")
    assert f"cannot import the installed {module}" in said
    assert "lightning_utilities" in said
    assert said.endswith(f"pip install --upgrade 'carbon-callbacks[{module.replace('_', '-')}]'")


def test_keras_without_its_backend_names_the_variable_and_the_installed_backends() -> None:
    others = [name for name in ("torch", "jax") if find_spec(name) is not None]
    if not others:
        pytest.skip("no other backend is installed here")
    assert message("carbon_callbacks.keras", "tensorflow") == (
        "carbon_callbacks.keras: keras is installed, but its backend tensorflow is missing. "
        f"Installed backends: {', '.join(others)}. "
        f"Set KERAS_BACKEND={others[0]} in the environment, before Keras is imported"
    )


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_keras_without_any_backend(backend: str) -> None:
    said = message("carbon_callbacks.keras", "tensorflow jax torch", KERAS_BACKEND=backend)
    assert f"its backend {backend} is missing" in said
    assert "No backend is installed: pip install tensorflow; or torch or jax, with " in said
    assert "KERAS_BACKEND=torch or KERAS_BACKEND=jax" in said


def test_keras_with_a_backend_that_does_not_exist() -> None:
    said = message("carbon_callbacks.keras", "", KERAS_BACKEND="theano")
    assert "theano" in said
    assert "Set KERAS_BACKEND=" in said or "No backend is installed" in said


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_the_command_without_its_extra(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from carbon_callbacks.cli import main; sys.argv[1:] = ['detect']; sys.exit(main())"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.endswith(f"{missing} is missing: pip install 'carbon-callbacks[cli]'\n")
    assert done.stderr.count("\n") == 1
