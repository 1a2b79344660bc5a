"""Loaded by Python at its start in programs that ``carbon-callbacks estimate`` runs.

The directory is first in `PYTHONPATH` then. A module of this name that it hides is loaded as well.
"""

import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def _load() -> None:
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != _HERE]
    sys.modules.pop("sitecustomize", None)
    try:
        from carbon_callbacks import _program_dry_run
    except ImportError:  # another Python, without this package
        pass
    else:
        _program_dry_run.install()
    with suppress(ImportError):
        import_module("sitecustomize")  # the one that this module hides


_load()
