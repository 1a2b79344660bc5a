"""Several runs of a Trainer, several Trainers, copies; Trainers that other programs make."""

import copy
import gc
import pickle
import sys
import threading
import weakref
from importlib import import_module

import torch
from upstream.allowed import is_ours
from upstream.lightning_ways.trainers import WAYS, fit, loader, model, record, trainer


def _names(made):
    return sorted(made.callback_metrics), sorted(made.logged_metrics)


@WAYS.way("fit, validate, test and predict")
def fit_and_evaluate(place):
    made = fit(place)
    net, returned = made.lightning_module, []
    for what in ("validate", "test"):
        returned += [getattr(made, what)(net, loader(8), verbose=False), _names(made)]
    returned += [made.predict(net, loader(8)), _names(made)]
    return returned


def _evaluation_alone(what):
    @WAYS.way(f"{what} alone")
    def way(place):
        made, net = trainer(place), model(place)
        quiet = {} if what == "predict" else {"verbose": False}
        returned = getattr(made, what)(net, loader(8), **quiet)
        record(place, made, net)
        return returned, _names(made)


for _what in ("validate", "test", "predict"):
    _evaluation_alone(_what)


@WAYS.way("validate of several loaders")
def validate_several(place):
    made, net = trainer(place), model(place)
    returned = made.validate(net, [loader(8), loader(4)], verbose=False)
    record(place, made, net)
    return returned, _names(made)


@WAYS.way("validate before fit")
def validate_before_fit(place):
    made, net = trainer(place), model(place)
    before = made.validate(net, loader(8), verbose=False)
    fit(place, trainer=made, net=net)
    return before


@WAYS.way("validate prints its table")
def validate_verbose(place):
    made, net = trainer(place), model(place)
    returned = made.validate(net, loader(8))
    record(place, made, net)
    return returned


@WAYS.way("PredictionWriter")
def prediction_writer(place):
    class Writes(place.framework.callbacks.BasePredictionWriter):
        def write_on_batch_end(self, made, net, prediction, indices, batch, batch_idx, loader_idx):
            torch.save(prediction, place.path / f"{batch_idx}.pt")

    made = trainer(place, Writes("batch"))
    net = model(place)
    returned = made.predict(net, loader(8), return_predictions=False)
    record(place, made, net)
    return returned


@WAYS.way("two fits with one Trainer")
def two_fits(place):
    made = fit(place)
    net = made.lightning_module
    made.fit_loop.max_epochs = 4
    fit(place, trainer=made, net=net)


@WAYS.way("two fits with one Trainer and two models")
def two_models(place):
    made = trainer(place, max_epochs=1)
    made.fit(model(place), loader(), loader(8))
    made.fit_loop.epoch_progress.reset()
    fit(place, trainer=made)


@WAYS.way("one callback in two Trainers by turns")
def two_trainers(place):
    one, two = trainer(place), trainer(place)
    first, second = model(place), model(place)
    one.fit(first, loader(shuffle=True), loader(8))
    two.fit(second, loader(shuffle=True), loader(8))
    one.fit_loop.max_epochs = two.fit_loop.max_epochs = 3
    one.fit(first, loader(shuffle=True), loader(8))
    two.fit(second, loader(shuffle=True), loader(8))
    record(place, two, second)
    return first.state_dict()


@WAYS.way("one list of callbacks for two Trainers")
def one_list(place):
    callbacks = place.callbacks
    counts = []
    for _ in range(2):
        made = trainer(place, callbacks=callbacks)
        fit(place, trainer=made)
        counts.append(len(callbacks) - len(place.callbacks))
    return counts


def _automatic(place):
    """Have every Trainer of the measured run be given an automatic callback."""
    if not place.measured:
        return
    place.monkeypatch.setenv("CARBON_CALLBACKS_AUTO", "1")
    place.monkeypatch.setenv("CODECARBON_LOG_LEVEL", "warning")
    automatic = import_module("carbon_callbacks._automatic")
    made_for = getattr(automatic, f"for_{place.framework.name}")
    connector = sys.modules[f"{place.framework.package}.trainer.connectors.callback_connector"]
    place.monkeypatch.setattr(connector, "_load_external_callbacks", lambda group: made_for())


@WAYS.way("every Trainer, by the environment")
def automatic(place):
    _automatic(place)
    made = fit(place, ours=[])
    return made.validate(made.lightning_module, loader(8), verbose=False)


@WAYS.way("every Trainer, by the environment, and the callback in one of them")
def automatic_and_given(place):
    _automatic(place)
    fit(place)


