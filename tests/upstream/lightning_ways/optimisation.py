"""Optimizers, schedules, averages, searches."""

import torch
from upstream.lightning_ways.trainers import OWN, SAMPLES, WAYS, fit, loader, model, record, trainer


def _net(place, configure, **attributes):
    """Return a model that configures its optimizers as given."""
    mixin = type("Configures", (), {"configure_optimizers": configure, **attributes})
    return model(place, mixin)


def _sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)


@WAYS.way("scheduler by epoch")
def scheduler_by_epoch(place):
    def configure(self):
        optimizer = _sgd(self)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

    fit(place, net=_net(place, configure))


@WAYS.way("scheduler by step")
def scheduler_by_step(place):
    def configure(self):
        optimizer = _sgd(self)
        total = self.trainer.estimated_stepping_batches
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=total)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    fit(place, net=_net(place, configure))


def _plateau(monitor, **more):
    def configure(self):
        optimizer = _sgd(self)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.5)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "monitor": monitor, **more},
        }

    return configure


@WAYS.way("scheduler by the validation's plateau")
def plateau_of_validation(place):
    fit(place, net=_net(place, _plateau("val_loss")), max_epochs=4)


@WAYS.way("scheduler by the training's plateau")
def plateau_of_training(place):
    fit(place, net=_net(place, _plateau("train_loss", interval="step")), max_epochs=3)


@WAYS.way("scheduler by a metric that is absent")
def plateau_of_absent(place):
    fit(place, net=_net(place, _plateau("absent", strict=False)))


@WAYS.way("scheduler by the energy")
def plateau_of_energy(place):
    monitor = "carbon/energy_kwh" if place.measured else "val_loss"
    scheduler = _plateau(monitor, frequency=1)

    def configure(self):
        configured = scheduler(self)
        configured["lr_scheduler"]["scheduler"].patience = 1000
        return configured

    fit(place, net=_net(place, configure))


@WAYS.way("LBFGS")
def lbfgs(place):
    fit(place, net=_net(place, lambda self: torch.optim.LBFGS(self.parameters(), lr=0.1)))


@WAYS.way("no optimizer")
def no_optimizer(place):
    fit(place, net=_net(place, lambda self: None))


