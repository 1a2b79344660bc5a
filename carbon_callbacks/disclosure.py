"""Disclosure of a project's energy and emissions in standard formats, for programs.

    from carbon_callbacks.disclosure import Facts, collect, documents

    runs = collect(["results"], project="digits")
    texts = documents("gpai", runs, Facts({"model_name": "digits-1"}))

The command ``carbon-callbacks disclose`` does the same. Importing this module loads no framework.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from carbon_core import (
    Activity,
    Disclosed,
    Facts,
    MissingFactsError,
    collect_runs,
    disclosure_documents,
)

__all__ = ["Activity", "Disclosed", "Facts", "MissingFactsError", "collect", "documents"]


def collect(paths: Iterable[str | PathLike[str]], project: str = "", study: str = "") -> Disclosed:
    """Return the runs of files and directories, each once, with their totals.

    Args:
        paths: Receipts, journals, CSV files, and directories with all below them.
        project: Only the runs of this project; an empty string for all.
        study: Only the runs of this study, by its id; an empty string for all.
    """
    return collect_runs([Path(path) for path in paths], project, study)


def documents(name: str, runs: Disclosed, facts: Facts | None = None) -> Mapping[str, str]:
    """Return the documents of a format by suffix of their file, such as ``md`` or ``json``.

    Args:
        name: The format, such as ``gpai``.
        runs: The runs, from `collect`.
        facts: What no run has, and the user supplies.

    Raises:
        ConfigError: There is no such format.
        MissingFactsError: Something is missing that the format requires; its `missing` lists all.
    """
    return disclosure_documents(name, runs, facts or Facts())
