"""Reading whole files that others name."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from carbon_core.input_files import bytes_of


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_file_that_does_not_state_its_size_is_read_whole_and_within_the_limit() -> None:
    path = Path("/proc/version")
    content = path.read_bytes()
    assert bytes_of(path, len(content)) == content
    with pytest.raises(OSError, match="larger than") as refused:
        bytes_of(path, len(content) - 1)
    assert refused.value.errno == errno.EFBIG
