"""Compiles documents with the LaTeX of the machine; without one, the test is skipped."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

_OPTIONS = ("-no-shell-escape", "-halt-on-error", "-interaction=batchmode", "main")
PDFTEX = "pdflatex"


def compile_body(
    directory: Path, body: str, encoding: str = "", *programs: str, engine: str = PDFTEX
) -> None:
    """Compile a document; the test fails where LaTeX reports an error or prints a wrong character.

    Args:
        directory: An empty directory.
        body: The document, without its preamble.
        encoding: What selects the encoding of the text, or an empty string.
        programs: Further programs, such as ``bibtex``, which run after the first time.
        engine: The program that compiles.
    """
    lacking = [name for name in (engine, *programs) if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"{', '.join(lacking)} not installed (Debian: texlive-latex-base)")
    lines = (r"\documentclass{article}", encoding, r"\begin{document}", body, r"\end{document}")
    (directory / "main.tex").write_text("\n".join(lines), encoding="utf-8")
    latex = (engine, *_OPTIONS)
    further = [command for name in programs for command in ((name, "main"), latex, latex)]
    for command in (latex, *further):
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        log = (directory / "main.log").read_text(encoding="utf-8", errors="replace")
        assert done.returncode == 0, done.stdout + log[-3000:]
    assert not re.search("(?:Citation|Reference).*undefined", log)
    assert "Missing character" not in log
    assert (directory / "main.pdf").stat().st_size > 0


def compile_paper(directory: Path, documents: Mapping[str, str], encoding: str = "") -> None:
    """Compile the documents of the format ``paper`` as a paper that includes them."""
    directory.mkdir(exist_ok=True)
    for suffix in ("tex", "bib"):
        (directory / f"carbon.{suffix}").write_text(documents[suffix], encoding="utf-8")
    body = "\\input{carbon}\n\\bibliographystyle{plain}\n\\bibliography{carbon}"
    compile_body(directory, body, encoding, "bibtex")
    assert "carbon-callbacks" in (directory / "main.bbl").read_text("utf-8")
