"""``carbon-callbacks config``: the settings and where they come from."""

from __future__ import annotations

import json
import sys

from rich.console import Console
from rich.table import Table

from carbon_core.config.resolve import resolve


def show(*, with_origin: bool, as_json: bool) -> None:
    """Print the effective settings; problems in files and variables go to standard error."""
    resolution = resolve({})
    settings = resolution.settings
    shown = settings.shown()
    origins = {key: str(settings.origin(key)) for key in shown}
    if as_json:
        data = {key: {"value": shown[key], "origin": origins[key]} for key in shown}
        print(json.dumps(data if with_origin else shown, indent=2))
    else:
        table = Table("setting", "value", *(["origin"] if with_origin else []))
        for key, value in shown.items():
            table.add_row(key, str(value), *([origins[key]] if with_origin else []))
        Console().print(table)
    for text in resolution.warnings:
        print(f"carbon-callbacks: {text}", file=sys.stderr)
