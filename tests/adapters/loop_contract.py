"""What the adapters for loops get: the contract, with a loop that a user writes."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from adapters.shipped_contract import ShippedFramework, bytes_of
from torch.utils.data import DataLoader, Dataset

from carbon_callbacks._training.metrics import SLASH_PREFIX
from carbon_callbacks.testing import EPOCHS, TRAIN_BATCHES, VALIDATE_BATCHES, Outcome, nothing


class Samples(Dataset):
    """Pairs of a few numbers."""

    def __init__(self, count: int, on_batch: Any = nothing) -> None:
        numbers = torch.arange(count * 4, dtype=torch.float32).reshape(count, 4) / count
        self._samples, self._on_batch = numbers.sin(), on_batch

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> torch.Tensor:
        self._on_batch("load")
        return self._samples[index]


def network() -> torch.nn.Module:
    """Return a new model from the same seed, with a layer that draws random numbers."""
    torch.manual_seed(7)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))


def loader_of(batches: int, on_batch: Any = nothing, *, shuffle: bool = False) -> Any:
    """Return batches of two samples."""
    return DataLoader(Samples(2 * batches, on_batch), batch_size=2, shuffle=shuffle)


def loss_of(net: Any, batch: Any) -> Any:
    """Return the loss of a batch."""
    return (net(batch) - batch.sum(1, keepdim=True)).square().mean()


class Without:
    """A loop without a callback."""

    def epochs(self, count: int) -> Any:
        return range(count)

    def batches(self, loader: Any) -> Any:
        return loader

    def evaluation(self) -> Any:
        return contextlib.nullcontext()


class UserLoop:
    """A loop as a user writes it: a subclass sets up the model, and takes backward steps and logs.

    Attributes:
        logged: What was logged at the ends of epochs, without the prefix.
    """

    net: Any
    optimizer: Any
    loader: Any

    def __init__(self, energy: Any, hooks: list[Any], on_batch: Any, batches: int) -> None:
        self.energy, self._hooks, self.on_batch = energy or Without(), hooks, on_batch
        self.batches = batches
        self.logged: list[dict[str, float]] = []

    def backward(self, loss: Any) -> None:
        raise NotImplementedError

    def log(self, values: dict[str, Any], step: int) -> None:
        raise NotImplementedError

    def run(self, epochs: int = EPOCHS) -> None:
        """Train and validate, epoch by epoch."""
        seen = 0
        for epoch in self.energy.epochs(epochs):
            for batch in self.energy.batches(self.loader):
                self.on_batch("train")
                self.optimizer.zero_grad()
                self.backward(loss_of(self.net, batch))
                self.optimizer.step()
                seen += 1
                for hook in self._hooks if seen == 2 else ():
                    hook()
            with self.energy.evaluation():
                for batch in loader_of(VALIDATE_BATCHES):
                    self.on_batch("validate")
                    loss = loss_of(self.net, batch).item()
            self.log({"loss": loss}, epoch)

    def note(self, values: dict[str, Any]) -> None:
        """Keep what a logger received for an epoch."""
        names = [name for name in values if name.startswith(SLASH_PREFIX)]
        if names and "loss" in values:
            self.logged.append({name.removeprefix(SLASH_PREFIX): values[name] for name in names})


class LoopFramework(ShippedFramework):
    """A framework for loops.

    Attributes:
        loop_class: The loop of a user of it.
    """

    loop_class: type[UserLoop]

    def train(self, *callbacks, on_batch=nothing, epochs=EPOCHS, batches=TRAIN_BATCHES):
        ours = [one for one in callbacks if hasattr(one, "_training")]
        hooks = [one for one in callbacks if one not in ours]
        loop = self.loop_class(ours[0] if ours else None, hooks, on_batch, batches)
        self.fit(loop, epochs)
        return Outcome(bytes_of(loop.net.state_dict()), loop, loop.logged)

    def fit(self, loop: Any, epochs: int = EPOCHS) -> None:
        """Train with a loop as its framework does."""
        loop.run(epochs)

    def train_again(self, outcome):
        self.fit(outcome.trainer)

    def in_hook(self, act):
        return act
