"""Hook of mkdocs: the pages and files outside of docs/ that its pages link to are part of the site.

In the repository, links lead to files (``../CONTRIBUTING.md``, ``docs/settings.md``). In the site, all
pages are in one directory, so links are rewritten to what the file is called there.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
# File of the repository -> its name in the site.
OUTSIDE = {
    "ARCHITECTURE.md": "architecture.md",
    "CITATION.cff": "CITATION.cff",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "SECURITY.md": "reporting-security.md",
    "benchmarks/README.md": "benchmarks.md",
    "core/carbon_core/data/SOURCES.md": "sources.md",
}
# The theme's search needs this script where pages are files; the theme would request it from a server.
_SCRIPT_OF_SERVER = "https://unpkg.com/iframe-worker/shim"
_SCRIPT = "javascripts/iframe-worker.js"
_LINK = re.compile(r"(?<=\]\()([^)#\s]+)(?=[)#])|(?<=\bsrc=\")([^\":]+)|(?<=\bsrcset=\")([^\":]+)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the root, and the examples as they are."""
    for path, name in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    for path in sorted((ROOT / "examples").glob("*.py")):
        files.append(File.generated(config, f"examples/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrite links outside of code to the site's names."""
    names = {name: path for path, name in OUTSIDE.items()}
    path = names.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def renamed(match: re.Match[str]) -> str:
        return in_site(match[0], posixpath.dirname(path))

    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(renamed, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(renamed, markdown[end:])])


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Load the script of the search from the site."""
    depth = page.url.count("/")
    return output.replace(_SCRIPT_OF_SERVER, "../" * depth + _SCRIPT)


def on_post_template(output: str, template_name: str, config: Any) -> str:
    """Load the script of the search from the site, on the page of a wrong address, too."""
    return output.replace(_SCRIPT_OF_SERVER, _SCRIPT)


def in_site(link: str, directory: str) -> str:
    """Return what a link of a file in `directory` of the repository is in the site."""
    if re.match(r"[a-z]+:", link):
        return link
    target = posixpath.normpath(posixpath.join(directory, link))
    return OUTSIDE.get(target) or target.removeprefix("docs/")
