"""How many samples a batch and an epoch have."""
# ruff: noqa: E402 - without torch, nothing below can be imported

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from carbon_callbacks._training.loaders import SampleCount, batch_sampler_of, samples_in, size_of


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


def of_data(loader, ranks=1):
    """Return the samples of the data after one batch of the loader."""
    count = SampleCount()
    count.begin_epoch(loader)
    count.add(torch.zeros(2, 1))
    return count.of_ranks(ranks)[1]


class Repeating(RandomSampler):
    """A sampler of someone's own, which may draw a sample often."""


@pytest.mark.parametrize(
    ("sampler", "samples"),
    [
        (None, 9),
        (RandomSampler(range(9)), 9),
        (SubsetRandomSampler(range(5)), 5),
        (RandomSampler(range(9), replacement=True), None),
        (RandomSampler(range(9), num_samples=4), None),
        (WeightedRandomSampler([1.0] * 9, 90), None),
        (Repeating(range(9)), None),
    ],
)
def test_samples_of_the_data_are_those_of_samplers_that_draw_each_once(sampler, samples):
    loader = DataLoader(range(9), batch_size=2, sampler=sampler, drop_last=True)
    assert of_data(loader) == samples
    assert of_data(loader, ranks=2) is None, "the other rank may have the same data"


def test_samples_of_the_data_of_several_ranks():
    sampler = DistributedSampler(range(10), num_replicas=2, rank=1)
    loader = DataLoader(range(10), batch_size=2, sampler=sampler)
    assert of_data(loader, ranks=2) == 10
    accelerate = pytest.importorskip("accelerate.data_loader")
    whole = DataLoader(range(9), batch_size=2, shuffle=True)
    shard = accelerate.prepare_data_loader(
        whole, num_processes=2, process_index=0, use_seedable_sampler=True, put_on_device=False
    )
    assert of_data(shard, ranks=2) == 9


@pytest.mark.parametrize("loader", [DataLoader(Stream(), batch_size=2), [1], None])
def test_data_without_a_known_sampler_have_no_known_size(loader):
    assert of_data(loader) is None


class Raising:
    """Data whose length can be read twice only."""

    lengths = 0

    def __len__(self):
        self.lengths += 1
        if self.lengths > 2:
            raise OSError("the server is gone")
        return 9

    def __getitem__(self, index):
        return index


def test_a_length_that_raises_is_unknown():
    data = Raising()
    loader = DataLoader(data, batch_size=2)
    data.lengths = 0
    for of_data in (9, None):
        count = SampleCount()
        count.begin_epoch(loader)
        assert count.of_ranks(1) == (0, of_data)
        data.lengths = 1
