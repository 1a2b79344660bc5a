"""NVIDIA boards whose power sensor was compared with an external meter (Yang et al., SC'24).

Their gain errors are known as a group (rms 4.3 to 4.8 %); the error of one board of a kind is not.
"""

from __future__ import annotations

import re

# The K620 is published, too: it reads 41 % low, which no interval for the others covers.
_PUBLISHED = frozenset(
    {
        "4090",
        "3090",
        "3070 ti",
        "2080 ti",
        "2060 super",
        "1080 ti",
        "1080",
        "p100",
        "a100 40gb",
        "a5000",
        "k80",
        "k40",
        "k40c",
        "k40m",
        "titan x",
        "titan xp",
        "m40",
    }
)
# Words that do not distinguish one chip from another. What is left over, such as "laptop", does.
_BRANDS = frozenset({"nvidia", "geforce", "tesla", "gtx", "rtx", "pcie", "sxm", "sxm2", "sxm4"})
_WORD = re.compile("[a-z0-9]+")
_MEMORY = re.compile("[0-9]+gb")
# "3070Ti" is "3070 Ti".
_SUFFIX = re.compile("([0-9]{4})(ti|super)")


def is_published(name: str) -> bool:
    """Return whether a board was among those that were compared.

    Args:
        name: Its product name, as NVML gives it.
    """
    text = _SUFFIX.sub(r"\1 \2", name.lower())
    words = [word for word in _WORD.findall(text) if word not in _BRANDS]
    if "a100" not in words:  # the one with 80 GB is another board
        words = [word for word in words if not _MEMORY.fullmatch(word)]
    return " ".join(words) in _PUBLISHED
