"""A property that is computed once, without a lock.

Before Python 3.12, `functools.cached_property` holds a lock of its class while it computes: a thread
that a signal handler has interrupted there would block all others, and so would one that a fork leaves
behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from typing_extensions import Self

_T = TypeVar("_T")


class lazy_property(Generic[_T]):  # noqa: N801 - a decorator, like `property`
    """Decorates a method whose result is kept; two threads at once may each compute it.

    Args:
        compute: The method.
    """

    def __init__(self, compute: Callable[[Any], _T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> _T: ...

    def __get__(self, instance: object | None, owner: type) -> Self | _T:
        if instance is None:
            return self
        # From then on, the instance's own entry is found first.
        value: _T = vars(instance).setdefault(self._name, self._compute(instance))
        return value
