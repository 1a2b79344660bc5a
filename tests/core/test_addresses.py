"""Addresses: one reading, by what decides and by what sends; what is secret in them is hidden."""

from __future__ import annotations

import pytest
import requests

from carbon_core.addresses import (
    joined,
    masked_address,
    masked_text,
    masked_value,
    may_carry_secrets,
    parsed,
    redacted,
    with_scheme,
)

SECRET = "hunter2"


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "127.0.0.1", "127.0.0.2", "127.255.255.254", "[::1]"],
)
def test_this_machine_may_get_secrets_in_the_clear(host: str) -> None:
    address = parsed(f"http://{host}:80/api")
    assert (address.is_loopback, address.may_carry_secrets, address.port) == (True, True, 80)
    assert may_carry_secrets(host)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1.evil.com",
        "localhost.evil.com",
        "evil-localhost",
        "localhost.",
        "foo.localhost",
        "128.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::2]",
        "[::ffff:127.0.0.1]",
        "localhost@evil",
        "localhost:80@evil",
        "127.0.0.1:pw@evil",
    ],
)
def test_another_machine_gets_them_encrypted_only(host: str) -> None:
    assert not parsed(f"http://{host}/").may_carry_secrets
    assert parsed(f"https://{host}/").may_carry_secrets


AMBIGUOUS = [
    "http://evil\\@localhost",
    "http://localhost\\@evil",
    "http:\\\\localhost",
    "http://localhost#@evil",
    "http://localhost?@evil",
    "http://evil#@localhost/",
    "http://me:pa/ss@localhost",
    "http://me:pa#ss@localhost",
    "http://me:pa?ss@localhost",
    "http://me:pa@ss/word@localhost",
    "http://me@you@localhost",
    "http://@localhost",
    "http://localhost:",
    "http://localhost:80:80",
    "http://localhost:0x50",
    "http://localhost:99999",
    "http://localhost:\u0661",
    "http://local host",
    "http://localhost\t",
    "http://local\nhost",
    "http://localhost\x00",
    "http://localhost\x7f",
    "http://localhost\u202e",
    "http://localhost\u00ad",
    "http://lo\u200bcalhost",
    "http://\uff4cocalhost",
    "http://127\u30020\u30020\u30021",
    "http://\u2460\u2461\u2466.0.0.1",
    "http://caf\u00e9.example",
    "http://127.1",
    "http://2130706433",
    "http://0x7f000001",
    "http://0x7f.0.0.1",
    "http://0177.0.0.1",
    "http://127.0.0.01",
    "http://127.0.0.1.",
    "http://127.0.0.256",
    "http://[::1%25lo]",
    "http://[::1%lo]",
    "http://[fe80::1%eth0]",
    "http://[::1",
    "http://::1",
    "http://[localhost]",
    "http://[127.0.0.1]",
    "http://[]",
    "http://%6c%6f%63alhost",
    "http://local%00host",
    "http://a..b",
    "http://.",
    "http://*",
    "http://-a",
    "http://",
    "http:///path",
    "ftp://localhost",
    "file:///etc/passwd",
    "javascript://localhost",
    "http://http://localhost",
    "",
    " ",
    "http://" + "a" * 64 + ".com",
    "http://" + "a." * 130 + "com",
]


@pytest.mark.parametrize("text", AMBIGUOUS, ids=ascii)
def test_an_address_that_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"it|host") as caught:
        parsed(text)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert not may_carry_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost",
        "https://Example.COM:8443/a/b?c=d#e",
        "example.com/path",
        "me:secret@example.com/x",
        "https://me:p%40ss%2F@example.com",
        "http://[2001:DB8::0:1]:80/",
        "http://my_service:9091/",
        "http://example.com./",
        "https://xn--caf-dma.example/",
        "http://host/users/@me",
        "http://host/a/../b//c",
        "http://host/caf\u00e9?x=\u00e9",
        "https://host/?redirect=http://localhost",
    ],
)
def test_what_is_requested_is_what_was_decided_on(text: str) -> None:
    address = parsed(text)
    prepared = requests.Request("GET", address.url).prepare().url or ""
    again = parsed(prepared)
    assert (again.origin, again.user) == (address.origin, None)
    assert "#" not in prepared


def test_a_user_and_password_are_decoded() -> None:
    address = parsed("https://m%3Ae:p%40s%2Fs:x@host")
    assert (address.user, address.password) == ("m:e", "p@s/s:x")


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("http://host", "http://host/api/runs"),
        ("http://host/", "http://host/api/runs"),
        ("http://host/base/", "http://host/base/api/runs"),
        ("http://host/base?key=1", "http://host/base/api/runs?key=1"),
        ("http://host?key=1", "http://host/api/runs?key=1"),
        ("http://host/base?u=http://x/y#part", "http://host/base/api/runs?u=http://x/y"),
        ("http://host#part", "http://host/api/runs"),
        ("host:1?key=a/b", "host:1/api/runs?key=a/b"),
    ],
)
def test_a_path_is_joined_before_the_query(url: str, whole: str) -> None:
    assert joined(url, "api", "runs") == whole


def test_a_segment_stays_one() -> None:
    assert joined("http://host", "a/b?c#d") == "http://host/a%2Fb%3Fc%23d"


def test_a_scheme_within_a_query_is_none() -> None:
    assert with_scheme("host/?u=https://x", "https") == "https://host/?u=https://x"


