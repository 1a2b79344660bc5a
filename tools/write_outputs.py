"""Runs the commands of the documents, and writes what they print into the blocks of text after them.

    PYTHONPATH=core:.:tests python tools/write_outputs.py             # every document
    PYTHONPATH=core:.:tests python tools/write_outputs.py slurm loops # docs/slurm.md and docs/loops.md

A document keeps its text where only figures would change; ``--all`` writes these, too. Needs the
frameworks.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from documents import DOCUMENTS, as_run, session_for, unfigured


def main() -> None:
    """Write the documents."""
    names = [one for one in sys.argv[1:] if one != "--all"]
    for document in DOCUMENTS:
        if names and document.stem not in names:
            continue
        text = document.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as directory:
            written = as_run(text, session_for(document, Path(directory)))
        if unfigured(written) != unfigured(text) or (written != text and "--all" in sys.argv):
            document.write_text(written, encoding="utf-8")
            print(f"{document.name}: written")


if __name__ == "__main__":
    main()
