"""Writes the description of the package from README.md, for hatchling.

In the repository, its links lead to files. On a package index they must be absolute: they begin with
the address of the repository, ``Repository`` in ``[project.urls]``. Without one, only their words
remain.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)")
_PICTURE = re.compile(r"<img [^>]*?src=\"(?![a-z]+:)([^\"]+)\"[^>]*>\n*")


class Description(MetadataHookInterface):
    """The hook that hatchling calls for the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the description."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_absolute_links(text, repository),
        }


def with_absolute_links(text: str, repository: str | None) -> str:
    """Return a text whose links and pictures work outside of the repository.

    Args:
        text: Markdown.
        repository: Address of the repository; None where it is unknown.
    """
    if repository is None:
        return _LINK.sub(r"\1", _PICTURE.sub("", text))
    base = repository.rstrip("/")
    text = _PICTURE.sub(lambda m: m[0].replace(m[1], f"{base}/raw/main/{m[1]}"), text)
    return _LINK.sub(lambda m: f"[{m[1]}]({base}/blob/main/{m[2]})", text)