@WAYS.way("one list of callbacks for two Trainers, by the environment")
def automatic_one_list(place):
    _automatic(place)
    callbacks = [place.framework.callbacks.Timer("00:01:00:00")]
    for _ in range(2):
        fit(place, trainer=trainer(place, callbacks=callbacks))
    return [type(one) for one in callbacks if "carbon" not in type(one).__module__]


@WAYS.way("one list with the callback for two Trainers, by the environment")
def automatic_one_list_given(place):
    _automatic(place)
    callbacks = [*place.callbacks]
    for _ in range(2):
        fit(place, trainer=trainer(place, callbacks=callbacks))


@WAYS.way("the callback alone instead of a list")
def alone(place):
    fit(place, trainer=trainer(place, callbacks=place.callbacks[0] if place.callbacks else None))


@WAYS.way("the callback after others")
def after_others(place):
    callbacks = place.framework.callbacks
    stops = callbacks.EarlyStopping("val_loss", patience=5)
    fit(place, callbacks.LearningRateMonitor(), stops, first=False)


@WAYS.way("the callback from configure_callbacks")
def configure_callbacks(place):
    given = place.callbacks

    class Configures:
        def configure_callbacks(self):
            return given

    fit(place, net=model(place, Configures), ours=[])


@WAYS.way("the callback removed within the training")
def removed(place):
    class Removes(place.framework.pl.Callback):
        def on_train_batch_end(self, made, *_):
            if made.global_step == 2:
                made.callbacks = [
                    one for one in made.callbacks if "carbon" not in type(one).__module__
                ]

    fit(place, Removes())


@WAYS.way("the callback added within the training")
def added(place):
    given = place.callbacks

    class Adds(place.framework.pl.Callback):
        def on_train_epoch_start(self, made, *_):
            made.callbacks += [one for one in given if one not in made.callbacks]

    fit(place, Adds(), ours=[])


@WAYS.way("a shallow copy of the Trainer")
def shallow_copy(place):
    made = trainer(place)
    copied = copy.copy(made)
    fit(place, trainer=made)
    return sorted(vars(copied).keys() ^ vars(made).keys())


@WAYS.way("a deep copy of the Trainer, before fit")
def deep_copy_before(place):
    made = trainer(place, logger=False)
    fit(place, trainer=copy.deepcopy(made))
    fit(place, trainer=made)


@WAYS.way("a deep copy of the Trainer, after fit")
def deep_copy_after(place):
    made = fit(place, logger=False)
    copied = copy.deepcopy(made)
    return copied.current_epoch, copied.global_step, copied.callback_metrics.get("val_loss")


@WAYS.way("a deep copy of the Trainer within fit")
def deep_copy_within(place):
    class Copies(place.framework.pl.Callback):
        def on_train_epoch_end(self, made, *_):
            copy.deepcopy(made.callback_metrics)
            copy.deepcopy([one for one in made.callbacks if one is not self])

    fit(place, Copies(), logger=False)


@WAYS.way("a copy and a pickle of the model after fit")
def model_copies(place):
    net = fit(place, logger=False).lightning_module
    copied = copy.deepcopy(net)
    torch.save(net.net, place.path / "net.saved")
    return copied.state_dict()


@WAYS.way("a pickled callback")
def pickled_callback(place):
    fit(place, ours=pickle.loads(pickle.dumps(place.callbacks)))


@WAYS.way("a copied callback after fit")
def copied_callback(place):
    fit(place)
    pickle.dumps(place.callbacks)
    fit(place, ours=copy.deepcopy(place.callbacks))


@WAYS.way("a callback that is kept releases the model")
def kept_callback(place):
    kept = place.callbacks or [place.framework.pl.Callback()]
    made = trainer(place, callbacks=kept)
    net = model(place)
    made.fit(net, loader(shuffle=True), loader(8))
    references = weakref.ref(made), weakref.ref(net)
    del made, net
    gc.collect()
    return [one() is None for one in references]


@WAYS.way("a fit in another thread")
def another_thread(place):
    raised = []

    def run():
        try:
            fit(place)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised


@WAYS.way("a fit within a fit")
def nested(place):
    inner = []

    class Nests:
        def on_train_epoch_end(self):
            net = model(place)
            made = trainer(place, ours=place.new_callbacks(), max_epochs=1, logger=False)
            made.fit(net, loader(), loader(8))
            inner.append({k: v for k, v in made.callback_metrics.items() if not is_ours(k)})

    fit(place, net=model(place, Nests))
    return inner