class Manual:
    """Optimises by hand, the parts of the net by turns."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self):
        return [torch.optim.SGD(self.net[i].parameters(), lr=0.05) for i in (0, 2)]

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()[batch_idx % 2]
        optimizer.zero_grad()
        loss = self.loss("training_step", batch)
        self.manual_backward(loss)
        optimizer.step()
        self.log("train_loss", loss)


@WAYS.way("manual optimisation with two optimizers")
def manual_optimisation(place):
    fit(place, net=model(place, Manual))


@WAYS.way("manual optimisation with max_steps")
def manual_with_max_steps(place):
    fit(place, net=model(place, Manual), max_epochs=-1, max_steps=6)


@WAYS.way("optimizers outside of Lightning")
def optimizers_outside(place):
    class Outside(Manual):
        def configure_optimizers(self):
            return None

        def on_fit_start(self):
            self.own = torch.optim.SGD(self.parameters(), lr=0.05)

        def training_step(self, batch, batch_idx):
            self.own.zero_grad()
            loss = self.loss("training_step", batch)
            loss.backward()
            self.own.step()
            self.log("train_loss", loss)

    fit(place, net=model(place, Outside))


@WAYS.way("an optimizer_step of one's own")
def own_optimizer_step(place):
    class Warms:
        def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
            optimizer.param_groups[0]["lr"] = 0.01 * (self.trainer.global_step + 1)
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    fit(place, net=model(place, Warms))


@WAYS.way("gradients changed by a callback")
def gradients_changed(place):
    class Halves(place.framework.pl.Callback):
        def on_before_optimizer_step(self, trainer, net, optimizer):
            for parameter in net.parameters():
                parameter.grad *= 0.5

    fit(place, Halves())


@WAYS.way("StochasticWeightAveraging")
def stochastic_weight_averaging(place):
    average = place.framework.callbacks.StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1)
    fit(place, average, max_epochs=4)


@WAYS.way("EMA of the weights")
def ema(place):
    kind = place.need(f"{place.framework.package}.callbacks", "WeightAveraging")
    average = torch.optim.swa_utils.get_ema_avg_fn(0.9)
    fit(place, kind(avg_fn=average), max_epochs=3, enable_checkpointing=True)


@WAYS.way("GradientAccumulationScheduler")
def accumulation_scheduler(place):
    schedule = place.framework.callbacks.GradientAccumulationScheduler({0: 1, 1: 2})
    fit(place, schedule, max_epochs=3)


@WAYS.way("BackboneFinetuning")
def backbone_finetuning(place):
    class Named:
        def __init__(self):
            super().__init__()
            self.backbone = self.net[0]
            self.head = self.net[2]

        def configure_optimizers(self):
            return torch.optim.SGD(self.head.parameters(), lr=0.05)

    callback = place.framework.callbacks.BackboneFinetuning(1)
    fit(place, callback, net=model(place, Named), max_epochs=3)


@WAYS.way("ModelPruning")
def model_pruning(place):
    pruning = place.framework.callbacks.ModelPruning("l1_unstructured", amount=0.5)
    fit(place, pruning)


def _tuner(place):
    return place.need(f"{place.framework.package}.tuner", "Tuner")


@WAYS.way("Tuner searches a learning rate, then fit")
def tuner_lr_find(place):
    made, net = trainer(place), model(place)
    data = loader(96, shuffle=True)
    found = _tuner(place)(made).lr_find(net, data, num_training=20, min_lr=1e-3, max_lr=0.1)
    fit(place, trainer=made, net=net)
    return found.suggestion(), net.lr, found.results


@WAYS.way("Tuner searches a batch size, then fit")
def tuner_batch_size(place):
    class Sized:
        batch_size = 2

        def train_dataloader(self):
            return loader(SAMPLES, batch_size=self.batch_size)

        def val_dataloader(self):
            return loader(8)

    made, net = trainer(place), model(place, Sized)
    size = _tuner(place)(made).scale_batch_size(net, max_trials=2, steps_per_trial=1)
    fit(place, trainer=made, net=net, data=OWN)
    return size, net.batch_size


@WAYS.way("LearningRateFinder")
def learning_rate_finder(place):
    finder = place.framework.callbacks.LearningRateFinder(
        min_lr=1e-3, max_lr=0.1, num_training_steps=20
    )
    net = model(place)
    fit(place, finder, net=net, data=loader(96, shuffle=True))
    return net.lr, finder.optimal_lr.results


@WAYS.way("BatchSizeFinder")
def batch_size_finder(place):
    class Sized:
        batch_size = 2

        def train_dataloader(self):
            return loader(SAMPLES, batch_size=self.batch_size)

        def val_dataloader(self):
            return loader(8)

    finder = place.framework.callbacks.BatchSizeFinder(max_trials=2, steps_per_trial=1)
    net = model(place, Sized)
    fit(place, finder, net=net, data=OWN)
    return net.batch_size, finder.optimal_batch_size


@WAYS.way("pruning by Optuna")
def optuna_pruning(place):
    optuna = place.need("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    class Reports(place.framework.pl.Callback):
        def __init__(self, trial):
            self.trial = trial

        def on_validation_end(self, trainer, net):
            if trainer.sanity_checking:
                return
            self.trial.report(float(trainer.callback_metrics["val_loss"]), trainer.current_epoch)
            if self.trial.number == 2:
                raise optuna.TrialPruned("pruned")

    def objective(trial):
        net = model(place, lr=trial.suggest_float("lr", 0.01, 0.1))
        made = trainer(place, Reports(trial), ours=place.new_callbacks(), max_epochs=3)
        made.fit(net, loader(shuffle=True), loader(8))
        record(place, made, net)
        return float(made.callback_metrics["val_loss"])

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=4)
    return [(one.state, one.value, one.params, one.intermediate_values) for one in study.trials]
