"""Hooks of PyInstaller, which finds them by the entry point ``pyinstaller40``.

The modules of the core are imported when they are needed, by names in tables, and read tables of data:
both cannot be seen in a program's imports.
"""

from __future__ import annotations

from pathlib import Path


def hook_directories() -> list[str]:
    """Return the directory of the hooks."""
    return [str(Path(__file__).parent)]
