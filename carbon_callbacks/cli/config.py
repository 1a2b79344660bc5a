"""``carbon-callbacks config``: show, check and write settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import typer

from carbon_callbacks.cli.tables import Column
from carbon_callbacks.cli.tables import show as show_table
from carbon_callbacks.cli.terminal import PlainConsole, say, warn, write_data
from carbon_core.assemble.build import directory_problems, setting_problems, without_effect
from carbon_core.assemble.grid import place_of
from carbon_core.config import edit, local_trust, sources
from carbon_core.config.resolve import TRUST_KEY, check, resolve, suggestion
from carbon_core.config.schema import KEYS, Settings, hidden
from carbon_core.errors import ConfigError
from carbon_core.intensity.location import locate

_WRONG = 2


def show(*, with_origin: bool, as_json: bool, with_secrets: bool) -> None:
    """Print the effective settings; print problems in files and variables to standard error."""
    resolution = resolve({})
    settings = resolution.settings
    values = {key: _shown(settings, key, with_secrets=with_secrets) for key in KEYS}
    if as_json:
        data = {
            key: {
                "value": value,
                "origin": str(settings.origin(key)),
                "overrode": [str(origin) for origin in settings.origin(key).overrode],
            }
            for key, value in values.items()
        }
        write_data(json.dumps(data if with_origin else values, indent=2))
    else:
        columns = [Column("setting"), Column("value", folds=True), Column("origin", folds=True)]
        rows = [(key, str(value), settings.origin(key).history) for key, value in values.items()]
        shown = len(columns) if with_origin else len(columns) - 1
        show_table(PlainConsole(), columns[:shown], [row[:shown] for row in rows])
    _warn([*resolution.warnings, *local_trust.warnings(settings)])


def get(key: str, *, with_secrets: bool) -> None:
    """Print one effective value as it is written in a file; nothing for a value that is not set."""
    resolution = resolve({})
    if key not in KEYS:
        _fail(f"there is no setting {key!r}{suggestion(key)}")
    write_data(_written(_shown(resolution.settings, key, with_secrets=with_secrets)))
    _warn(text for text in resolution.warnings if key in text)


def set_value(key: str, value: str | None, *, for_user: bool) -> None:
    """Write one value into the user's or the working directory's file; prompt for it when not given."""
    path = _path(for_user=for_user)
    if key == TRUST_KEY and not for_user:
        _fail(f"{key} has no effect in the working directory's file: add --global")
    if value is None:
        value = str(typer.prompt(key, hide_input=_is_secret(key)))
    try:
        edit.write_setting(path, key, value)
    except ConfigError as error:
        _fail(str(error))
    say(f"{key} = {hidden(key, value)} in {path}")
    settings = resolve({}).settings
    if key in local_trust.withheld(settings):
        _warn(local_trust.warnings(settings))
    effective = settings.origin(key)
    if not str(effective).startswith(str(path)):
        _warn([f"{effective} overrides it"])


def check_all() -> None:
    """Print every mistake in files and variables at once; exit with 2 if there is one.

    These are the warnings of a run with the same settings, and values that are overridden.
    """
    settings, environ = resolve({}).settings, sources.process_environment()
    located = locate(place_of(settings, environ))
    problems = [
        *check(),
        *setting_problems(settings, environ, located),
        *directory_problems(settings),
    ]
    for text in problems:
        say(text)
    for text in [*without_effect(settings), *local_trust.warnings(settings, environ)]:
        say(f"note: {text}")
    if problems:
        say(f"mistakes found: {len(problems)}")
        raise typer.Exit(_WRONG)
    say("no mistakes found")


def init() -> None:
    """Prompt for country, token and project name, and write the files."""
    user, project = _path(for_user=True), _path(for_user=False)
    say("Press Enter to leave a setting unchanged.")
    _prompt(user, "country_iso_code", "Country of this machine (name or ISO code)")
    _prompt(user, "electricitymaps_api_token", "Electricity Maps token, for live grid intensity")
    _prompt(project, "project_name", "Project name")
    say("Done. To show all settings: carbon-callbacks config show --origin")


def _prompt(path: Path, key: str, question: str) -> None:
    while text := str(
        typer.prompt(question, default="", show_default=False, hide_input=_is_secret(key))
    ).strip():
        try:
            edit.write_setting(path, key, text)
        except ConfigError as error:
            say(f"  {error}; please try again")
            continue
        say(f"  {key} = {hidden(key, text)} in {path}")
        return


def _path(*, for_user: bool) -> Path:
    find: Callable[[], Path] = edit.home_file if for_user else edit.local_file
    try:
        return find()
    except (ConfigError, OSError) as error:
        _fail(str(error))


def _is_secret(key: str) -> bool:
    return key in KEYS and KEYS[key].secret


def _shown(settings: Settings, key: str, *, with_secrets: bool) -> Any:
    value = getattr(settings, key)
    return value if with_secrets else hidden(key, value)


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _warn(texts: Iterable[str]) -> None:
    for text in texts:
        warn(f"carbon-callbacks: {text}")


def _fail(text: str) -> NoReturn:
    _warn([text])
    raise typer.Exit(_WRONG)
