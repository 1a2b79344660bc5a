"""Checkpoints, early stopping, resuming."""

import inspect

import torch
from upstream.harness import Boom
from upstream.lightning_ways.trainers import WAYS, fit, loader, model, record, trainer

ENERGY = "carbon/energy_kwh"


def _checkpoint(place, **options):
    options.setdefault("dirpath", place.path / "checkpoints")
    return place.framework.callbacks.ModelCheckpoint(**options)


def _checkpoint_way(name, more=None, **options):
    @WAYS.way(name)
    def way(place):
        checkpoint = _checkpoint(place, **options)
        fit(place, checkpoint, enable_checkpointing=True, **(more or {}))
        return checkpoint.best_model_path, checkpoint.best_model_score, checkpoint.last_model_path


_checkpoint_way("checkpoints by the validation's loss", monitor="val_loss", save_top_k=2)
_checkpoint_way(
    "checkpoints by the training's loss", monitor="train_loss", save_on_train_epoch_end=True
)
_checkpoint_way("checkpoints every two steps", every_n_train_steps=2, save_top_k=-1)
_checkpoint_way(
    "checkpoints every second epoch", {"max_epochs": 4}, every_n_epochs=2, save_top_k=-1
)
_checkpoint_way("the last checkpoint beside the best", monitor="val_loss", save_last=True)
_checkpoint_way("the last checkpoint as a link", save_last="link")
_checkpoint_way("checkpoints of the weights alone", save_weights_only=True)
_checkpoint_way("no checkpoint at all", save_top_k=0)
_checkpoint_way(
    "checkpoints within an epoch", {"val_check_interval": 0.5}, monitor="val_loss", save_top_k=-1
)
_checkpoint_way("checkpoints at the end of each epoch", save_on_train_epoch_end=True, save_top_k=-1)
_checkpoint_way(
    "the loss in a checkpoint's name",
    monitor="val_loss",
    filename="{epoch}-{step}-{val_loss:.4f}",
)
_checkpoint_way(
    "the energy in a checkpoint's name",
    filename="{epoch}-{" + ENERGY + ":.1f}",
    auto_insert_metric_name=False,
)


@WAYS.way("checkpoints by the energy")
def checkpoints_by_energy(place):
    monitor = ENERGY if place.measured else "val_loss"
    more = {"filename": "{epoch}", "save_top_k": -1, "save_weights_only": True}
    fit(place, _checkpoint(place, monitor=monitor, **more), enable_checkpointing=True)


@WAYS.way("checkpoints by the energy within an epoch")
def checkpoints_by_energy_within(place):
    monitor = ENERGY if place.measured else "val_loss"
    more = {"filename": "{epoch}-{step}", "save_top_k": -1, "save_weights_only": True}
    checkpoint = _checkpoint(place, monitor=monitor, save_on_train_epoch_end=False, **more)
    fit(place, checkpoint, enable_checkpointing=True, val_check_interval=0.5)


@WAYS.way("checkpoints every two steps by the energy")
def checkpoints_by_energy_by_step(place):
    monitor = ENERGY if place.measured else "train_loss"
    more = {"filename": "{step}", "save_top_k": -1, "save_weights_only": True}
    checkpoint = _checkpoint(place, monitor=monitor, every_n_train_steps=2, **more)
    fit(place, checkpoint, enable_checkpointing=True)


@WAYS.way("two ModelCheckpoints")
def two_checkpoints(place):
    first = _checkpoint(place, monitor="val_loss", filename="best")
    second = _checkpoint(place, every_n_train_steps=3, filename="{step}", save_top_k=-1)
    fit(place, first, second, enable_checkpointing=True)


@WAYS.way("OnExceptionCheckpoint", raises="Boom")
def on_exception_checkpoint(place):
    kind = place.framework.callbacks.OnExceptionCheckpoint
    net = model(place)

    def at(what):
        if net.global_step == 3:
            raise place.error

    net.at = at
    fit(place, kind(place.path), net=net, enable_checkpointing=True)


