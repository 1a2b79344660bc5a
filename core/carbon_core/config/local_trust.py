"""What the working directory's file does not switch on by itself: whatever sends data over the network.

A ``./.codecarbon.config`` may be part of a cloned repository or of a directory that others write to. Its
settings count, except that an output, an intensity source or a look-up of the place is left out where
this file alone selects it or chooses its address. The home file, a variable or an argument may trust it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carbon_core.config.origin import LOCAL_TRUST
from carbon_core.config.output_table import OUTPUTS, OutputSpec
from carbon_core.config.schema import Settings
from carbon_core.intensity.source_table import MARGINAL_SOURCES, SOURCES, Source

# The values of `geolocation` that use the network, each with the setting that has its address.
_LOOKUPS = {"cloud": None, "ip": "geolocation_url"}
# Whether the loggers of a training get its receipt (`Settings.sends_receipts`).
_RECEIPTS = "log_receipt"


def sending_keys() -> set[str]:
    """Return the settings that select what sends data, or that hold an address of it."""
    keys = {"output_methods", "intensity_source", "geolocation", _RECEIPTS}
    keys.update(filter(None, _LOOKUPS.values()))
    for spec in OUTPUTS.values():
        if spec.sends:
            keys.update(filter(None, (spec.switch, spec.selected_by, spec.address_key)))
    for source in _sources().values():
        keys.update((source.url_key, *source.needs))
    return keys


def is_output_allowed(spec: OutputSpec, settings: Settings) -> bool:
    """Return whether a selected output may be used."""
    return not _keys_of_output(spec, settings)


def is_source_allowed(source: Source[Any], settings: Settings) -> bool:
    """Return whether a selected intensity source may be requested."""
    return not _keys_of_source(source, settings)


def is_lookup_allowed(settings: Settings) -> bool:
    """Return whether the place may be looked up over the network, if `geolocation` selects that."""
    return not _keys_of_lookup(settings)


def withheld(settings: Settings, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the settings of the working directory's file that would send data, and are not used.

    Args:
        settings: The effective settings.
        environ: Environment variables; if given, what could not work anyway is left out.
    """
    keys = set(_keys_of_lookup(settings))
    if settings.log_receipt and not settings.sends_receipts:
        keys.add(_RECEIPTS)
    for spec in OUTPUTS.values():
        if spec.selected(settings) and not (
            environ is not None and spec.problems(settings, environ)
        ):
            keys.update(_keys_of_output(spec, settings))
            if spec.secret is not None and _is_refused(settings, spec.secret.key, spec.address_key):
                keys.discard(spec.address_key)
    for source in _sources().values():
        is_refused = _is_refused(settings, source.secret, source.url_key)
        is_able = all(getattr(settings, key) for key in source.needs) and not is_refused
        if _is_selected(source, settings) and (is_able or environ is None):
            keys.update(_keys_of_source(source, settings))
            if is_refused:
                keys.discard(source.url_key)
    return sorted(keys)


def warnings(settings: Settings, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return one sentence on what is not switched on, and how to trust the file; or none.

    Args:
        settings: As for `withheld`.
        environ: As for `withheld`.
    """
    keys = withheld(settings, environ)
    if not keys:
        return []
    file = settings.origin(keys[0]).place.rpartition(" line ")[0]
    return [
        f"{file} alone does not switch on what sends data: {', '.join(keys)} not used; to trust this "
        "file, set trust_local_config = true in ~/.codecarbon.config, "
        "CODECARBON_TRUST_LOCAL_CONFIG=true or the argument trust_local_config=True"
    ]


def _sources() -> Mapping[str, Source[Any]]:
    return {**SOURCES, **MARGINAL_SOURCES}


def _is_trusted(settings: Settings, key: str) -> bool:
    return settings.trust_local_config or settings.origin(key).trust > LOCAL_TRUST


def _is_found_elsewhere(settings: Settings, key: str) -> bool:
    """Return whether a more trusted source has the setting, perhaps with another value."""
    return any(origin.trust > LOCAL_TRUST for origin in settings.origin(key).overrode)


def _keys_of_output(spec: OutputSpec, settings: Settings) -> list[str]:
    """Return the settings for which a selected output is left out."""
    if not spec.sends:
        return []
    selecting = spec.selecting_keys(settings)
    keys = [] if any(_is_trusted(settings, key) for key in selecting) else selecting
    return keys + _untrusted_address(settings, spec.address_key)


def _keys_of_source(source: Source[Any], settings: Settings) -> list[str]:
    """Return the settings for which a selected source is left out."""
    needs = [
        key
        for key in source.needs
        if not _is_trusted(settings, key) and not _is_found_elsewhere(settings, key)
    ]
    keys = needs if source.automatic else ["intensity_source"]
    if settings.intensity_source == source.name:
        is_chosen = _is_trusted(settings, "intensity_source")
        keys = [] if is_chosen or not keys else ["intensity_source", *needs]
    return keys + _untrusted_address(settings, source.url_key)


def _is_selected(source: Source[Any], settings: Settings) -> bool:
    if source.name in SOURCES:
        if settings.force_carbon_intensity_g_co2e_kwh is not None:
            return False
        if settings.intensity_source:
            return settings.intensity_source == source.name
    return source.automatic and all(getattr(settings, key) for key in source.needs)


def _keys_of_lookup(settings: Settings) -> list[str]:
    if settings.geolocation not in _LOOKUPS:
        return []
    keys = [] if _is_trusted(settings, "geolocation") else ["geolocation"]
    return keys + _untrusted_address(settings, _LOOKUPS[settings.geolocation] or "")


def _is_refused(settings: Settings, secret: str | None, address: str) -> bool:
    """Return whether a secret may not be sent to an address, whether or not the file is trusted.

    `Secret.refusal` reports that, with the reason.
    """
    if secret is None:
        return False
    is_less = settings.origin(address).trust < settings.origin(secret).trust
    return bool(getattr(settings, secret)) and is_less


def _untrusted_address(settings: Settings, key: str) -> list[str]:
    return [key] if key and not _is_trusted(settings, key) else []
