"""Who wins: for each key, the highest source that has a valid value.

Arguments raise. Elsewhere a mistake is one sentence in `Resolution.warnings`, and the next lower
valid value counts, so that a typo cannot kill a job that waited a night in the queue. A bad value
that a higher source overrides is nothing at all.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carbon_core.config import sources
from carbon_core.config.schema import (
    ALIASES,
    IGNORED_KEYS,
    KEYS,
    Origin,
    Settings,
    default_of,
    hidden,
)
from carbon_core.config.sources import Found, Source
from carbon_core.errors import ConfigError


@dataclass
class Resolution:
    """The outcome.

    Attributes:
        settings: The effective settings.
        warnings: One sentence for each mistake in files and variables.
        deprecations: One sentence for each deprecated name that counted, with its origin.
    """

    settings: Settings
    warnings: list[str] = field(default_factory=list)
    deprecations: list[tuple[str, Origin]] = field(default_factory=list)


def resolve(
    overrides: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    directory: Path | None = None,
) -> Resolution:
    """Resolve the settings of a tracker.

    Args:
        overrides: Arguments of the call; None means the default, whatever files say.
        environ: Environment variables; those of this process when None.
        home: Where the user's file lies; the home directory when None.
        directory: Where the project's file lies; the working directory when None.

    Raises:
        ConfigError: An argument is wrong, or anything is and ``strict_config`` is on.
    """
    environ = sources.process_environment() if environ is None else environ
    home = sources.home_directory() if home is None else home
    ambient = sources.ambient_sources(environ, home, directory or Path())
    arguments = sources.from_arguments(overrides)
    _refuse_unknown(arguments)
    cascade = [*ambient, arguments]
    warnings = [problem for source in ambient for problem in source.problems]
    warnings += [text for source in ambient for text in _unknown(source)]
    resolution = Resolution(_settle(cascade, warnings), warnings, _deprecations(cascade))
    if resolution.settings.strict_config and warnings:
        raise ConfigError("; ".join(warnings))
    return resolution


def _settle(cascade: Sequence[Source], warnings: list[str]) -> Settings:
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for name in KEYS:
        for found in _candidates(cascade, name):
            try:
                values[name] = _value(name, found)
            except ConfigError as error:
                if found.origin.source == "argument":
                    raise
                warnings.append(f"{error}; this value is not used")
                continue
            origins[name] = found.origin
            break
    return Settings(**values, origins=origins)


def _candidates(cascade: Sequence[Source], name: str) -> list[Found]:
    """Return a key's values, highest source first; a deprecated name only counts after all others."""
    names = [name, *(alias for alias, new in ALIASES.items() if new == name)]
    return [
        source.values[alias]
        for alias in names
        for source in reversed(cascade)
        if alias in source.values
    ]


def _value(name: str, found: Found) -> Any:
    key = KEYS[name]
    if found.value is None:
        return default_of(name)
    if found.value == "" and default_of(name) is None:
        return None
    try:
        return key.kind.parse(found.value)
    except (ValueError, TypeError, OverflowError):
        shown = repr(hidden(name, found.value))[:200]
        raise ConfigError(
            f"{name} must be {key.kind.allowed}, got {shown} ({found.origin})",
            key=name,
            origin=str(found.origin),
        ) from None


def _refuse_unknown(arguments: Source) -> None:
    for name in arguments.values:
        if name not in KEYS and name not in ALIASES:
            raise ConfigError(f"there is no setting {name!r}{_near(name)}", key=name)


def _unknown(source: Source) -> list[str]:
    return [
        f"{found.origin}: there is no setting {name!r}{_near(name)}; it is ignored"
        for name, found in source.values.items()
        if name not in KEYS and name not in ALIASES and name not in IGNORED_KEYS
    ]


def _near(name: str) -> str:
    matches = difflib.get_close_matches(name, KEYS, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def _deprecations(cascade: Sequence[Source]) -> list[tuple[str, Origin]]:
    found = [
        (alias, new, source.values[alias].origin)
        for source in cascade
        for alias, new in ALIASES.items()
        if alias in source.values
    ]
    return [
        (f"{alias} is deprecated ({origin}); use {new}", origin)
        for alias, new, origin in found[-1:]
    ]
