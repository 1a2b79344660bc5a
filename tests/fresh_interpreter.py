"""Runs code in an interpreter of its own, and returns which modules it has loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

_PRINT = """
import sys
found = sorted(sys.modules)
import json
print("\\n" + json.dumps(found))
"""


def loaded(code: str, directory: Path | None = None) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after running some code."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"{code}\n{_PRINT}"],
        check=True,
        env=environ,
        cwd=directory,
        stdout=subprocess.PIPE,
        text=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))
