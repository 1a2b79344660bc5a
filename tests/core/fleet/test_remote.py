"""Exports to servers on this machine through fsspec: FTP, and S3 by moto."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from core.fleet.test_export import counts, rows, saved
from core.outputs.conftest import report_of

from carbon_core.errors import OutputError
from carbon_core.fleet.export import Result, export
from carbon_core.fleet.files import ExportFiles
from carbon_core.fleet.formats import FORMATS
from carbon_core.fleet.places import place_of

pytest.importorskip("pyarrow")
fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("pyftpdlib", reason="pyftpdlib is not installed; `nox -s fleet` has it")
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

    (tmp_path / "served").mkdir()
    authorizer = DummyAuthorizer()
    authorizer.add_user("me", "secret", str(tmp_path / "served"), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer})
    server = FTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"timeout": 0.05})
    thread.start()
    yield f"ftp://me:secret@127.0.0.1:{server.address[1]}/fleet"
    server.close_all()
    thread.join(30)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    moto = pytest.importorskip("moto.server", reason="moto is not installed; `nox -s fleet` has it")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed; `nox -s fleet` has it")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"bucket-{os.urandom(6).hex()}"
    s3fs.S3FileSystem().mkdir(bucket)
    yield f"s3://{bucket}/fleet"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("server", ["ftp", "s3"])
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_an_export_to_a_server(
    server: str, form: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    address = request.getfixturevalue(server)

    def exported() -> Result:
        place = place_of(address)
        with place.lock():
            return export([tmp_path], ExportFiles(place, FORMATS[form]))

    saved(tmp_path, report_of("one", kwh=1.0))
    assert counts(exported()) == (1, 0, 1)
    saved(tmp_path, report_of("one", kwh=2.0))
    saved(tmp_path, report_of("two", kwh=4.0))
    assert counts(exported()) == (1, 1, 2)
    assert counts(exported()) == (0, 0, 2)
    files, root = fsspec.core.url_to_fs(address)
    files.invalidate_cache()
    names = sorted(one.rpartition("/")[2] for one in files.find(root))
    suffix = FORMATS[form].suffix
    assert names == [*[f"00000{suffix}"] * 3, f"countries{suffix}"]  # no temporary file is left
    files.get(root, str(tmp_path / "copy"), recursive=True)
    found = rows(tmp_path / "copy", form=form)
    assert {name: row["energy_kwh"] for name, row in found.items()} == {
        "one": pytest.approx(3.0),
        "two": pytest.approx(6.0),
    }


def test_a_server_that_does_not_answer_is_an_error_with_its_address() -> None:
    with pytest.raises(OutputError, match="ftp://") as raised:
        place_of("ftp://me:secret@127.0.0.1:1/fleet")
    assert "127.0.0.1:1/fleet" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_error_that_names_the_target_without_its_scheme_has_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = place_of("memory://me:secr/et@bucket/fleet")

    def refuse(*arguments: object) -> None:
        raise ValueError('Invalid bucket name "me:secr/et@bucket"')

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.cat_file", refuse)
    with pytest.raises(OutputError, match="bucket name") as raised:
        place.read("runs")
    assert "secr" not in str(raised.value)
