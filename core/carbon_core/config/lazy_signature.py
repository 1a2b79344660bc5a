"""Class decorators that list the settings in a signature, on its first inspection.

`signature` and the table of settings are loaded only then: making a tracker needs no signature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    _Class = TypeVar("_Class", bound=type)


def with_settings(*more: type) -> Callable[[_Class], _Class]:
    """Class decorator: `signature.with_settings`, on first inspection."""

    def decorate(cls: _Class) -> _Class:
        def document() -> None:
            from carbon_core.config import signature

            signature.with_settings(*more)(cls)

        return _deferred(cls, document)

    return decorate


def with_settings_in_order(names: Sequence[str]) -> Callable[[_Class], _Class]:
    """Class decorator: `signature.with_settings_in_order`, on first inspection."""

    def decorate(cls: _Class) -> _Class:
        def document() -> None:
            from carbon_core.config import signature

            signature.with_settings_in_order(names)(cls)

        return _deferred(cls, document)

    return decorate


class _Init:
    """``__init__`` of a class, whose signature is written when it is read from the class.

    Calls pass it by: they read it from the instance. The first read from the class puts the function
    itself in its place, so that all later ones get what is usual.
    """

    def __init__(self, cls: type, document: Callable[[], None]) -> None:
        self._cls = cls
        self._function = vars(cls)["__init__"]
        self._document = document

    def __get__(self, instance: object, owner: type) -> Any:
        # Since Python 3.13, `inspect` binds it to the class itself.
        is_call = instance is not None and not isinstance(instance, type)
        if not is_call and vars(self._cls).get("__init__") is self:
            self._cls.__init__ = self._function
            self._document()
        return self._function if instance is None else self._function.__get__(instance, owner)


def _deferred(cls: _Class, document: Callable[[], None]) -> _Class:
    cls.__init__ = _Init(cls, document)  # type: ignore[misc]
    return cls
