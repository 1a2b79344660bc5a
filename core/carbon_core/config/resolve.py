"""Precedence of configuration sources: each key gets the value of the highest source with a valid one.

An invalid argument raises. An invalid value elsewhere is one sentence in `Resolution.warnings`, and the
next lower valid value is used, so that a typo cannot stop a job that waited in the queue for a night. An
invalid value that a higher source overrides is not reported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from carbon_core.config import sources
from carbon_core.config.ini import shown_name
from carbon_core.config.origin import DEFAULT, LOCAL_TRUST, Origin
from carbon_core.config.schema import (
    ALIASES,
    IGNORED_KEYS,
    KEYS,
    LONGEST_VALUE,
    SAVE_TO,
    UNSET,
    Settings,
    bare,
    default_of,
    shown_value,
)
from carbon_core.config.sources import ConfigSource, RawValue, is_blank
from carbon_core.errors import ConfigError
from carbon_core.record import field, record, replace

# Of one source; more are counted. Suggestions for thousands of names would take seconds.
_MOST_UNKNOWN = 10
_LONGEST_TYPO = 60
# In the working directory's file it has no effect.
TRUST_KEY = "trust_local_config"


@record
class Resolution:
    """The effective settings, and messages about their sources.

    Attributes:
        settings: The effective settings.
        warnings: One sentence for each mistake in files and variables.
        deprecations: One sentence for each deprecated name in use, with its origin.
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
        overrides: Arguments of the call; None selects the default instead of a file's value, `UNSET`
            means that the argument is not given.
        environ: Environment variables; those of this process when None.
        home: Directory of the user-wide file; the home directory when None.
        directory: Directory of the project's file; the working directory when None.

    Raises:
        ConfigError: An argument is invalid, or with ``strict_config`` a value of any source.
    """
    ambient = _ambient(environ, home, directory)
    given = {name: value for name, value in overrides.items() if value is not UNSET}
    arguments = sources.from_arguments(given)
    _raise_if_unknown(arguments)
    cascade = [*ambient, arguments]
    warnings = _problems_of_sources(ambient)
    settings = _effective_settings(cascade, warnings)
    resolution = Resolution(settings, warnings, _deprecations(cascade, settings))
    if settings.strict_config and warnings:
        raise ConfigError("; ".join(warnings))
    return resolution


def with_secrets(settings: Settings) -> Settings:
    """Return settings of a pickle with the secrets that it lacks, where files or variables have them.

    Secrets that were arguments are unset: a pickle may be a checkpoint, which others read.

    Raises:
        ConfigError: ``strict_config`` is on, and a file or variable is wrong.
    """
    if not settings.stored:
        return settings
    found = resolve({}).settings
    keys = [key for key in KEYS if _is_found_again(settings, found, key)]
    origins = {key: found.origin(key) for key in keys}
    values = {key: getattr(found, key) for key in keys}
    return replace(settings, **values, origins={**settings.origins, **origins})


def _is_found_again(settings: Settings, found: Settings, key: str) -> bool:
    kept, value = getattr(settings, key), getattr(found, key)
    ambient = settings.origin(key).source in ("file", "environment")
    return ambient and value != kept and bare(key, value) == kept


def check(
    *,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    directory: Path | None = None,
) -> list[str]:
    """Return every mistake in files and variables, one sentence each.

    Unlike `resolve`, this includes invalid values that a higher source overrides: they are used once
    that source is gone.

    Args:
        environ: As for `resolve`.
        home: As for `resolve`.
        directory: As for `resolve`.
    """
    ambient = _ambient(environ, home, directory)
    problems = _problems_of_sources(ambient)
    for source in ambient:
        for name, found in source.values.items():
            key = ALIASES.get(name, name)
            try:
                if key in KEYS:
                    _value(key, found)
            except ConfigError as error:
                problems.append(str(error))
    settings = _effective_settings(ambient, [])
    return [*problems, *(text for text, _ in _deprecations(ambient, settings))]


def _ambient(
    environ: Mapping[str, str] | None, home: Path | None, directory: Path | None
) -> list[ConfigSource]:
    environ = sources.process_environment() if environ is None else environ
    home = sources.home_directory() if home is None else home
    return sources.ambient_sources(environ, home, directory or Path())


def _problems_of_sources(ambient: Sequence[ConfigSource]) -> list[str]:
    problems = [problem for source in ambient for problem in source.problems]
    for source in ambient:
        found = source.values.get(TRUST_KEY)
        if found is not None and found.origin.trust == LOCAL_TRUST:
            problems.append(
                f"{found.origin}: a file cannot trust itself; set {TRUST_KEY} in ~/{sources.FILE_NAME}, "
                f"as CODECARBON_{TRUST_KEY.upper()} or as an argument"
            )
    return problems + [text for source in ambient for text in _warnings_of_unknown(source)]


def _effective_settings(cascade: Sequence[ConfigSource], warnings: list[str]) -> Settings:
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for name in KEYS:
        candidates = _candidates(cascade, name)
        for i, found in enumerate(candidates):
            try:
                values[name] = _value(name, found)
            except ConfigError as error:
                if found.origin.source == "argument":
                    raise
                warnings.append(f"{error}; this value is not used")
                continue
            below = candidates[i + 1 :]
            overrode = tuple(lower.origin for lower in below)
            trust = _trust(name, values[name], found.origin, below)
            origins[name] = replace(found.origin, overrode=overrode, trust=trust)
            break
    return Settings(**values, origins=origins)


def _trust(name: str, value: Any, origin: Origin, below: Sequence[RawValue]) -> int:
    """Return the trust in a value: that of the most trusted source that has the same value.

    A default is trusted, unless it switches on what a more trusted source has switched off.
    """
    levels, is_off = [origin.trust], False
    for found in below:
        with contextlib.suppress(ConfigError):
            if found.origin.trust > origin.trust:
                other = _value(name, found)
                is_off = is_off or (value is True and other is False)
                if other == value:
                    levels.append(found.origin.trust)
    return DEFAULT.trust if value == default_of(name) and not is_off else max(levels)


def _candidates(cascade: Sequence[ConfigSource], name: str) -> list[RawValue]:
    """Return a key's values, highest source first, those under a deprecated name after all others."""
    names = [name, *(alias for alias, new in ALIASES.items() if new == name)]
    found = [
        source.values[alias]
        for alias in names
        for source in reversed(cascade)
        if alias in source.values
    ]
    return [one for one in found if name != TRUST_KEY or one.origin.trust > LOCAL_TRUST]


