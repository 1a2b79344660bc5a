"""What the adapters share: a training's life, its figures, its forecast, and what its ranks agree on."""
