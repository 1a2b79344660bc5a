"""Writes the tables of settings from the schema: docs/settings.md, and the common ones in README.md.

With ``--check``, changes nothing and tells by its exit status whether a page would change.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from carbon_core.config.schema import KEYS, Key, default_of

ROOT = Path(__file__).parent.parent
HEAD = """# Settings

Generated from `carbon_core/config/schema.py` by `python tools/write_settings.py`.

Sources, lowest first: defaults, `~/.codecarbon.config`, `./.codecarbon.config` (INI, section
`[codecarbon]`), `CODECARBON_<KEY>` variables in any case, arguments. Each key is taken from the highest
source that has a valid value. A wrong argument raises `ConfigError`; a wrong value in a file or
variable is one warning, unless `strict_config` is on. `None` as an argument means the default, and so
does an empty value in a file or variable where the default is `None`; an empty list is an empty list.

| setting | type | default | |
|---|---|---|---|
"""
README_TABLE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)


def full_page() -> str:
    """Return the page of all settings."""
    rows = (_row(name, key.kind.name, _notes(key)) for name, key in KEYS.items())
    return HEAD + "".join(rows)


def short_table(keys: Mapping[str, Key]) -> str:
    """Return the README's table."""
    rows = (_row(name, key.help) for name, key in keys.items() if key.common)
    return "| setting | default | |\n|---|---|---|\n" + "".join(rows)


def _row(name: str, *cells: str) -> str:
    *before, notes = cells
    return f"| {' | '.join([f'`{name}`', *before, f'`{default_of(name)}`', notes])} |\n"


def _notes(key: Key) -> str:
    notes = [key.help]
    notes += [f"Must be {key.kind.allowed}."] if key.kind.name != "text" else []
    notes += ["Secret: never shown or stored."] if key.secret else []
    notes += [f"Replaces `{key.replaces}`."] if key.replaces else []
    notes += ["*Checked, without effect in this version.*"] if not key.used else []
    return " ".join(notes)


def pages() -> dict[Path, str]:
    """Return what each page should hold."""
    readme = ROOT / "README.md"
    text = README_TABLE.sub(lambda _: short_table(KEYS), readme.read_text(encoding="utf-8"))
    return {ROOT / "docs" / "settings.md": full_page(), readme: text}


def main() -> int:
    """Write or check the pages."""
    stale = {
        path: text for path, text in pages().items() if path.read_text(encoding="utf-8") != text
    }
    if "--check" in sys.argv:
        return int(bool(stale))
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
