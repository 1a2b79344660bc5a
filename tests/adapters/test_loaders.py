"""How many samples a batch and an epoch have."""
# ruff: noqa: E402 - without torch, nothing below can be imported

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from carbon_callbacks._training.loaders import batch_sampler_of, samples_in, size_of


class Stream(IterableDataset):
    """Samples without end."""

    def __iter__(self):
        return iter(range(9))


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.zeros(3, 4), 3),
        (torch.tensor(1.0), None),
        ({"ids": torch.zeros(5, 4), "mask": torch.zeros(5, 4)}, 5),
        ([torch.zeros(6, 4), torch.zeros(6)], 6),
        ((torch.zeros(3, 8, 8), torch.zeros(3, 8, 8)), None),  # may be two images of three channels
        ([torch.zeros(3, 8, 8), torch.zeros(2)], None),
        ([{"boxes": torch.zeros(7, 4)}], None),
        (["text", "more text"], None),
        (object(), None),
        ([], None),
    ],
)
def test_the_size_of_a_batch_is_known_or_not_guessed(batch, size):
    assert size_of(batch) == size


@pytest.mark.parametrize(
    ("batches", "drop_last", "samples"),
    [(0, False, 0), (2, False, 4), (5, False, 9), (9, False, 9), (4, True, 8), (9, True, 8)],
)
def test_samples_in_the_first_batches_of_an_epoch(batches, drop_last, samples):
    loader = DataLoader(range(9), batch_size=2, drop_last=drop_last)
    assert samples_in(batches, batch_sampler_of(loader)) == samples


class Own(BatchSampler):
    """A sampler whose batches may have any size."""


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(Stream(), batch_size=2),
        DataLoader(range(9), batch_sampler=Own(range(9), 2, drop_last=False)),
        DataLoader(range(9), batch_size=None),
        [1, 2, 3],
        None,
    ],
)
def test_other_loaders_tell_nothing(loader):
    assert batch_sampler_of(loader) is None
