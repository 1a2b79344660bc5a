"""Limits of a training, and kinds of data."""

from typing import NamedTuple

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, WeightedRandomSampler
from upstream.lightning_ways.trainers import OWN, WAYS, Samples, fit, loader, model


@WAYS.way("max_epochs")
def max_epochs(place):
    fit(place, max_epochs=3)


@WAYS.way("no epoch")
def no_epoch(place):
    fit(place, max_epochs=0)


@WAYS.way("max_steps")
def max_steps(place):
    fit(place, max_epochs=-1, max_steps=6)


@WAYS.way("min_epochs and a callback that stops early")
def min_epochs(place):
    class Stops(place.framework.pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.global_step >= 2

    fit(place, Stops(), min_epochs=2, max_epochs=4)


@WAYS.way("max_time")
def max_time(place):
    fit(place, max_time="00:01:00:00")


@WAYS.way("limits of batches as numbers")
def limit_batches(place):
    fit(place, limit_train_batches=3, limit_val_batches=1)


@WAYS.way("limits of batches as fractions")
def limit_fractions(place):
    fit(place, limit_train_batches=0.5, limit_val_batches=0.5)


@WAYS.way("no training batches")
def no_training_batches(place):
    fit(place, limit_train_batches=0)


@WAYS.way("no validation batches")
def no_validation_batches(place):
    fit(place, limit_val_batches=0)


@WAYS.way("overfit_batches")
def overfit_batches(place):
    fit(place, overfit_batches=2)


@WAYS.way("fast_dev_run")
def fast_dev_run(place):
    fit(place, fast_dev_run=True)


@WAYS.way("fast_dev_run of three batches")
def fast_dev_run_of_three(place):
    fit(place, fast_dev_run=3)


@WAYS.way("no sanity check")
def no_sanity_check(place):
    fit(place, num_sanity_val_steps=0)


@WAYS.way("whole validation as sanity check")
def whole_sanity_check(place):
    fit(place, num_sanity_val_steps=-1)


@WAYS.way("validation twice per epoch")
def val_check_fraction(place):
    fit(place, val_check_interval=0.5)


@WAYS.way("validation every three batches")
def val_check_batches(place):
    fit(place, val_check_interval=3)


@WAYS.way("validation across epochs")
def val_check_across_epochs(place):
    fit(place, check_val_every_n_epoch=None, val_check_interval=3)


@WAYS.way("validation every second epoch")
def val_every_second_epoch(place):
    fit(place, check_val_every_n_epoch=2, max_epochs=4)


@WAYS.way("gradient accumulation")
def gradient_accumulation(place):
    fit(place, accumulate_grad_batches=2)


@WAYS.way("barebones")
def barebones(place):
    fit(place, barebones=True)


@WAYS.way("detect_anomaly")
def detect_anomaly(place):
    fit(place, detect_anomaly=True)


@WAYS.way("deterministic")
def deterministic(place):
    place.monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        fit(place, deterministic=True)
    finally:
        torch.use_deterministic_algorithms(False)


@WAYS.way("double precision")
def double_precision(place):
    fit(place, precision="64-true")


@WAYS.way("mixed precision")
def mixed_precision(place):
    fit(place, precision="bf16-mixed")


@WAYS.way("without inference_mode")
def without_inference_mode(place):
    fit(place, inference_mode=False)


@WAYS.way("clipping of gradient norms")
def clip_norm(place):
    fit(place, gradient_clip_val=0.1)


@WAYS.way("clipping of gradient values")
def clip_value(place):
    fit(place, gradient_clip_val=0.1, gradient_clip_algorithm="value")


@WAYS.way("data loaders made anew each epoch")
def reload_dataloaders(place):
    made = []

    class Loads:
        def train_dataloader(self):
            made.append(self.current_epoch)
            return loader(shuffle=True)

        def val_dataloader(self):
            return loader(8)

    net = model(place, Loads)
    fit(place, net=net, data=OWN, reload_dataloaders_every_n_epochs=1)
    return made


@WAYS.way("data module")
def data_module(place):
    called = []

    class Data(place.framework.pl.LightningDataModule):
        def prepare_data(self):
            called.append("prepare_data")

        def setup(self, stage):
            called.append(f"setup {stage}")

        def train_dataloader(self):
            return loader(shuffle=True)

        def val_dataloader(self):
            return loader(8)

        def teardown(self, stage):
            called.append(f"teardown {stage}")

    fit(place, data=Data())
    return called


class Stream(IterableDataset):
    """Samples without a number."""

    def __iter__(self):
        return iter(Samples())


class CountedStream(Stream):
    """Samples with a number."""

    def __len__(self):
        return 16


class RefusesToCount(Samples):
    """Samples whose number is known during the iteration only."""

    def __len__(self):
        raise TypeError("the number of samples is not known")


@WAYS.way("iterable data without a length")
def iterable_data(place):
    fit(place, data=DataLoader(Stream(), batch_size=4))


@WAYS.way("iterable data with a length")
def iterable_data_with_length(place):
    fit(place, data=DataLoader(CountedStream(), batch_size=4))


@WAYS.way("a data set whose length raises")
def length_raises(place):
    sampler = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    fit(place, data=DataLoader(RefusesToCount(), batch_sampler=sampler))


@WAYS.way("a data set whose length raises, with a sampler")
def length_raises_with_sampler(place):
    fit(place, data=DataLoader(RefusesToCount(), batch_size=4, sampler=list(range(16))))


@WAYS.way("several validation loaders")
def several_validation_loaders(place):
    fit(place, data=(loader(shuffle=True), [loader(8), loader(4)]))


class TakesApart:
    """Trains on the first part of a batch that is a dictionary or a sequence."""

    def loss(self, what, batch):
        part = batch
        while not isinstance(part, torch.Tensor):
            part = next(iter(part.values() if isinstance(part, dict) else part))
        return super().loss(what, part)


@WAYS.way("several training loaders in a dictionary")
def dictionary_of_loaders(place):
    data = {"a": loader(shuffle=True), "b": loader(8)}
    fit(place, net=model(place, TakesApart), data=data)


@WAYS.way("CombinedLoader that ends with the shortest")
def combined_loader_min(place):
    combined = place.need(f"{place.framework.package}.utilities", "CombinedLoader")
    fit(place, net=model(place, TakesApart), data=combined([loader(), loader(8)], "min_size"))


@WAYS.way("CombinedLoader one after the other")
def combined_loader_sequential(place):
    combined = place.need(f"{place.framework.package}.utilities", "CombinedLoader")

    class Three(TakesApart):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            super().validation_step(batch, batch_idx, dataloader_idx)

    validate = combined([loader(8), loader(4)], "sequential")
    fit(place, net=model(place, Three), data=(loader(shuffle=True), validate))


@WAYS.way("an iterable of batches instead of a loader")
def iterable_of_batches(place):
    class Batches:
        def __iter__(self):
            return iter([torch.ones(4, 4), torch.zeros(2, 4), torch.ones(3, 4)])

    fit(place, data=Batches())


class Pair(NamedTuple):
    """A batch with names."""

    x: torch.Tensor
    y: torch.Tensor


class Sample:
    """A sample as an object of its user's."""

    def __init__(self, x):
        self.x = x


@WAYS.way("batches as dictionaries")
def dictionary_batches(place):
    def collate(samples):
        return {"x": torch.stack(samples), "label": torch.zeros(len(samples))}

    fit(place, net=model(place, TakesApart), data=(loader(collate_fn=collate), loader(8)))


@WAYS.way("batches as named tuples")
def named_tuple_batches(place):
    def collate(samples):
        return Pair(torch.stack(samples), torch.zeros(len(samples)))

    fit(place, net=model(place, TakesApart), data=(loader(collate_fn=collate), loader(8)))


@WAYS.way("batches as lists of objects")
def object_batches(place):
    class TakesObjects:
        def loss(self, what, batch):
            if isinstance(batch, list):
                batch = torch.stack([sample.x for sample in batch])
            return super().loss(what, batch)

        def training_step(self, batch, batch_idx):
            loss = self.loss("training_step", batch)
            self.log("train_loss", loss, batch_size=len(batch))
            return loss

    data = loader(collate_fn=lambda samples: [Sample(one) for one in samples])
    fit(place, net=model(place, TakesObjects), data=data)


@WAYS.way("drop_last")
def drop_last(place):
    fit(place, data=loader(15, drop_last=True, shuffle=True))


@WAYS.way("an incomplete last batch")
def incomplete_last_batch(place):
    fit(place, data=loader(15, shuffle=True))


@WAYS.way("WeightedRandomSampler")
def weighted_sampler(place):
    sampler = WeightedRandomSampler(torch.arange(1, 17).float(), num_samples=12)
    fit(place, data=loader(sampler=sampler))


@WAYS.way("a batch sampler of one's own")
def batch_sampler(place):
    class Backwards(BatchSampler):
        def __iter__(self):
            return reversed(list(super().__iter__()))

    sampler = Backwards(range(16), batch_size=3, drop_last=False)
    fit(place, data=DataLoader(Samples(), batch_sampler=sampler))


@WAYS.way("batches made by the data set")
def batch_size_none(place):
    class TakesSamples:
        def loss(self, what, batch):
            return super().loss(what, batch.reshape(-1, 4))

    fit(place, net=model(place, TakesSamples), data=DataLoader(Samples(), batch_size=None))


@WAYS.way("a data loader with a worker process")
def worker_process(place):
    fit(place, data=loader(shuffle=True, num_workers=1))


@WAYS.way("a data loader with a worker process that stays")
def persistent_worker(place):
    data = loader(shuffle=True, num_workers=1, persistent_workers=True)
    fit(place, data=data)


@WAYS.way("training_step takes the iterator")
def takes_iterator(place):
    class TakesIterator:
        def training_step(self, dataloader_iter):
            batch, _, _ = next(dataloader_iter)
            loss = self.loss("training_step", batch)
            self.log("train_loss", loss, batch_size=4)
            return loss

    fit(place, net=model(place, TakesIterator))


@WAYS.way("training_step skips batches")
def skips_batches(place):
    class Skips:
        def training_step(self, batch, batch_idx):
            return None if batch_idx == 1 else super().training_step(batch, batch_idx)

    fit(place, net=model(place, Skips))


@WAYS.way("on_train_batch_start ends the epoch")
def ends_epoch(place):
    class Ends:
        def on_train_batch_start(self, batch, batch_idx):
            return -1 if batch_idx == 2 else None

    fit(place, net=model(place, Ends))


@WAYS.way("without a validation step")
def without_validation(place):
    net = model(place)
    type_without = type("Model", (type(net),), {"validation_step": None})
    base = place.framework.pl.LightningModule.validation_step
    type_without.validation_step = base
    fit(place, net=type_without())


@WAYS.way("a training without an end, stopped by a callback")
def without_end(place):
    class Stops(place.framework.pl.Callback):
        def on_train_epoch_end(self, trainer, *_):
            trainer.should_stop = trainer.current_epoch == 2

    fit(place, Stops(), max_epochs=-1)
