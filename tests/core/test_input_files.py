"""Reading whole files that others name."""

from __future__ import annotations

import errno
import os
import sys
import threading
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


@pytest.mark.skipif(sys.platform == "win32", reason="there are no FIFOs")
def test_what_is_no_regular_file_is_not_even_opened(tmp_path: Path) -> None:
    """Opening a device may change it, such as a watchdog; a FIFO shows whether it is opened."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    opened = threading.Event()

    def write() -> None:
        os.close(os.open(path, os.O_WRONLY))  # returns when a reader opens it
        opened.set()

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(1000):
        with pytest.raises(OSError, match="not a regular file"):
            bytes_of(path)
    try:
        assert not opened.is_set()
    finally:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        while not opened.wait(0.01):
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        writer.join()
