"""Makes the first training of a program a dry run, for ``carbon-callbacks estimate -- COMMAND``.

`sitecustomize` of `_estimating` calls `install` at the start of the program. When a framework is
imported, the method that trains is wrapped: the first call makes a dry run on a copy, writes the
estimate to a file and ends the process at once, so that no line after it saves an untrained model.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from carbon_core import TrainingEstimate

# The file of the result, and the least number of steps.
RESULT, STEPS = "CARBON_CALLBACKS_ESTIMATE", "CARBON_CALLBACKS_ESTIMATE_STEPS"
_LIGHTNING_ARGUMENTS = ("model", "train_dataloaders", "val_dataloaders", "datamodule")


class _Framework(NamedTuple):
    """A framework.

    Attributes:
        module: The module in which the class is defined, or that a program imports it from.
        class_name: The class.
        method: Its method that trains.
        adapter: The module of its callback.
        estimate: Makes the dry run: callback class, owner of the method, its arguments, steps.
    """

    module: str
    class_name: str
    method: str
    adapter: str
    estimate: Callable[..., TrainingEstimate]


def _of_lightning(
    callback_class: Any, trainer: Any, args: Sequence[Any], kwargs: dict[str, Any], steps: int
) -> TrainingEstimate:
    callback = _own(trainer.callbacks, callback_class)
    named = dict(zip(_LIGHTNING_ARGUMENTS, args))
    named |= {name: value for name, value in kwargs.items() if name in _LIGHTNING_ARGUMENTS}
    found: TrainingEstimate = callback.estimate(trainer, **named, steps=steps)
    return found


def _of_hugging_face(
    callback_class: Any, trainer: Any, args: Sequence[Any], kwargs: dict[str, Any], steps: int
) -> TrainingEstimate:
    callback = _own(trainer.callback_handler.callbacks, callback_class)
    found: TrainingEstimate = callback.estimate(trainer, steps=steps)
    return found


def _of_keras(
    callback_class: Any, model: Any, args: Sequence[Any], kwargs: dict[str, Any], steps: int
) -> TrainingEstimate:
    callbacks = kwargs.get("callbacks") or ()
    callback = _own(getattr(callbacks, "callbacks", callbacks), callback_class)
    names = ("x", "y", "batch_size", "epochs")
    named = {**dict(zip(names, args)), **kwargs}
    found: TrainingEstimate = callback.estimate(model, **named, steps=steps)
    return found


def _own(callbacks: Any, callback_class: Any) -> Any:
    """Return the program's own callback of this package, whose settings apply; else a new one."""
    listed = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    found = next((one for one in listed if isinstance(one, callback_class)), None)
    return found or callback_class(save_to_file=False)


_FRAMEWORKS = {
    one.module: one
    for one in (
        _Framework(
            "lightning.pytorch.trainer.trainer", "Trainer", "fit",
            "carbon_callbacks.lightning", _of_lightning,
        ),
        _Framework(
            "pytorch_lightning.trainer.trainer", "Trainer", "fit",
            "carbon_callbacks.pytorch_lightning", _of_lightning,
        ),
        _Framework(
            "transformers.trainer", "Trainer", "train",
            "carbon_callbacks.transformers", _of_hugging_face,
        ),
        _Framework(
            "keras.src.models.model", "Model", "fit", "carbon_callbacks.keras", _of_keras
        ),
    )
}  # fmt: skip


class _State:
    """Whether the dry run of this process has begun: it trains with the same methods."""

    begun = False


def install() -> None:
    """Wrap the methods that train, as soon as a program imports their frameworks."""
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the modules of the frameworks as the other finders do, and wraps after they are loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _FRAMEWORKS:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                execute = spec.loader.exec_module
                spec.loader.exec_module = functools.partial(  # type: ignore[method-assign]
                    _execute, execute, _FRAMEWORKS[fullname]
                )
                return spec
        return None


def _execute(
    execute: Callable[[ModuleType], None], framework: _Framework, module: ModuleType
) -> None:
    execute(module)
    _wrap(module, framework)


def _wrap(module: ModuleType, framework: _Framework) -> None:
    from carbon_callbacks._training.calls import called, wrap_method

    def around(original: Any, owner: Any, /, *args: Any, **kwargs: Any) -> Any:
        if _State.begun:
            return called(original, owner, *args, **kwargs)
        _State.begun = True
        _estimate_and_exit(framework, owner, args, kwargs)
        return None

    wrap_method(getattr(module, framework.class_name), framework.method, around)


def _estimate_and_exit(
    framework: _Framework, owner: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> None:
    """Write the estimate to the file and end the process; nothing after the training may run."""
    from carbon_core import process_environment

    environ = process_environment()
    try:
        adapter = import_module(framework.adapter)
        steps = int(environ.get(STEPS, "50"))
        found = framework.estimate(adapter.EmissionsCallback, owner, args, kwargs, steps)
        result: dict[str, Any] = {"planned": found.planned._asdict()}
    except BaseException as error:  # noqa: BLE001 - whatever it is, the training must not begin
        result = {"error": str(error) or repr(error)}
    path = Path(environ[RESULT])
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(result), encoding="utf-8")
    partial.replace(path)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if "planned" in result else 1)
