"""NVIDIA GPUs through NVML. Only its module `search` imports pynvml."""
