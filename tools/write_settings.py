"""Writes docs/settings.md from the schema; with ``--check``, only tells whether it would change."""

from __future__ import annotations

import sys
from pathlib import Path

from carbon_core.config.schema import KEYS, default_of

TARGET = Path(__file__).parent.parent / "docs" / "settings.md"
HEAD = """# Settings

Generated from `carbon_core/config/schema.py` by `python tools/write_settings.py`.

Sources, lowest first: defaults, `~/.codecarbon.config`, `./.codecarbon.config` (INI, section
`[codecarbon]`), `CODECARBON_<KEY>` variables in any case, arguments. Each key is taken from the highest
source that has a valid value. A wrong argument raises `ConfigError`; a wrong value in a file or
variable is one warning, unless `strict_config` is on. `None` as an argument means the default.

| setting | type | default | |
|---|---|---|---|
"""


def table() -> str:
    """Return the page."""
    lines = [HEAD]
    for name, key in KEYS.items():
        notes = [key.help]
        notes += [f"Must be {key.kind.allowed}."] if key.kind.name != "text" else []
        notes += ["Secret: never shown or stored."] if key.secret else []
        notes += [f"Replaces `{key.replaces}`."] if key.replaces else []
        notes += ["*Checked, but not in effect yet.*"] if not key.used else []
        lines.append(f"| `{name}` | {key.kind.name} | `{default_of(name)}` | {' '.join(notes)} |\n")
    return "".join(lines)


def main() -> int:
    """Write or check the page."""
    current = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    if "--check" in sys.argv:
        return int(current != table())
    TARGET.write_text(table(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