@WAYS.way("a search with new Trainers and one callback")
def search(place):
    returned = []
    for lr in (0.01, 0.05, 0.1):
        made = fit(place, net=model(place, lr=lr))
        returned.append(made.callback_metrics["val_loss"])
    return returned


@WAYS.way("DDP with one process")
def ddp(place):
    place.monkeypatch.setenv("MASTER_PORT", "0")
    try:
        fit(place, strategy="ddp")
    finally:
        torch.distributed.destroy_process_group()


@WAYS.way("DDP with two processes")
def ddp_of_two(place):
    place.monkeypatch.setenv("OMP_NUM_THREADS", "1")
    fit(place, strategy="ddp_fork", devices=2, logger=False)


@WAYS.way("two of our callbacks")
def two_of_ours(place):
    ours = [place.framework.new_callback(name=name) for name in "ab"] if place.measured else []
    fit(place, ours=ours)


@WAYS.way("a budget that is not spent")
def budget(place):
    ours = [place.framework.new_callback(budget_kwh=1000)] if place.measured else []
    fit(place, ours=ours, max_epochs=3)


@WAYS.way("no energy in the progress bar")
def progress_bar(place):
    ours = [place.framework.new_callback(progress_bar=False)] if place.measured else []
    bar = place.framework.callbacks.TQDMProgressBar()
    fit(place, bar, ours=ours, enable_progress_bar=True)
    assert not [name for name in place.seen.metrics["progress_bar"] if "carbon" in name]


@WAYS.way("the command line of Lightning, which makes the Trainer")
def command_line(place):
    place.need("jsonargparse")
    cli = place.need(f"{place.framework.package}.cli", "LightningCLI")
    made = _cli(place, cli, {"callbacks": place.callbacks}, [])
    record(place, made.trainer, made.model)


@WAYS.way("the command line of Lightning, which makes the callback")
def command_line_callback(place):
    place.need("jsonargparse")
    cli = place.need(f"{place.framework.package}.cli", "LightningCLI")
    ours = f"carbon_callbacks.{place.framework.name}.EmissionsCallback"
    given = [f"--trainer.callbacks={ours}"] if place.measured else []
    place.monkeypatch.setenv("CODECARBON_LOG_LEVEL", "warning")
    made = _cli(place, cli, {}, given)
    record(place, made.trainer, made.model)


def _cli(place, cli, defaults, arguments):
    class Data(place.framework.pl.LightningDataModule):
        def train_dataloader(self):
            return loader(shuffle=True)

        def val_dataloader(self):
            return loader(8)

    place.monkeypatch.setattr(sys, "argv", ["program"])
    net = type("Net", (place.framework.made.Model,), {})
    options = ["--trainer.max_epochs=2", "--trainer.logger=false", "--trainer.accelerator=cpu"]
    quiet = ["--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={place.path}"]
    return cli(
        net,
        Data,
        trainer_defaults={"enable_model_summary": False, **defaults},
        save_config_callback=None,
        args=["fit", *options, *quiet, *arguments],
    )


def _fabric(place):
    name = "lightning.fabric" if place.framework.name == "lightning" else "lightning_fabric"
    return place.need(name, "Fabric")(accelerator="cpu", devices=1, callbacks=place.callbacks)


@WAYS.way("Fabric that calls hooks with arguments of its own")
def fabric_own_arguments(place):
    fabric = _fabric(place)
    for hook in ("on_fit_start", "on_train_epoch_start", "on_train_epoch_end", "on_fit_end"):
        fabric.call(hook, results={"loss": 1.0}, model=None)


@WAYS.way("Fabric that calls hooks with a trainer of its own")
def fabric_own_trainer(place):
    class Loop:
        def __init__(self):
            self.current_epoch = 0

    fabric, loop = _fabric(place), Loop()
    net = torch.nn.Linear(4, 1)
    net, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=0.05))
    fabric.call("on_fit_start", loop, net)
    fabric.call("on_train_epoch_start", trainer=loop, pl_module=net)
    for index, batch in enumerate(loader()):
        fabric.call("on_train_batch_start", loop, net, batch, index)
        loss = net(batch).square().mean()
        fabric.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        fabric.call("on_train_batch_end", loop, net, loss, batch, index)
    fabric.call("on_train_epoch_end", trainer=loop, pl_module=net)
    fabric.call("on_train_end", loop, net)
    place.seen.weights["net"] = net.state_dict()
