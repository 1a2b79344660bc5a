"""Trainings that raise, are interrupted, or are stopped."""

import signal

import torch
from upstream.harness import Boom
from upstream.lightning_ways.trainers import (
    WAYS,
    Samples,
    fit,
    loader,
    model,
    record,
    trainer,
)


def _raises_in(step, after=1, error=None):
    """Return a way that raises in a step of the model, after that step has come a few times."""

    def way(place):
        net, times = model(place), []

        def at(what):
            times.append(what)
            if times.count(step) > after:
                raise place.error if error is None else error()

        net.at = at
        fit(place, net=net)

    return way


WAYS.way("an exception in training_step", raises="Boom")(_raises_in("training_step"))
WAYS.way("an exception in the first training_step", raises="Boom")(_raises_in("training_step", 0))
WAYS.way("an exception in the second epoch", raises="Boom")(_raises_in("training_step", 5))
WAYS.way("an exception in the sanity check", raises="Boom")(_raises_in("validation_step", 0))
WAYS.way("an exception in validation_step", raises="Boom")(_raises_in("validation_step", 3))
WAYS.way("KeyboardInterrupt in training_step", raises="SystemExit")(
    _raises_in("training_step", error=KeyboardInterrupt)
)
WAYS.way("KeyboardInterrupt in validation_step", raises="SystemExit")(
    _raises_in("validation_step", 3, KeyboardInterrupt)
)
WAYS.way("SystemExit in training_step", raises="SystemExit")(
    _raises_in("training_step", error=lambda: SystemExit(3))
)
WAYS.way("StopIteration in training_step")(_raises_in("training_step", error=StopIteration))
WAYS.way("out of memory in training_step", raises="OutOfMemoryError")(
    _raises_in("training_step", error=lambda: torch.OutOfMemoryError("CUDA out of memory"))
)


class Unprintable(Exception):
    """An exception that cannot be shown."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


@WAYS.way("an exception without a text")
def unprintable(place):
    try:
        _raises_in("training_step", error=Unprintable)(place)
    except Unprintable as error:
        return type(error)


@WAYS.way("SIGTERM within a training", raises="SIGTERMException")
def sigterm(place):
    net = model(place)

    def at(what):
        if what == "training_step" and net.global_step == 2:
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
            signal.raise_signal(signal.SIGTERM)

    net.at = at
    fit(place, net=net)


@WAYS.way("an exception in a data set", raises="Boom")
def exception_in_data(place):
    class Breaks(Samples):
        def __getitem__(self, index):
            if index == 9:
                raise place.error
            return super().__getitem__(index)

    fit(place, data=torch.utils.data.DataLoader(Breaks(), batch_size=4))


@WAYS.way("an exception in a worker process of a data loader")
def exception_in_worker(place):
    class Breaks(Samples):
        def __getitem__(self, index):
            if index == 9:
                raise ValueError("nine")
            return super().__getitem__(index)

    data = torch.utils.data.DataLoader(Breaks(), batch_size=4, num_workers=1)
    try:
        fit(place, data=data)
    except ValueError as error:
        return type(error)


def _raises_in_hook(hook):
    @WAYS.way(f"an exception in {hook} of the module", raises="Boom")
    def way(place):
        def fails(self, *_, **__):
            raise place.error

        fit(place, net=model(place, type("Raises", (), {hook: fails})))


for _hook in (
    "configure_optimizers",
    "configure_callbacks",
    "setup",
    "on_fit_start",
    "on_train_start",
    "on_train_epoch_start",
    "on_train_epoch_end",
    "on_validation_epoch_end",
    "on_train_end",
    "on_fit_end",
    "teardown",
    "on_after_backward",
):
    _raises_in_hook(_hook)


def _raises_in_callback(hook, where, *, first):
    @WAYS.way(f"an exception in {hook} of a callback {where}", raises="Boom")
    def way(place):
        def fails(self, *_, **__):
            raise place.error

        other = type("Fails", (place.framework.pl.Callback,), {hook: fails})()
        fit(place, other, first=first)


for _hook in ("setup", "on_train_batch_end", "on_train_epoch_end", "on_train_end", "teardown"):
    _raises_in_callback(_hook, "before ours", first=False)
    _raises_in_callback(_hook, "after ours", first=True)


def _raises_on_exception(where, *, first):
    @WAYS.way(f"a callback {where} that raises in on_exception", raises="ValueError")
    def way(place):
        class Hides(place.framework.pl.Callback):
            def on_exception(self, *_):
                raise ValueError("another one")

        net = model(place)

        def at(what):
            if net.global_step == 2:
                raise place.error

        net.at = at
        fit(place, Hides(), net=net, first=first)


_raises_on_exception("before ours", first=False)
_raises_on_exception("after ours", first=True)


@WAYS.way("a callback that sees the exception")
def sees_exception(place):
    seen = []

    class Sees(place.framework.pl.Callback):
        def on_exception(self, made, net, exception):
            seen.append((exception is place.error, made.state.status, made.interrupted))

    try:
        _raises_with(place, Sees())
    except Boom:
        return seen


def _raises_with(place, *callbacks):
    net = model(place)

    def at(what):
        if net.global_step == 2:
            raise place.error

    net.at = at
    fit(place, *callbacks, net=net)


@WAYS.way("another fit after one that failed")
def fit_after_failure(place):
    net = model(place)

    def at(what):
        if net.global_step == 2:
            raise place.error

    net.at = at
    made = trainer(place)
    try:
        made.fit(net, loader(shuffle=True), loader(8))
    except Boom:
        net.at = None
    fit(place, trainer=made, net=net)


@WAYS.way("another Trainer after one that failed, with the same callback")
def trainer_after_failure(place):
    try:
        _raises_with(place)
    except Boom:
        fit(place)


def _evaluation_raises(what, step):
    @WAYS.way(f"an exception in {what}", raises="Boom")
    def way(place):
        net = model(place)

        def at(where):
            if where == step:
                raise place.error

        net.at = at
        made = trainer(place)
        try:
            getattr(made, what)(net, loader(8))
        finally:
            record(place, made, net)


_evaluation_raises("validate", "validation_step")
_evaluation_raises("test", "test_step")
_evaluation_raises("predict", "predict_step")


@WAYS.way("a model that lacks training_step", raises="MisconfigurationException")
def lacks_training_step(place):
    class Lacks(place.framework.pl.LightningModule):
        def forward(self, x):
            return x

    fit(place, net=Lacks())


@WAYS.way("a learning rate that is infinite")
def loss_is_nan(place):
    fit(place, net=model(place, lr=float("inf")))


@WAYS.way("should_stop set within an epoch")
def should_stop(place):
    class Stops(place.framework.pl.Callback):
        def on_train_batch_end(self, made, net, outputs, batch, batch_idx):
            if made.global_step == 2:
                made.should_stop = True

    fit(place, Stops(), max_epochs=4)


@WAYS.way("should_stop set by the model's validation")
def should_stop_in_validation(place):
    class Stops:
        def on_validation_epoch_end(self):
            if not self.trainer.sanity_checking:
                self.trainer.should_stop = True

    fit(place, net=model(place, Stops), max_epochs=4)
