"""Dataclasses whose methods are shared, not generated as text and compiled: cheap to import.

A dataclass takes half a millisecond to define, and a run loads fifty. A record behaves alike, and the
functions of `dataclasses` work with it; that module, which loads `inspect`, is loaded only when one of
them is called. Its cost is that making an instance takes up to a microsecond longer.
"""

from __future__ import annotations

from operator import attrgetter

TYPE_CHECKING = (
    False  # what type checkers take for True; importing typing would cost more than all this
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

_set = object.__setattr__


class field:  # noqa: N801 - its name in `dataclasses`
    """Options of one field: default, default_factory, compare, repr, metadata."""

    def __init__(self, **options: Any) -> None:
        self.options = options


class Fields:
    """The fields of a record; for other readers of the attribute, their description by `dataclasses`.

    Attributes:
        types: Annotations by name, in order.
        options: Options by name, in order.
    """

    def __init__(self, bases: Sequence[type]) -> None:
        self.types: dict[str, str] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self._described: Any = None
        for base in reversed(bases):
            known = _fields_of(base)
            if known is not None:
                self.types.update(known.types)
                self.options.update(known.options)

    def __get__(self, instance: object, owner: type) -> Any:
        # `dataclasses.replace` and `fields` get it several times in each call.
        if self._described is None:
            self._described = self._description(owner)
        return self._described

    def _description(self, owner: type) -> Any:
        import dataclasses

        space: dict[str, Any] = {n: dataclasses.field(**one) for n, one in self.options.items()}
        space |= {"__annotations__": self.types, "__module__": owner.__module__}
        twin: Any = type(owner.__name__, (), space)
        dataclasses.dataclass(init=False, repr=False, eq=False)(twin)
        return twin.__dataclass_fields__


class Parameters:
    """What `dataclasses` reads of a record that a dataclass inherits from."""

    def __init__(self, *, frozen: bool) -> None:
        self.frozen = frozen


def record(cls: type | None = None, /, **arguments: bool) -> Any:
    """Class decorator, as `dataclasses.dataclass`; supports ``frozen``, ``kw_only`` and ``repr``."""
    if cls is None:
        return lambda cls: record(cls, **arguments)
    fields = Fields(cls.__mro__[1:])
    for name, kind in cls.__annotations__.items():
        if not kind.startswith("ClassVar"):
            fields.types[name], fields.options[name] = kind, _take_options(cls, name)
    methods = _methods(cls, fields, **arguments)
    for name, value in methods.items():
        if name not in vars(cls):
            setattr(cls, name, value)
    return cls


def replace(instance: Any, /, **changes: Any) -> Any:
    """Return a copy with other values, as `dataclasses.replace`."""
    kept = options_of(type(instance)).keys() - changes.keys()
    return type(instance)(**{name: getattr(instance, name) for name in kept}, **changes)


def asdict(instance: Any) -> dict[str, Any]:
    """Return the values by name, as `dataclasses.asdict`, but without copies of plain values."""
    return {name: _plain(getattr(instance, name)) for name in options_of(type(instance))}


def _plain(value: Any) -> Any:
    if _fields_of(type(value)) is not None:
        return asdict(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_plain, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    return value


def options_of(cls: type) -> Mapping[str, Mapping[str, Any]]:
    """Return the options of a record's fields, by name and in order."""
    found = _fields_of(cls)
    return found.options if found is not None else {}


def _fields_of(cls: type) -> Fields | None:
    found = vars(cls).get("__dataclass_fields__")
    return found if isinstance(found, Fields) else None


def _take_options(cls: type, name: str) -> dict[str, Any]:
    """Return a field's options; leave only its default as an attribute of the class."""
    if name not in vars(cls):
        return {}
    given = vars(cls)[name]
    options: dict[str, Any] = given.options if isinstance(given, field) else {"default": given}
    if "default" in options:
        setattr(cls, name, options["default"])
    else:
        delattr(cls, name)
    return options


def _methods(
    cls: type,
    fields: Fields,
    *,
    frozen: bool = False,
    kw_only: bool = False,
    repr: bool = True,  # noqa: A002
) -> dict[str, Any]:
    options = fields.options
    names = () if kw_only else tuple(options)
    count = -1 if kw_only else len(names)
    values = attrgetter(*(name for name, one in options.items() if one.get("compare", True)))
    shown = [name for name, one in options.items() if one.get("repr", True)]
    has_more = hasattr(cls, "__post_init__")

    def __init__(self: Any, *args: Any, **given: Any) -> None:  # noqa: N807
        if given or len(args) != count:
            args = _completed(cls, options, names, args, given)
        for name, value in zip(options, args):
            _set(self, name, value)
        if has_more:
            self.__post_init__()

    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        return values(self) == values(other) if type(other) is type(self) else NotImplemented

    def __repr__(self: Any) -> str:  # noqa: N807
        text = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__qualname__}({text})"

    methods: dict[str, Any] = {
        "__dataclass_fields__": fields,
        "__dataclass_params__": Parameters(frozen=frozen),
        "__match_args__": names,
        "__init__": __init__,
        "__eq__": __eq__,
        "__hash__": (lambda self: hash(values(self))) if frozen else None,
        "__replace__": replace,
    }
    if repr:
        methods["__repr__"] = __repr__
    if frozen:
        methods["__setattr__"] = methods["__delattr__"] = _refuse
    return methods


def _completed(
    cls: type,
    options: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
    args: Sequence[Any],
    given: dict[str, Any],
) -> tuple[Any, ...]:
    """Return the values of all fields, in order, with those that are not given."""
    twice = given.keys() & names[: len(args)]
    if len(args) > len(names) or twice or given.keys() - options.keys():
        raise TypeError(f"{cls.__qualname__}() got an argument twice, or one that it does not have")
    given.update(zip(names, args))
    for name in options.keys() - given.keys():
        given[name] = _default(cls, name, options[name])
    return tuple([given[name] for name in options])


def _default(cls: type, name: str, options: Mapping[str, Any]) -> Any:
    if "default" in options:
        return options["default"]
    if "default_factory" not in options:
        raise TypeError(f"{cls.__qualname__}() needs the argument {name!r}")
    return options["default_factory"]()


def _refuse(self: object, name: str, value: object = None) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")
