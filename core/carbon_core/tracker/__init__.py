"""One run from start to stop (`run`), and the object that users hold (`tracker`)."""
