"""Functions of each kind with a context manager around each of their calls."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Context = Callable[[], AbstractContextManager[Any]]


def with_context(wrapped: _Function, context: _Context) -> _Function:
    """Return a function of the same kind whose calls run in a context.

    The call of a coroutine function ends when its coroutine does, that of a generator function when its
    generator is exhausted, closed or garbage-collected; it begins with the first value.

    Args:
        wrapped: A function, a coroutine function, a generator function or an async one; also as a
            class method or a static method.
        context: Returns the context manager of a call.
    """
    if isinstance(wrapped, (classmethod, staticmethod)):
        return cast("_Function", type(wrapped)(with_context(wrapped.__func__, context)))
    called = _called(wrapped)
    for is_kind, around in (
        (inspect.iscoroutinefunction, _coroutine),
        (inspect.isasyncgenfunction, _async_generator),
        (inspect.isgeneratorfunction, _generator),
    ):
        if is_kind(called):
            return cast("_Function", functools.wraps(wrapped)(around(wrapped, context)))
    return cast("_Function", functools.wraps(wrapped)(_plain(wrapped, context)))


def _called(wrapped: Callable[..., Any]) -> Any:
    """Return what a call runs: the method ``__call__`` of an instance."""
    is_function = inspect.isroutine(wrapped) or isinstance(wrapped, (functools.partial, type))
    return wrapped if is_function else getattr(type(wrapped), "__call__", wrapped)  # noqa: B004


def _plain(wrapped: Callable[..., Any], context: _Context) -> Callable[..., Any]:
    def tracked(*args: Any, **kwargs: Any) -> Any:
        with context():
            return wrapped(*args, **kwargs)

    return tracked


def _coroutine(wrapped: Callable[..., Any], context: _Context) -> Callable[..., Any]:
    async def tracked(*args: Any, **kwargs: Any) -> Any:
        with context():
            return await wrapped(*args, **kwargs)

    return tracked


def _generator(wrapped: Callable[..., Any], context: _Context) -> Callable[..., Any]:
    def tracked(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with context():
            return (yield from wrapped(*args, **kwargs))

    return tracked


def _async_generator(wrapped: Callable[..., Any], context: _Context) -> Callable[..., Any]:
    async def tracked(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with context():
            inner = wrapped(*args, **kwargs)
            step = _first_step(inner)
            while True:
                try:
                    value = await step
                except StopAsyncIteration:
                    return
                try:
                    sent = yield value
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - the consumer's, for the generator
                    step = inner.athrow(error)
                else:
                    step = inner.asend(sent)

    return tracked


def _first_step(inner: AsyncGenerator[Any, Any]) -> Any:
    """Begin an async generator that only the generator around it closes.

    An event loop closes at its end all generators that were begun in it, at the same time.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return inner.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)