PASSWORDS = [
    "hunter2",
    "hun/hunter2",
    "hun hunter2",
    "hun@hunter2",
    "hun#hunter2",
    "hun?hunter2",
    "hun:hunter2",
    "hun'hunter2",
    'hun"hunter2',
    "hun<hunter2>",
    "hunter2\\",
    "hun%2Fhunter2",
    "hun\thunter2",
    "//hunter2",
    "http://hunter2",
]


@pytest.mark.parametrize("password", PASSWORDS, ids=ascii)
@pytest.mark.parametrize("scheme", ["http://", "https://", "HTTP://", "//", ""])
@pytest.mark.parametrize("rest", ["", "/", "/api", ":80/api?x=1", "/?mail=a@b"])
def test_a_password_is_hidden_whatever_it_contains(password: str, scheme: str, rest: str) -> None:
    address = f"{scheme}hun:{password}@host{rest}"
    for mask in ("(hidden)", ""):
        assert "hun" not in masked_address(address, mask)
    assert "hun" not in redacted(address)
    if scheme.endswith("://"):
        assert "hun" not in masked_text(f"delivery to {address} failed: no, really")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://hooks.example/services/T0/B0/hunter2", "https://hooks.example/(hidden)"),
        ("https://hooks.example/hunter2", "https://hooks.example/(hidden)"),
        ("hooks.example/hunter2?x=1", "hooks.example/(hidden)?(hidden)"),
        ("https://host/api/v2/hunter2/metrics", "https://host/api/v2/(hidden)"),
        ("https://host/v1/metrics", "https://host/v1/metrics"),
        ("http://host:1/v1/metrics?sig=hunter2#hunter2", "http://host:1/v1/metrics?(hidden)"),
        ("http://host#hunter2", "http://host?(hidden)"),
        ("http://host", "http://host"),
        ("localhost:9091", "localhost:9091"),
        ("[::1]:9091", "[::1]:9091"),
    ],
)
def test_a_path_that_may_be_a_webhook_is_hidden(address: str, shown: str) -> None:
    assert masked_address(address) == shown
    assert masked_address(shown) == shown
    assert SECRET not in masked_text(f"POST {with_scheme(address)}, with url: /{SECRET}?x: refused")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:hunter2", "http://me:(hidden)"),
        ("me:hunter2/metrics", "me:(hidden)/metrics"),
        ("http://[::1:hunter2", "http://(hidden)"),
        ("http://[::1]:hunter2", "http://[::1]:(hidden)"),
        ("http://host\thunter2/api", "http://host(hidden)/api"),
        ("http://host:80:hunter2", "http://host:80(hidden)"),
        ("http://host,hunter2", "http://host(hidden)"),
    ],
)
def test_a_password_is_hidden_where_the_host_is_missing(address: str, shown: str) -> None:
    assert masked_address(address) == shown
    assert masked_address(shown) == shown
    assert SECRET not in masked_address(address, "")


def test_a_text_keeps_what_is_around_an_address() -> None:
    text = "https://host/api/hunter2: HTTP status 500; see (https://host/v1/metrics)."
    assert masked_text(text) == (
        "https://host/api/(hidden): HTTP status 500; see (https://host/v1/metrics)."
    )


@pytest.mark.parametrize(
    "text",
    [
        "see https://docs.example and mail bob@example.org",
        "http://localhost:8080 and me@example.org",
        "http://[::1]:8080 by me@example.org",
        "git@host:group/project.git, me@example.org",
    ],
)
def test_an_address_and_a_person_in_one_line_stay(text: str) -> None:
    assert masked_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "http://me:hunter2 word@host and more",
        "http://me:hunter2/word @host",
        "http://hunter2@host and me@example.org",
        "http://hunter2/x@host\nme@example.org",
        "first http://host:80, then http://me:hunter2@host",
        "wss://gateway.example/hunter2",
    ],
)
def test_a_secret_in_an_address_within_a_text_is_hidden(text: str) -> None:
    assert SECRET not in masked_text(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_keys", {SECRET}),
        ("cookies", frozenset([SECRET])),
        (b"password", SECRET),
        ("password", 123456),
        ("db_pwd", SECRET),
        ("auth", SECRET),
        ("Authentication", SECRET),
        ("bearer", SECRET),
        ("webhook", SECRET),
        ("ssh_key", SECRET),
        ("access_tokens", [SECRET]),
        ("pass_phrase", SECRET),
    ],
)
def test_what_a_secret_is_called(name: str | bytes, value: object) -> None:
    shown = str(masked_value({name: value}))
    assert SECRET not in shown
    assert "123456" not in shown


def test_names_that_are_like_those_of_secrets_stay() -> None:
    given = {
        "author": "me",
        "max_tokens": "5",
        "token_count": 5,
        "compass": "north",
        "passed": "yes",
    }
    assert masked_value(given) == given


def test_a_name_that_is_a_pair_is_no_error() -> None:
    assert masked_value({("a", "b"): 1}) == {"<builtins.tuple>": 1}


def test_secrets_within_mappings_are_hidden_and_other_values_stay() -> None:
    given = {
        "task": {"stage": "training", "nbTokens": 5000, "tokenizer": "bpe"},
        "api_key": SECRET,
        "Authorization": [SECRET],
        "datasets": [{"source": f"s3://me:{SECRET}@host/x", "password": SECRET}],
        "note": f"see https://host/?sig={SECRET}",
        f"http://me:{SECRET}@host": 1,
        "object": object(),
    }
    shown = masked_value(given)
    assert SECRET not in str(shown)
    assert shown["task"] == given["task"]
    assert shown["object"] == "<builtins.object>"


def test_a_mapping_that_contains_itself_is_masked() -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    assert "again" in str(masked_value(endless))
