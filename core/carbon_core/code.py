"""Detects the versions of the imported frameworks and the Git commit of the working directory.

Reads Git's files and starts no process. Uncommitted changes are not detected.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from carbon_core.plausible import one_line
from carbon_core.system_files import LARGE, SMALL, text_in

_FRAMEWORKS = (
    "torch", "lightning", "pytorch_lightning", "transformers", "trl", "keras", "jax", "tensorflow",
    "accelerate", "ignite", "ray",
)  # fmt: skip
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REFERENCE = re.compile(r"refs/[^\0]+")


def code_facts(directory: Path) -> dict[str, str]:
    """Return the versions and the commit by name, such as ``torch_version`` and ``git_commit``.

    Args:
        directory: The working directory.
    """
    versions = {name: getattr(sys.modules.get(name), "__version__", None) for name in _FRAMEWORKS}
    facts = {
        f"{name}_version": one_line(str(version)) for name, version in versions.items() if version
    }
    commit = git_commit(directory)
    return {**facts, "git_commit": commit} if commit else facts


def git_commit(directory: Path) -> str | None:
    """Return the commit that is checked out in a directory or its parents; None if there is none."""
    try:
        git = _git_directory(directory.absolute())
        if git is None:
            return None
        head = text_in(git / "HEAD", SMALL)
        if not head.startswith("ref: "):
            return _commit(head)
        name = head.removeprefix("ref: ")
        if not _REFERENCE.fullmatch(name) or ".." in name:
            return None
        common = text_in(git / "commondir")  # of a second working tree
        roots = [git, git / common] if common else [git]
        for root in roots:
            if (root / name).is_file():
                return _commit(text_in(root / name))
        return _packed(roots[-1] / "packed-refs", name)
    except (OSError, ValueError):
        return None


def _git_directory(directory: Path) -> Path | None:
    for parent in (directory, *directory.parents):
        git = parent / ".git"
        if git.is_dir():
            return git
        if git.is_file():  # a second working tree, or a submodule
            return parent / text_in(git).removeprefix("gitdir: ")
    return None


def _packed(path: Path, name: str) -> str | None:
    for line in text_in(path, LARGE, cut=True).splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name:
            return _commit(commit)
    return None


def _commit(text: str) -> str | None:
    return text if _COMMIT.fullmatch(text) else None
