"""Where an export is written: a local directory, or a target of fsspec such as ``s3://bucket/fleet``.

A file is written under another name and renamed. One export writes at a time: it holds a lock, a file in
the directory. A remote target has no locks; exports of one host to it lock a file of the host.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from carbon_core.addresses import HIDDEN, masked_text
from carbon_core.errors import OutputError
from carbon_core.file_locks import Timeout, exclusive
from carbon_core.fleet.columns import ALL_TABLES
from carbon_core.input_files import bytes_of
from carbon_core.outputs.base import make_directory, replace

_LOCK, _MARKER = ".export.lock", ".export.marker"
_WAIT_S = 60.0
STATE = "export_state"
# Other files in the directory, which may be a home directory, are not those of the export.
FOLDERS = (*(table.name for table in ALL_TABLES), STATE)
# A file has 5,000 rows of runs, or the phases of these.
_MOST_BYTES = 2**31
# As `outputs.base.replace` calls them.
_TEMPORARY = re.compile(r"\.(?:\d{5}|countries|writing)\.[a-z]+\.[0-9a-f]{12}")


class Place(Protocol):
    """A place of files with relative names such as ``runs/month=2026-01/00000.parquet``.

    Attributes:
        shown: Its absolute path, or the address of fsspec without secrets.
    """

    shown: str

    def names(self) -> list[str]:
        """Return the names of the files of an export, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file; readers see the earlier one or this one."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        ...

    def lock(self) -> contextlib.AbstractContextManager[object]:
        """Return a context in which no other export writes."""
        ...


class Directory:
    """A local directory.

    Args:
        path: The directory; it is created where it is absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shown = str(path)

    def names(self) -> list[str]:
        """Return the names of the files of an export, sorted."""
        found = []
        for folder in FOLDERS:
            for within, _, names in os.walk(self.path / folder):
                inner = Path(within).relative_to(self.path)
                found += [(inner / name).as_posix() for name in names]
        return sorted(found)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return bytes_of(self.path / name, _MOST_BYTES)

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file; readers see the earlier one or this one."""
        path = self.path / name
        make_directory(path.parent)
        replace(path, data)

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        (self.path / name).unlink(missing_ok=True)

    def lock(self) -> contextlib.AbstractContextManager[object]:
        """Return a context in which no other export writes."""
        make_directory(self.path)
        return _locked(self.path / _LOCK, self.path / _MARKER, str(self.path))


class Remote:
    """A target of fsspec.

    Args:
        url: Its address.

    Raises:
        OutputError: fsspec, or the package that it needs for the address, is missing.
    """

    def __init__(self, url: str) -> None:
        self._url, self.shown = url, masked_text(url)
        with self._errors():
            from fsspec.core import url_to_fs

            self._files, root = url_to_fs(url)
        self._root: str = root.rstrip("/")

    def names(self) -> list[str]:
        """Return the names of the files of an export, sorted."""
        with self._errors():
            # Without what another host has written since the last listing, rows would be lost.
            self._files.invalidate_cache()
            found = [
                name
                for folder in FOLDERS
                if self._files.exists(self._path(folder))
                for name in self._files.find(self._path(folder))
            ]
        prefix = f"{self._root}/".lstrip("/")
        return sorted(one.lstrip("/").removeprefix(prefix) for one in found)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        with self._errors():
            data: bytes = self._files.cat_file(self._path(name))
            return data

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file; readers see the earlier one or this one."""
        path = self._path(name)
        folder, _, file = path.rpartition("/")
        temporary = f"{folder}/.{file}.{os.urandom(6).hex()}"
        with self._errors():
            self._files.makedirs(folder, exist_ok=True)
            try:
                self._files.pipe_file(temporary, data)
                self._files.mv(temporary, path)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._files.rm_file(temporary)
                raise

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        with self._errors(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def lock(self) -> contextlib.AbstractContextManager[object]:
        """Return a context in which no other export of this host writes."""
        name = f"carbon-callbacks-{hashlib.sha256(self._url.encode()).hexdigest()[:16]}"
        path = Path(tempfile.gettempdir()) / f"{name}.lock"
        return _locked(path, path.with_suffix(".marker"), self.shown)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            text = f"{self.shown}: {error}: pip install 'carbon-callbacks[fleet]'"
            raise OutputError(text) from error
        except Exception as error:  # each kind of target raises errors of its own
            raise OutputError(self._masked(f"{self.shown}: {error!r}")) from error

    def _masked(self, text: str) -> str:
        """Return a text without secrets; libraries also name the target without its scheme."""
        user, at, _ = self._url.partition("://")[2].rpartition("@")
        return masked_text(text.replace(user + at, f"{HIDDEN}@") if at else text)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def place_of(target: str) -> Place:
    """Return the place of a target: a directory, or an address such as ``s3://bucket/fleet``.

    Raises:
        OutputError: The address cannot be used.
    """
    scheme, is_url, path = target.partition("://")
    if is_url and scheme != "file":
        return Remote(target)
    return Directory(Path(path if is_url else target).absolute())


@contextlib.contextmanager
def _locked(path: Path, marker: Path, shown: str) -> Iterator[None]:
    try:
        with exclusive(path, marker, _WAIT_S):
            yield
    except Timeout as error:
        raise OutputError(f"{shown}: another export is writing there") from error


def is_temporary(name: str) -> bool:
    """Return whether a name is that of a file that a killed export has left."""
    return _TEMPORARY.fullmatch(name.rpartition("/")[2]) is not None
