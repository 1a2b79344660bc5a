"""Adds the settings to signatures, for `help()`, editors, jsonargparse, LightningCLI and Hydra.

A tracker takes its settings as ``**overrides``, because a setting that is not given is read from another
source. In the signature, each setting has the default `UNSET`, which means that it is not given. `UNSET`
can be printed into a configuration file and read again without overriding files and variables.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from carbon_core.config.schema import ALIASES, KEYS, UNSET, Key, Unset, default_of

_Class = TypeVar("_Class", bound=type)
_Function = TypeVar("_Function", bound=Callable[..., Any])
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_EITHER = inspect.Parameter.POSITIONAL_OR_KEYWORD
_NAMED = (_EITHER, _KEYWORD)
_NAMES = {"Any": Any, "Mapping": Mapping, "Sequence": Sequence, "Unset": Unset, "os": os}

# Docstring parsers require a sentence before the arguments.
_SUMMARY = "Settings that are not given come from variables, files and defaults."
_NEWLINE = "\n"

# Created once and used by all signatures.
_types: dict[str, Any] = {}
_settings: list[inspect.Parameter] = []
_lines: list[str] = []


def with_settings(*more: type) -> Callable[[_Class], _Class]:
    """Class decorator: replace ``**kwargs`` in the signature of ``__init__`` by named parameters.

    The signature lists the named parameters of ``__init__``, those of the methods that get its
    ``**kwargs``, and the settings; its docstring describes them. The behaviour of ``__init__`` does not
    change.

    Args:
        *more: Classes other than the bases that get the ``**kwargs``, too.
    """

    def decorate(cls: _Class) -> _Class:
        inits = [one.__init__ for one in (*cls.__mro__, *more) if "__init__" in vars(one)]  # type: ignore[misc]
        own, *others = filter(inspect.isfunction, inits)  # without C functions: no parameters
        _show(own, [_SELF, *_named(own, *others)], [_documented(one) for one in more])
        return cls

    return decorate


def with_settings_in_order(names: Sequence[str]) -> Callable[[_Class], _Class]:
    """Class decorator: list the settings in the signature of ``__init__``, some as positional ones.

    Args:
        names: Settings that may be positional arguments, in their order.
    """

    def decorate(cls: _Class) -> _Class:
        by_name = {parameter.name: parameter for parameter in settings_parameters()}
        first = [by_name.pop(name).replace(kind=_EITHER) for name in names]
        _show(vars(cls)["__init__"], [_SELF, *first, *by_name.values()])
        return cls

    return decorate


def function_with_settings(function: _Function) -> _Function:
    """Decorator: replace ``**kwargs`` in a function's signature by the settings."""
    _show(function, _named(function))
    return function


def settings_parameters() -> Sequence[inspect.Parameter]:
    """Return the settings as keyword parameters, deprecated names last."""
    if not _settings:
        keys = {**KEYS, **{old: KEYS[new] for old, new in ALIASES.items()}}
        _settings.extend(
            inspect.Parameter(name, _KEYWORD, default=UNSET, annotation=_type(key.kind.accepts))
            for name, key in keys.items()
        )
    return _settings


_SELF = inspect.Parameter("self", _EITHER)


def _named(*functions: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the named parameters of functions with ``**kwargs``, then the settings."""
    found: dict[str, inspect.Parameter] = {}
    for function in functions:
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind in _NAMED and parameter.name != "self":
                kind = parameter.kind if function is functions[0] else _KEYWORD
                found.setdefault(parameter.name, _evaluated(parameter, function).replace(kind=kind))
    return list({**found, **{one.name: one for one in settings_parameters()}}.values())


def _evaluated(parameter: inspect.Parameter, function: Callable[..., Any]) -> inspect.Parameter:
    """Return a parameter with its annotation evaluated, not as text."""
    if not isinstance(parameter.annotation, str):
        return parameter
    names = inspect.unwrap(function).__globals__
    return parameter.replace(annotation=eval(parameter.annotation, names))  # noqa: S307 - our source


def _type(accepts: str) -> Any:
    """Return a setting's type as an argument: its own, unset, or None (the default)."""
    if accepts not in _types:
        # `Unset` first: its name would also be valid as a string.
        _types[accepts] = eval(f"Unset | {accepts} | None", _NAMES)  # noqa: S307 - the table's
    return _types[accepts]


def _documented(cls: type) -> str:
    """Return the named arguments in a class's docstring, as it describes them."""
    _, _, after = (inspect.getdoc(cls) or "").partition("\nArgs:\n")
    return after.partition("\n\n")[0].partition("    **")[0].rstrip()


def _show(
    function: Callable[..., Any],
    parameters: Sequence[inspect.Parameter],
    descriptions: Sequence[str] = (),
) -> None:
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    # For `typing.get_type_hints`; the annotation of ``**kwargs`` in the source is for type checkers.
    function.__annotations__ = {one.name: one.annotation for one in parameters if one is not _SELF}
    if not _lines:
        _lines.extend(f"    {name}: {_help(name, key)}" for name, key in KEYS.items())
    text = "\n".join([*filter(None, descriptions), *_lines])
    if function.__doc__:
        before, _, after = inspect.cleandoc(function.__doc__).partition("    **overrides:")
        function.__doc__ = f"{before}{text}\n{after.partition(_NEWLINE)[2]}"
    else:
        function.__doc__ = f"{_SUMMARY}\n\nArgs:\n{text}"


def _help(name: str, key: Key) -> str:
    default = default_of(name)
    return key.help if default is None else f"{key.help} (default: {default})"
