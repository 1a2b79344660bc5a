"""Methods that are taken or replaced in other ways."""

import inspect
from typing import Any

from transformers import Trainer
from upstream.harness import Place
from upstream.transformers_ways.trainers import WAYS, attempt, make, seen


@WAYS.way("methods called through the class")
def methods_through_the_class(place: Place) -> Any:
    trainer = make(place)
    return seen(place, trainer, Trainer.train(trainer), Trainer.evaluate(trainer))


@WAYS.way("bound methods taken early")
def bound_methods_taken_early(place: Place) -> Any:
    trainer = make(place)
    train, evaluate = trainer.train, trainer.evaluate
    return seen(place, trainer, train(), evaluate(), train())


@WAYS.way("methods replaced on the instance")
def methods_replaced(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    trainer.evaluate = lambda *args, **kwargs: {"eval_loss": 1.0}
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("methods replaced on the instance around the training")
def methods_replaced_around(place: Place) -> Any:
    trainer = make(place, eval_strategy="epoch")
    real, calls = trainer.evaluate, []

    def evaluate(*args: Any, **kwargs: Any) -> Any:
        calls.append(len(args))
        return real(*args, **kwargs)

    trainer.evaluate = evaluate
    first = trainer.train()
    del trainer.evaluate
    return seen(place, trainer, first, trainer.train(), trainer.evaluate(), calls)


@WAYS.way("methods replaced on the class later")
def methods_replaced_on_the_class(place: Place) -> Any:
    class Own(Trainer):
        pass

    trainer = make(place, kind=Own, eval_strategy="epoch")
    Own.evaluate = lambda self, *args, **kwargs: {"eval_loss": 1.0}
    return seen(place, trainer, trainer.train(), trainer.evaluate())


@WAYS.way("signatures of the methods")
def signatures(place: Place) -> Any:
    trainer = make(place)
    names = ("train", "evaluate", "predict", "create_model_card", "log")
    shapes = {name: str(inspect.signature(getattr(trainer, name))) for name in names}
    return seen(
        place, trainer, trainer.train(), shapes, [getattr(trainer, n).__name__ for n in names]
    )


@WAYS.way("wrong arguments of the methods")
def wrong_arguments(place: Place) -> Any:
    trainer = make(place)
    wrong = [
        attempt(trainer.train, unknown=1),
        attempt(trainer.evaluate, 1, 2, 3, 4, 5),
        attempt(trainer.predict),
        attempt(trainer.train, resume_from_checkpoint=True),
    ]
    return seen(place, trainer, wrong, trainer.train())
