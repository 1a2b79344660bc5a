"""Loggers, what modules log, and the callbacks that watch or show."""

import torch
from upstream.allowed import is_ours
from upstream.harness import Unavailable
from upstream.lightning_ways.trainers import WAYS, fit, model, record, trainer


@WAYS.way("CSVLogger")
def csv_logger(place):
    fit(place, logger=place.framework.loggers_module.CSVLogger(place.path))


@WAYS.way("TensorBoardLogger")
def tensorboard_logger(place):
    place.need("tensorboard")
    fit(place, logger=place.framework.loggers_module.TensorBoardLogger(place.path))


@WAYS.way("the default logger and checkpoints")
def default_logger(place):
    fit(place, logger=True, enable_checkpointing=True)


@WAYS.way("several loggers")
def several_loggers(place):
    made = place.framework.made
    loggers = [
        place.framework.loggers_module.CSVLogger(place.path),
        made.Recorder(place.log("one"), "one"),
        made.Recorder(place.log("two"), "two"),
    ]
    fit(place, logger=loggers)


@WAYS.way("no logger")
def no_logger(place):
    fit(place, logger=False)


@WAYS.way("an empty list of loggers")
def empty_loggers(place):
    fit(place, logger=[])


def _logger(place, **methods):
    """Return a logger with other methods."""
    kind = type("Own", (place.framework.made.Recorder,), methods)
    return kind(place.log("own"))


@WAYS.way("a logger with keyword arguments only")
def keyword_logger(place):
    def log_metrics(self, *, metrics, step):
        self._log.add(metrics, step)

    fit(place, logger=_logger(place, log_metrics=log_metrics))


@WAYS.way("a logger with other names of arguments")
def positional_logger(place):
    def log_metrics(self, metrics, step=None, **more):
        assert not more
        self._log.add(metrics, step)

    fit(place, logger=_logger(place, log_metrics=log_metrics))


@WAYS.way("a logger that raises", raises="Boom")
def logger_raises(place):
    def log_metrics(self, metrics, step):
        raise place.error

    fit(place, logger=_logger(place, log_metrics=log_metrics))


@WAYS.way("a logger that raises in finalize", raises="Boom")
def logger_raises_in_finalize(place):
    def finalize(self, status):
        raise place.error

    fit(place, logger=_logger(place, finalize=finalize))


@WAYS.way("a logger that knows its metrics only")
def strict_logger(place):
    def log_metrics(self, metrics, step):
        unknown = metrics.keys() - {"train_loss", "val_loss", "epoch"}
        if unknown:
            raise KeyError(f"unknown metrics: {sorted(unknown)[0]}")
        self._log.add(metrics, step)

    fit(place, logger=_logger(place, log_metrics=log_metrics))


@WAYS.way("a logger that is closed after finalize")
def closed_logger(place):
    def finalize(self, status):
        self.closed = True

    def log_metrics(self, metrics, step):
        assert not getattr(self, "closed", False), "the logger is closed"
        self._log.add(metrics, step)

    fit(place, logger=_logger(place, finalize=finalize, log_metrics=log_metrics))


@WAYS.way("how a logger is finalized")
def finalized_logger(place):
    calls = []

    def finalize(self, status):
        calls.append(status)

    fit(place, logger=_logger(place, finalize=finalize))
    return calls


@WAYS.way("hyperparameters in the logger")
def hyperparameters(place):
    class Hyper:
        def __init__(self, lr=0.05):
            super().__init__(lr=lr)
            self.save_hyperparameters()

    fit(place, net=model(place, Hyper), logger=place.framework.loggers_module.CSVLogger(place.path))


@WAYS.way("logging every three steps")
def log_every_three(place):
    fit(place, log_every_n_steps=3)


@WAYS.way("logging more seldom than there are batches")
def log_seldom(place):
    fit(place, log_every_n_steps=50)


@WAYS.way("logging never")
def log_never(place):
    fit(place, log_every_n_steps=0)


@WAYS.way("logging on step and epoch")
def log_step_and_epoch(place):
    class Logs:
        def training_step(self, batch, batch_idx):
            loss = self.loss("training_step", batch)
            self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True)
            return loss

        def on_train_epoch_end(self):
            self.log("end", 1.0)

        def on_validation_epoch_end(self):
            self.log_dict({"a": 1.0, "b": 2.0})

    fit(place, net=model(place, Logs))


@WAYS.way("a module that logs nothing")
def logs_nothing(place):
    class Silent:
        def training_step(self, batch, batch_idx):
            return self.loss("training_step", batch)

        def validation_step(self, batch, batch_idx):
            self.loss("validation_step", batch)

    fit(place, net=model(place, Silent))


@WAYS.way("a module whose log has other arguments")
def other_log(place):
    class Logs:
        def log(self, name, value):
            super().log(name, value, on_step=False, on_epoch=True)

    fit(place, net=model(place, Logs))


@WAYS.way("a module whose log adds a prefix")
def prefixing_log(place):
    seen = []

    class Logs:
        def log(self, name, value, **more):
            seen.append(name)
            super().log(f"my/{name}", value, **more)

    fit(place, net=model(place, Logs))
    return seen


@WAYS.way("a module whose log refuses unknown names")
def refusing_log(place):
    class Logs:
        def log(self, name, value, *args, **more):
            if name not in ("train_loss", "val_loss"):
                raise place.error
            super().log(name, value, *args, **more)

    fit(place, net=model(place, Logs))