def _value(name: str, found: RawValue) -> Any:
    key = KEYS[name]
    if found.value is None:
        return default_of(name)
    if key.secret and is_blank(found.value):
        return None
    if found.value is False and key.kind.name != "boolean" and default_of(name) is None:
        return None  # CodeCarbon's other way to leave it out: emissions_endpoint=False
    if found.value == "" and default_of(name) is None and key.kind.name != "list":
        return None
    is_ambient = found.origin.source != "argument"
    too_long = is_ambient and isinstance(found.value, str) and len(found.value) > LONGEST_VALUE
    with contextlib.suppress(ValueError, TypeError, OverflowError, RecursionError):
        if not too_long:
            return key.kind.parse(found.value)
    # Raised here: the context of that error would contain the value, perhaps a secret.
    limit = f" in at most {LONGEST_VALUE} characters" if too_long else ""
    shown = shown_value(name, found.value)
    hint = ""
    with contextlib.suppress(ValueError, TypeError):
        hint = key.kind.hint(found.value) if key.kind.hint is not None and not too_long else ""
    raise ConfigError(
        f"{name} must be {key.kind.allowed}{limit}, got {shown} ({found.origin}){hint}",
        key=name,
        origin=str(found.origin),
    )


def _raise_if_unknown(arguments: ConfigSource) -> None:
    for name in arguments.values:
        if name not in KEYS and name not in ALIASES:
            raise ConfigError(f"there is no setting {shown_name(name)}{suggestion(name)}", key=name)


def _warnings_of_unknown(source: ConfigSource) -> list[str]:
    names = [
        name
        for name in source.values
        if name not in KEYS and name not in ALIASES and name not in IGNORED_KEYS
    ]
    texts = [
        f"{source.values[name].origin}: there is no setting {shown_name(name)}, it is ignored"
        f"{suggestion(name)}"
        for name in names[:_MOST_UNKNOWN]
    ]
    if more := len(names) - len(texts):
        origin = source.values[names[_MOST_UNKNOWN]].origin
        texts.append(f"from {origin} on: {more} more settings that do not exist")
    return texts


def suggestion(name: str) -> str:
    """Return the end of a message with the setting that a misspelt name may mean, or an empty string."""
    if len(name) > _LONGEST_TYPO:
        return ""
    import difflib  # slow to import, and rarely needed

    matches = difflib.get_close_matches(name, KEYS, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def _deprecations(cascade: Sequence[ConfigSource], settings: Settings) -> list[tuple[str, Origin]]:
    remedies = {alias: f"use {new}" for alias, new in ALIASES.items()}
    if settings.output_methods is not None:
        # As in CodeCarbon, `output_methods` overrides these.
        remedies |= dict.fromkeys(SAVE_TO, "output_methods overrides it; remove it")
    return [
        (f"{name} is deprecated ({origin}); {remedy}", origin)
        for name, remedy in remedies.items()
        if (origin := _origin(cascade, name))
    ]


def _origin(cascade: Sequence[ConfigSource], name: str) -> Origin | None:
    """Return the origin of the highest value under exactly this name."""
    found = [source.values[name].origin for source in cascade if name in source.values]
    return found[-1] if found else None
