"""Parts that the adapters share: lifecycle, metrics, ranks and checkpoints of a training."""