@WAYS.way("a module that overrides log_dict")
def other_log_dict(place):
    class Logs:
        def log_dict(self, dictionary, prefix):
            for name, value in dictionary.items():
                self.log(f"{prefix}/{name}", value)

        def on_train_epoch_end(self):
            self.log_dict({"a": 1.0}, "end")

    fit(place, net=model(place, Logs))


@WAYS.way("a module that reads all callback_metrics")
def reads_metrics(place):
    read = []

    class Reads:
        def on_train_epoch_end(self):
            read.append(dict(self.trainer.callback_metrics))

        def on_train_end(self):
            read.append({k: v for k, v in self.trainer.callback_metrics.items() if not is_ours(k)})

        def on_validation_epoch_end(self):
            read.append(sorted(k for k in self.trainer.callback_metrics if not is_ours(k)))

    fit(place, net=model(place, Reads))
    return [
        {key: one[key] for key in one if not is_ours(key)} if isinstance(one, dict) else one
        for one in read
    ]


def _callbacks_way(name, make):
    @WAYS.way(name)
    def way(place):
        fit(place, *make(place.framework.callbacks))


_callbacks_way("LearningRateMonitor", lambda cb: [cb.LearningRateMonitor()])
_callbacks_way("Timer", lambda cb: [cb.Timer("00:01:00:00")])
_callbacks_way("LambdaCallback", lambda cb: [cb.LambdaCallback(on_train_start=lambda *_: None)])
_callbacks_way(
    "ModelCheckpoint and EarlyStopping and LearningRateMonitor",
    lambda cb: [
        cb.EarlyStopping("val_loss", patience=1),
        cb.LearningRateMonitor("step"),
        cb.ModelSummary(2),
    ],
)


class _Names:
    """A logger that keeps the names of the metrics, whose values are different each time."""

    def log_metrics(self, metrics, step):
        super().log_metrics(dict.fromkeys(metrics), step)


def _names(place):
    return type("Names", (_Names, place.framework.made.Recorder), {})(place.log("names"))


@WAYS.way("DeviceStatsMonitor")
def device_stats(place):
    monitor = place.framework.callbacks.DeviceStatsMonitor(cpu_stats=True)
    fit(place, monitor, logger=_names(place))
    place.seen.metrics.clear()


@WAYS.way("ThroughputMonitor")
def throughput_monitor(place):
    monitor = place.framework.callbacks.ThroughputMonitor(batch_size_fn=len)
    fit(place, monitor, logger=_names(place))


def _shows(bar):
    """Return a kind of progress bar that keeps what it shows of others."""

    class Keeps(bar):
        def __init__(self):
            super().__init__()
            self.shown = []

        def get_metrics(self, trainer, net):
            metrics = super().get_metrics(trainer, net)
            self.shown.append(sorted(name for name in metrics if not is_ours(name)))
            return metrics

    return Keeps()


@WAYS.way("TQDMProgressBar")
def tqdm_progress_bar(place):
    bar = _shows(place.framework.callbacks.TQDMProgressBar)
    fit(place, bar, enable_progress_bar=True)
    return bar.shown


@WAYS.way("RichProgressBar")
def rich_progress_bar(place):
    place.need("rich")
    bar = _shows(place.framework.callbacks.RichProgressBar)
    try:
        fit(place, bar, enable_progress_bar=True)
    except IndexError as error:
        if place.measured:
            raise
        raise Unavailable("this RichProgressBar does not work with this version of rich") from error
    return bar.shown


@WAYS.way("RichModelSummary")
def rich_model_summary(place):
    place.need("rich")
    fit(place, place.framework.callbacks.RichModelSummary())


@WAYS.way("the model's summary")
def model_summary(place):
    fit(place, enable_model_summary=True)


@WAYS.way("the simple profiler")
def simple_profiler(place):
    made = fit(place, profiler="simple")
    actions = made.profiler.recorded_durations
    return sorted(one for one in actions if "EmissionsCallback" not in one)


@WAYS.way("the advanced profiler")
def advanced_profiler(place):
    made = fit(place, profiler="advanced", max_epochs=1)
    actions = made.profiler.profiled_actions
    return sorted(one for one in actions if "EmissionsCallback" not in one)


@WAYS.way("a profiler of one's own that counts")
def counting_profiler(place):
    profilers = place.need(f"{place.framework.package}.profilers")
    actions = []

    class Counts(profilers.Profiler):
        def start(self, action_name):
            if "EmissionsCallback" not in action_name:
                actions.append(action_name)

        def stop(self, action_name):
            pass

    made = trainer(place, profiler=Counts())
    net = model(place)
    fit(place, trainer=made, net=net)
    record(place, made, net)
    return actions


@WAYS.way("metric objects that the module logs")
def metric_objects(place):
    torchmetrics = place.need("torchmetrics")

    class Measures:
        def __init__(self):
            super().__init__()
            self.mean = torchmetrics.MeanMetric()

        def validation_step(self, batch, batch_idx):
            self.mean(self.loss("validation_step", batch))
            self.log("val_loss", self.mean, on_epoch=True)

    fit(place, net=model(place, Measures))


@WAYS.way("random numbers drawn by the module's hooks")
def random_hooks(place):
    drawn = []

    class Draws:
        def on_train_epoch_start(self):
            drawn.append(torch.rand(1))

        def on_train_epoch_end(self):
            drawn.append(torch.rand(1))

        def on_train_end(self):
            drawn.append(torch.rand(1))

    fit(place, net=model(place, Draws))
    return drawn
