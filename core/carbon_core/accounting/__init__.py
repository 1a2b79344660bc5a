"""The accounting of batch systems, compared with the runs of the same jobs."""
