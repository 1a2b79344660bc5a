"""The directory that ``carbon-callbacks estimate`` puts first in `PYTHONPATH` of a program."""
