"""What the Trainer of transformers does not hand its callbacks: its list of them, and itself.

Both are up the stack when `on_init_end` is called: the handler calls it, and the Trainer is being made.
Where they cannot be found, everything else works.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# The handler's methods, and the Trainer's, lie no deeper.
_DEPTH = 8
WriteCard = Callable[[Path, str], None]


def caller_with(name: str, member: object = None) -> Any:
    """Return the nearest ``self`` up the stack that has an attribute.

    Args:
        name: The attribute.
        member: What the attribute, a list, holds; None if that does not matter.
    """
    frame = sys._getframe(1).f_back
    for _ in range(_DEPTH):
        if frame is None:
            return None
        caller = frame.f_locals.get("self")
        if hasattr(caller, name) and (member is None or _holds(getattr(caller, name), member)):
            return caller
        frame = frame.f_back
    return None


def _holds(members: object, member: object) -> bool:
    return isinstance(members, list) and member in members


def put_second(callbacks: list[Any], callback: Any) -> None:
    """Move a callback ahead of the reporters, which would otherwise log before it has added anything.

    The Trainer puts the user's callbacks last. Moving up within the list that is being iterated skips
    nobody: who follows stays put.
    """
    callbacks.remove(callback)
    callbacks.insert(1 if callbacks else 0, callback)


def add_to_cards(trainer: Any, write: WriteCard) -> None:
    """Have each model card that a Trainer writes amended; it writes them anew each time.

    Args:
        trainer: Gets a method of its own.
        write: Amends a ``README.md``, told whether the model was pre-trained or fine-tuned.
    """
    # A partial, unlike a closure, is copied together with the trainer.
    trainer.create_model_card = partial(_create_model_card, trainer, write)


def _create_model_card(trainer: Any, write: WriteCard, *args: Any, **kwargs: Any) -> None:
    type(trainer).create_model_card(trainer, *args, **kwargs)
    if trainer.is_world_process_zero():
        origin = getattr(getattr(trainer.model, "config", None), "_name_or_path", "")
        path = Path(trainer.args.output_dir) / "README.md"
        write(path, "fine-tuning" if origin else "pre-training")
