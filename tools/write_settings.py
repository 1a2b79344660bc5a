"""Generates docs/settings.md and config/arguments.py from the schema.

With ``--check``, changes nothing; exit status 1 means that a file would change.
"""

from __future__ import annotations

import sys
from pathlib import Path

from generated import write_or_check

from carbon_core.config.schema import ALIASES, KEYS, Key, default_of

ROOT = Path(__file__).parent.parent
HEAD = """# Settings

Generated from `carbon_core/config/schema.py` by `python tools/write_settings.py`.

Sources, lowest first: defaults, `~/.codecarbon.config`, `./.codecarbon.config` (INI, section
`[codecarbon]`), `CODECARBON_<KEY>` variables in any case, arguments. Each key is taken from the highest
source that has a valid value. A wrong argument raises `ConfigError`; a wrong value in a file or
variable is one warning, unless `strict_config` is on. `None` as an argument means the default, and so
does an empty value in a file or variable where the default is `None`; an empty list is an empty list.
In signatures, and in configurations printed by LightningCLI, `UNSET` is an argument that is not given.

`./.codecarbon.config` may be part of a cloned repository. By itself it switches on nothing that sends
data: no service, no live intensity, no look-up of the place. One warning names its settings that are
not used for this. To trust the file, set `trust_local_config` in `~/.codecarbon.config`, as
`CODECARBON_TRUST_LOCAL_CONFIG` or as an argument; or set there what it switches on. Its other settings
need no trust, and the file in the home directory is always trusted.

`carbon-callbacks config show --origin` prints each value with its source, and
`carbon-callbacks config check` lists all mistakes ([command line](command-line.md#settings)).
"""
TABLE = "| setting | type | default | |\n|---|---|---|---|\n"
# The first key of each section; the schema's table is in this order.
SECTIONS = {
    "project_name": "What is measured",
    "force_cpu_power": "Without a meter, or with a calibrated one",
    "pue": "Cooling and water of the site",
    "budget_kwh": "Limits",
    "country_iso_code": "Place and grid intensity",
    "electricitymaps_api_token": "Live intensity",
    "output_dir": "Files",
    "log_metrics": "What the callbacks log",
    "min_duration_s": "Messages, mistakes and trust",
    "experiment_id": "Services and other outputs",
    "allow_multiple_runs": "Accepted from CodeCarbon, without effect",
}
ARGUMENTS = '''"""Settings as keyword arguments, for type checkers and editors.

Generated from `carbon_core/config/schema.py` by `python tools/write_settings.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class SettingArguments(TypedDict, total=False):
    """Every setting as an argument; None selects the default instead of another source's value."""

'''


def full_page() -> str:
    """Return the text of docs/settings.md."""
    assert set(SECTIONS) <= set(KEYS)
    pieces = [HEAD, "\n## The most common ones\n\n| setting | default | |\n|---|---|---|\n"]
    pieces += [_row(name, key.help) for name, key in KEYS.items() if key.common]
    for name, key in KEYS.items():
        if title := SECTIONS.get(name):
            pieces.append(f"\n## {title}\n\n{TABLE}")
        pieces.append(_row(name, key.kind.name, _notes(key)))
    return "".join(pieces)


def arguments() -> str:
    """Return the source of config/arguments.py."""
    keys = {**KEYS, **{old: KEYS[new] for old, new in ALIASES.items()}}
    types = {name: key.kind.accepts for name, key in keys.items()}
    lines = (f"    {name}: {_or_none(accepts)}\n" for name, accepts in types.items())
    return ARGUMENTS + "".join(lines)


def _or_none(accepts: str) -> str:
    return accepts if accepts == "Any" else f"{accepts} | None"


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
    """Return the text of each generated file."""
    module = ROOT / "core" / "carbon_core" / "config" / "arguments.py"
    return {ROOT / "docs" / "settings.md": full_page(), module: arguments()}


if __name__ == "__main__":
    sys.exit(write_or_check(pages()))