@WAYS.way("OnExceptionCheckpoint where nothing raises")
def on_exception_checkpoint_first(place):
    kind = place.framework.callbacks.OnExceptionCheckpoint
    fit(place, kind(place.path), first=False, enable_checkpointing=True)


@WAYS.way("a checkpoint that is written by hand")
def checkpoint_by_hand(place):
    class Saves(place.framework.pl.Callback):
        def on_train_batch_end(self, made, *_):
            if made.global_step == 3:
                made.save_checkpoint(place.path / "three.ckpt")

    made = fit(place, Saves())
    made.save_checkpoint(place.path / "end.ckpt")
    made.save_checkpoint(place.path / "weights.ckpt", weights_only=True)


@WAYS.way("a checkpoint that is read with weights_only")
def read_weights_only(place):
    fit(place, _checkpoint(place, filename="one"), enable_checkpointing=True)
    read = torch.load(place.path / "checkpoints" / "one.ckpt", weights_only=True)
    return read["state_dict"], sorted(read)


@WAYS.way("checkpoints written by another thread")
def async_checkpoint(place):
    plugins = place.need(f"{place.framework.package}.plugins.io")
    plugin = plugins.AsyncCheckpointIO()
    checkpoint = _checkpoint(place, every_n_train_steps=2, save_top_k=-1)
    fit(place, checkpoint, enable_checkpointing=True, plugins=[plugin])
    written = sorted((place.path / "checkpoints").iterdir())
    for path in written:
        path.unlink()  # older versions write weights that are being trained already
    return written


@WAYS.way("load_from_checkpoint")
def load_from_checkpoint(place):
    made = fit(place)
    made.save_checkpoint(place.path / "end.ckpt")
    net = type(made.lightning_module).load_from_checkpoint(place.path / "end.ckpt")
    return net.state_dict()


@WAYS.way("early stopping by the validation's loss")
def early_stopping(place):
    stops = place.framework.callbacks.EarlyStopping("val_loss", patience=1, min_delta=0.05)
    fit(place, stops, max_epochs=8)
    return stops.stopped_epoch, stops.wait_count, stops.best_score


@WAYS.way("early stopping by the training's loss")
def early_stopping_on_training(place):
    stops = place.framework.callbacks.EarlyStopping(
        "train_loss", patience=0, min_delta=10.0, check_on_train_epoch_end=True
    )
    fit(place, stops, max_epochs=6)
    return stops.stopped_epoch


@WAYS.way("early stopping by a metric that is absent", raises="RuntimeError")
def early_stopping_on_absent(place):
    fit(place, place.framework.callbacks.EarlyStopping("absent"))


@WAYS.way("early stopping by a metric that is absent, not strictly")
def early_stopping_not_strict(place):
    fit(place, place.framework.callbacks.EarlyStopping("absent", strict=False))


@WAYS.way("early stopping by a loss that is no number")
def early_stopping_nan(place):
    net = model(place)
    net.net[0].weight.data.fill_(float("nan"))
    stops = place.framework.callbacks.EarlyStopping("val_loss")
    fit(place, stops, net=net, max_epochs=4)
    return stops.stopped_epoch


def _by_energy(name, *, first=True, on_epoch=None, **options):
    @WAYS.way(name)
    def way(place):
        monitor = ENERGY if place.measured else "val_loss"
        stops = place.framework.callbacks.EarlyStopping(
            monitor, patience=1000, check_on_train_epoch_end=on_epoch
        )
        fit(place, stops, first=first, max_epochs=3, **options)


_by_energy("early stopping by the energy")
_by_energy("early stopping by the energy, before ours in the list", first=False)
_by_energy("early stopping by the energy within an epoch", val_check_interval=0.5)
_by_energy("early stopping by the energy after each validation", on_epoch=False)
_by_energy("early stopping by the energy at the epochs' ends", on_epoch=True)
_by_energy("early stopping by the energy, validation every second epoch", check_val_every_n_epoch=2)
_by_energy("early stopping by the energy without training batches", limit_train_batches=0)


