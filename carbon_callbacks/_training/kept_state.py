"""State of a program that a dry run leaves as it was: random generators, flags, containers."""

from __future__ import annotations

import copy
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_CONTAINERS = (dict, list, set, tuple, deque)
_DEEPEST = 8
# Objects that are searched for generators at most, and the longest collections: longer ones are data.
_MOST_SEARCHED, _LONGEST_SEARCHED = 10_000, 100


@contextmanager
def kept_random_state(*generators: Any) -> Iterator[None]:
    """Restore the state of all random generators of the process after a block.

    Those of Python, NumPy, torch (all devices) and Keras; only packages that the program has loaded.

    Args:
        *generators: Further ones, such as those of samplers.
    """
    with ExitStack() as stack:
        for restore in _restores(generators):
            stack.callback(restore)
        yield


def _restores(generators: Iterable[Any]) -> list[Callable[[], Any]]:
    import random

    python = random.getstate()
    found: list[Callable[[], Any]] = [lambda: random.setstate(python)]
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        state = numpy.random.get_state()
        found.append(lambda: numpy.random.set_state(state))
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        found += _of_torch(torch)
    found += map(_restore_of, {id(one): one for one in generators}.values())
    if "keras" in sys.modules:
        found += _of_keras()
    if "tensorflow" in sys.modules:
        found += _of_tensorflow()
    return found


def _of_torch(torch: Any) -> list[Callable[[], Any]]:
    state = torch.get_rng_state()
    found = [lambda: torch.set_rng_state(state)]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        of_devices = torch.cuda.get_rng_state_all()
        found.append(lambda: torch.cuda.set_rng_state_all(of_devices))
    if torch.backends.mps.is_available():
        of_mps = torch.mps.get_rng_state()
        found.append(lambda: torch.mps.set_rng_state(of_mps))
    return found


def _restore_of(generator: Any) -> Callable[[], Any]:
    bits = getattr(generator, "bit_generator", None)
    if bits is not None:  # NumPy's `Generator`
        of_bits = copy.deepcopy(bits.state)
        return lambda: setattr(bits, "state", of_bits)
    is_python = hasattr(generator, "getstate")
    state = generator.getstate() if is_python else generator.get_state()
    return lambda: (generator.setstate if is_python else generator.set_state)(state)


def _of_keras() -> list[Callable[[], Any]]:
    """Keep Keras's own generator, and its counters from which layers get their names."""
    global_state: Any = import_module("keras.src.backend.common.global_state")
    found: list[Callable[[], Any]] = []
    uids = copy.copy(global_state.get_global_attribute("object_name_uids"))
    found.append(lambda: global_state.set_global_attribute("object_name_uids", uids))
    generator: Any = global_state.get_global_attribute("global_seed_generator")
    if generator is not None:
        value = generator.state.numpy() if hasattr(generator.state, "numpy") else generator.state
        before = copy.copy(value)
        found.append(lambda: generator.state.assign(before))
    else:
        found.append(lambda: global_state.set_global_attribute("global_seed_generator", None))
    return found


def _of_tensorflow() -> list[Callable[[], Any]]:
    """Keep the generator of the seeds of operations, where a global seed is set."""
    context: Any = import_module("tensorflow.python.eager.context")
    generator: Any = getattr(context.context(), "_rng", None)
    if generator is None:
        return []
    state = generator.getstate()
    return [lambda: generator.setstate(state)]


def generators_in(*values: Any) -> list[Any]:
    """Return the random generators of torch, NumPy and Python that objects have, and those within them.

    Args:
        *values: Data sets, loaders, collators and the like. Long collections in them are not searched.
    """
    kinds, found = _generator_classes(), []
    seen, queue = set[int](), deque(values)
    while queue and len(seen) < _MOST_SEARCHED:
        value = queue.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, kinds):
            found.append(value)
        else:
            queue.extend(_parts_of(value))
    return found


def _generator_classes() -> tuple[type, ...]:
    import random

    found: list[type] = [random.Random]
    if (torch := sys.modules.get("torch")) is not None:
        found.append(torch.Generator)
    if (numpy := sys.modules.get("numpy")) is not None:
        found += [numpy.random.Generator, numpy.random.RandomState]
    return tuple(found)


def _parts_of(value: Any) -> Iterable[Any]:
    """Return what an object has: its attributes, or the items of a collection that is not long."""
    if isinstance(value, (type, ModuleType)):
        return ()
    if isinstance(value, _CONTAINERS):
        items = value.values() if isinstance(value, dict) else value
        return items if len(value) <= _LONGEST_SEARCHED else ()
    return getattr(value, "__dict__", {}).values()


def own_containers(
    value: Any, copied: Callable[[Any], Any] = lambda leaf: leaf, depth: int = 0
) -> Any:
    """Return a value with containers of its own: what is added to them is not in the original.

    Args:
        value: Any value; what is no plain container is taken as it is.
        copied: Is applied to that.
        depth: How deep the value is within another one.
    """
    if depth >= _DEEPEST or not isinstance(value, _CONTAINERS):
        return copied(value)
    if isinstance(value, dict):
        found = copy.copy(value)
        for key, one in value.items():
            found[key] = own_containers(one, copied, depth + 1)
        return found
    if hasattr(value, "_fields"):  # a named tuple
        return type(value)(*(own_containers(one, copied, depth + 1) for one in value))
    if type(value) in (list, set, tuple):
        return type(value)(own_containers(one, copied, depth + 1) for one in value)
    return copy.copy(value)
