"""NVIDIA GPUs through NVML. The only package that knows pynvml."""