def _first_part(place, **options):
    """Train for an epoch; return the path of the checkpoint."""
    checkpoint = _checkpoint(place, filename="first", **options)
    made = trainer(
        place, checkpoint, ours=place.new_callbacks(), max_epochs=1, enable_checkpointing=True
    )
    made.fit(model(place), loader(shuffle=True), loader(8))
    return str(place.path / "checkpoints" / "first.ckpt")


@WAYS.way("a resumed training")
def resumed(place):
    fit(place, ckpt_path=_first_part(place), max_epochs=3)


@WAYS.way("a training resumed within an epoch")
def resumed_within_epoch(place):
    fit(place, ckpt_path=_first_part(place, every_n_train_steps=3), max_epochs=3)


@WAYS.way("a training resumed twice")
def resumed_twice(place):
    path = _first_part(place)
    checkpoint = _checkpoint(place, filename="second")
    fit(place, checkpoint, ckpt_path=path, max_epochs=2, enable_checkpointing=True)
    again = place.path / "checkpoints" / "second.ckpt"
    fit(place, ours=place.new_callbacks(), ckpt_path=again, max_epochs=3)


@WAYS.way("a training resumed by its checkpoint's last")
def resumed_by_last(place):
    checkpoint = _checkpoint(place, save_last=True)
    first = trainer(place, checkpoint, max_epochs=1, enable_checkpointing=True)
    first.fit(model(place), loader(shuffle=True), loader(8))
    more = {"enable_checkpointing": True, "ckpt_path": "last", "max_epochs": 2}
    fit(place, _checkpoint(place, save_last=True), ours=place.new_callbacks(), **more)


@WAYS.way("a training resumed when it is complete")
def resumed_when_complete(place):
    fit(place, ckpt_path=_first_part(place), max_epochs=1)


@WAYS.way("a training resumed with weights_only")
def resumed_weights_only(place):
    path = _first_part(place)
    made, net = trainer(place), model(place)
    if "weights_only" not in inspect.signature(made.fit).parameters:
        place.need("lightning", "a Trainer with weights_only")
    made.fit(net, loader(shuffle=True), loader(8), ckpt_path=path, weights_only=True)
    record(place, made, net)


@WAYS.way("a training resumed from a checkpoint without the callback")
def resumed_from_bare(place):
    checkpoint = _checkpoint(place, filename="first")
    first = trainer(place, checkpoint, ours=[], max_epochs=1, enable_checkpointing=True)
    first.fit(model(place), loader(shuffle=True), loader(8))
    fit(place, ckpt_path=place.path / "checkpoints" / "first.ckpt", max_epochs=3)


@WAYS.way("a training resumed without the callback from its checkpoint")
def resumed_bare(place):
    path, again = _first_part(place), _checkpoint(place, filename="first")
    fit(place, again, ours=[], ckpt_path=path, max_epochs=3, enable_checkpointing=True)


@WAYS.way("a training resumed after an exception")
def resumed_after_exception(place):
    kind = place.framework.callbacks.OnExceptionCheckpoint
    net = model(place)

    def at(what):
        if net.global_step == 3:
            raise place.error

    net.at = at
    made = trainer(place, kind(place.path, filename="failed"), enable_checkpointing=True)
    try:
        made.fit(net, loader(shuffle=True), loader(8))
    except Boom as error:
        assert error is place.error
    more = {"ckpt_path": place.path / "failed.ckpt", "max_epochs": 3}
    fit(place, ours=place.new_callbacks(), **more)


@WAYS.way("a test of the best checkpoint")
def test_of_best(place):
    checkpoint = _checkpoint(place, monitor="val_loss")
    made = fit(place, checkpoint, enable_checkpointing=True)
    results = made.test(dataloaders=loader(8), ckpt_path="best", verbose=False)
    return results, sorted(made.callback_metrics), sorted(made.logged_metrics)


@WAYS.way("a validation of a checkpoint by a new Trainer")
def validation_of_checkpoint(place):
    path = _first_part(place)
    made = trainer(place)
    results = made.validate(model(place), loader(8), ckpt_path=path, verbose=False)
    return results, sorted(made.callback_metrics), sorted(made.logged_metrics)
