"""Files of the repository that a tool writes from the code, whole or between two marks."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path


def between(marks: tuple[str, str], text: str, page: Path) -> str:
    """Return a page with a text between its marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(marks[0])
    _, _, after = rest.partition(marks[1])
    return f"{before}{marks[0]}{text}{marks[1]}{after}"


def write_or_check(pages: Mapping[Path, str]) -> int:
    """Write the files that differ; with ``--check``, return 1 if there are any, and write none."""
    stale = {
        path: text
        for path, text in pages.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    if "--check" in sys.argv[1:]:
        return int(bool(stale))
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
    return 0
