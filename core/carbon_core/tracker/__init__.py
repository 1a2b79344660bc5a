"""One run from start to stop (`run`) of its `parts`, and the object that users hold (`tracker`)."""
