"""Limits, loops and data."""

from upstream.lightning_ways.trainers import WAYS, fit


@WAYS.way("max_epochs")
def max_epochs(place):
    fit(place, max_epochs=3)


@WAYS.way("gradient accumulation")
def gradient_accumulation(place):
    fit(place, accumulate_grad_batches=2)
