"""The only HTTP client of the package: fetches and sends small documents with a total timeout.

All requests go through `_attempt`, which is the last to decide whether a secret may be sent to an
address. When to send a request, and how to validate the response, is decided by the callers.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any

from carbon_core.addresses import Address, parsed, redacted
from carbon_core.clock import Clock
from carbon_core.errors import IntensityError, OutputError

if TYPE_CHECKING:
    from requests import PreparedRequest, Session

    from carbon_core.http_exchange import Exchange
    from carbon_core.timed_connections import Limits

Ask = Callable[[str, str, Mapping[str, str]], str]
Fetch = Callable[[str, Mapping[str, str], Mapping[str, str]], Any]
Send = Callable[[str, str, bytes, Mapping[str, str]], bytes]
TOTAL_TIMEOUT_S = 5.0
_PROXY_AUTHENTICATION_REQUIRED = 407
_UNUSABLE_PROXY = ("InvalidProxyURL", "InvalidSchema", "InvalidURL")
_SUCCESSES = range(200, 300)
_LONGEST_WAIT_S = 86_400.0
_DEEPEST = 32
_SHORTEST_SECRET = 6
# Headers that are no secret. All others are: names of tokens differ between services.
_PLAIN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "user-agent",
    }
)


class _RequestError(Exception):
    """A request failed; the message contains no secret.

    Attributes:
        retry_after_s: Delay in seconds that the service set with ``Retry-After``.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def fetcher(clock: Clock, timeout_s: float = TOTAL_TIMEOUT_S) -> Fetch:
    """Return a function ``fetch(url, params, headers)`` that returns the decoded JSON response.

    The function raises `IntensityError` unless it gets a valid response of status 200 that is small
    and in time. It follows no redirect (a token must not be sent to another host) and reads no
    ``.netrc``. Proxies are those of ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``; this machine is
    requested without one. A user and password in the address are sent as HTTP Basic authentication.
    """

    def fetch(url: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        try:
            body = _response_body("GET", url, clock, timeout_s, params=params, headers=headers)
        except _RequestError as error:
            raise IntensityError(str(error), error.retry_after_s) from None
        with contextlib.suppress(ValueError):  # it would hold the response, which may echo a token
            return decoded(body)
        raise IntensityError(f"{redacted(url)}: the response is not JSON")

    return fetch


def link_local(clock: Clock, timeout_s: float) -> Ask:
    """Return a function ``request(method, url, headers)`` that returns a response's text.

    It uses no proxy, which would respond for another machine, and sends the headers to any address: a
    cloud's metadata service is on this machine. Otherwise it is as strict as `fetcher`.
    """

    def request(method: str, url: str, headers: Mapping[str, str]) -> str:
        try:
            body = _response_body(method, url, clock, timeout_s, headers=headers, past_proxies=True)
        except _RequestError as error:
            raise IntensityError(str(error), error.retry_after_s) from None
        return body.decode("utf-8", "replace")

    return request


def sender(clock: Clock, timeout_s: float = TOTAL_TIMEOUT_S) -> Send:
    """Return a function ``send(method, url, body, headers)`` that returns the body of the response.

    The function raises `OutputError` unless it gets a response with a status of success (2xx) in time;
    otherwise it is as strict as `fetcher`.
    """

    def send(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        try:
            return _response_body(method, url, clock, timeout_s, body=body, headers=headers)
        except _RequestError as error:
            raise OutputError(str(error), error.retry_after_s) from None

    return send


def session(
    clock: Clock,
    timeout_s: float,
    headers: Mapping[str, str],
    failed: Callable[[str], object],
) -> Session:
    """Return a session of `requests` for a library that sends by itself; as strict as `sender`.

    Args:
        clock: Source of time.
        timeout_s: Total time of a request in seconds.
        headers: All that is sent beside those that describe the body.
        failed: Receives what went wrong with a request, and an empty string after a success: the library
            may take a redirect for one.
    """
    import requests

    from carbon_core.http_exchange import LimitedSession
    from carbon_core.timed_connections import Limits

    def send(prepared: PreparedRequest, left_s: float | None, **certificates: Any) -> Exchange:
        limits = Limits(clock, min(timeout_s, left_s if isinstance(left_s, float) else timeout_s))
        try:
            address = _address(prepared.url or "")
            got = _attempt(prepared, address, limits, expected=(), **certificates)
        except _RequestError as error:
            failed(str(error))
            raise requests.ConnectionError(str(error)) from None
        wrong = f"{redacted(address.url)}: HTTP status {got.status}"
        failed("" if got.status in _SUCCESSES else wrong)
        # The library reads this header with fewer precautions, and no other.
        wait_s = _retry_after_s(got.headers.get("Retry-After", ""), clock)
        return got._replace(headers={} if wait_s is None else {"Retry-After": f"{wait_s:.0f}"})

    return LimitedSession(headers, send)


def decoded(body: bytes | str) -> Any:
    """Return the value of a JSON document that a stranger wrote.

    Numbers are finite, text is valid, and nothing is nested deeper than any service needs: what reads
    the value may call itself, print it and write it to files.

    Raises:
        ValueError: It is not such a document.
    """
    try:
        value = json.loads(body, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return value
    raise ValueError("nested too deeply")


def _within(value: Any) -> list[Any]:
    if isinstance(value, str):
        value.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is beyond those of floating point")
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else []


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _response_body(
    method: str,
    url: str,
    clock: Clock,
    timeout_s: float,
    *,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str],
    body: bytes | None = None,
    past_proxies: bool = False,
) -> bytes:
    """Send a request and return the body of the response; raise `_RequestError` if it fails."""
    import requests  # imported where used: slower to import than the rest of the package

    from carbon_core.http_exchange import MAX_BODY_BYTES
    from carbon_core.timed_connections import Limits

    limits = Limits(clock, timeout_s)
    address = _address(url)
    place = redacted(url)
    all_headers = {
        "User-Agent": requests.utils.default_user_agent(),
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
        "Connection": "close",
        **authorization(url),
        **headers,
    }
    asked = requests.Request(
        method, address.url, params=dict(params or {}), headers=all_headers, data=body
    )
    prepared, problem = None, ""
    try:
        prepared = asked.prepare()
    except (requests.RequestException, ValueError) as error:
        # An address or a token that cannot be sent; the message would contain it.
        problem = type(error).__name__
    if prepared is None:
        raise _RequestError(f"{place}: {problem}")
    expected = _SUCCESSES if body is not None else (200,)
    got = _attempt(prepared, address, limits, expected=expected, past_proxies=past_proxies)
    if got.status not in expected:
        wait_s = _retry_after_s(got.headers.get("Retry-After", ""), clock)
        raise _RequestError(f"{place}: HTTP status {got.status}", wait_s)
    if body is None and (not got.complete or len(got.body) > MAX_BODY_BYTES):
        late = limits.over and len(got.body) <= MAX_BODY_BYTES
        raise _RequestError(f"{place}: {'no response in time' if late else _unusable(got)}")
    if _repeats(got.body, _sent_secrets(address, all_headers)):
        if body is not None:
            return b""  # accepted nevertheless
        raise _RequestError(f"{place}: the response repeats a secret that was sent")
    return got.body[:MAX_BODY_BYTES]  # the status alone matters for what was sent


def _sent_secrets(address: Address, headers: Mapping[str, str]) -> list[str]:
    """Return the secrets of a request that are long enough to be no part of other text."""
    secrets = [address.password, address.query]
    for name, value in headers.items():
        if name.lower() in _PLAIN_HEADERS:
            continue
        secrets.append(value)
        scheme, _, credentials = value.partition(" ")
        secrets.append(credentials)
        if scheme == "Basic":
            with contextlib.suppress(ValueError):
                pair = base64.b64decode(credentials).decode()
                secrets.append(pair.partition(":")[2])
    return [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]


def _repeats(body: bytes, secrets: list[str]) -> bool:
    """Return whether a response has one of some texts, which would get into messages and files."""
    if not secrets:
        return False
    text = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):  # JSON may write any character as a number
        text += json.dumps(decoded(body), ensure_ascii=False)
    return any(secret in text for secret in secrets)


def _unusable(got: Exchange) -> str:
    from carbon_core.http_exchange import MAX_BODY_BYTES

    is_large = len(got.body) > MAX_BODY_BYTES
    return "response too large" if is_large else "the response has an unknown or broken encoding"


def _attempt(
    prepared: PreparedRequest,
    address: Address,
    limits: Limits,
    *,
    expected: Container[int],
    past_proxies: bool = False,
    verify: bool | str | None = None,
    certificate: Any = None,
) -> Exchange:
    """Make an exchange, unless it would send a secret where none may go.

    Raises:
        _RequestError: It failed; no secret is in the message.
    """
    from carbon_core.http_exchange import exchange

    url = prepared.url or ""
    place = redacted(address.url)
    secrets = [name for name in prepared.headers if name.lower() not in _PLAIN_HEADERS]
    if secrets and not (address.may_carry_secrets or past_proxies):
        raise _RequestError(f"{place} must be https: a secret is sent to it")
    if _address(url).origin != address.origin:
        raise _RequestError(f"{place}: the address can be read in two ways")
    got, problem = None, ""
    try:
        got = exchange(
            prepared,
            limits,
            expected=expected,
            past_proxies=past_proxies,
            verify=verify,
            certificate=certificate,
        )
    except Exception as error:  # noqa: BLE001 - of the libraries, which read what a stranger sends
        # Their messages may contain the token, the proxy's password or the query: only the kind of
        # the error is reported, and it is no context of the exception.
        problem = _kind(error, url, limits)
    if got is None:
        raise _RequestError(f"{place}: {problem}")
    if got.status == _PROXY_AUTHENTICATION_REQUIRED:
        raise _RequestError(f"{place}: {_proxy_refused(url)}")
    return got


def without_user(url: str) -> str:
    """Return an address as it is requested."""
    return _address(url).url


def _address(url: str) -> Address:
    try:
        return parsed(url)
    except ValueError as error:
        raise _RequestError(f"{redacted(url)}: {error}") from None


def authorization(url: str) -> dict[str, str]:
    """Return the header with the user and password of an address; none without them."""
    address = _address(url)
    if address.user is None:
        return {}
    return {"Authorization": basic(address.user, address.password)}


def basic(user: str, password: str) -> str:
    """Return the header of HTTP basic authentication.

    Variables may have bytes that are not UTF-8; the error of what cannot be encoded would contain it.
    """
    pair = f"{user}:{password}"
    try:
        data = pair.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = pair.encode("utf-8", "replace")
    return f"Basic {base64.b64encode(data).decode()}"


def _kind(error: Exception, url: str, limits: Limits) -> str:
    name = type(error).__name__
    if name == "ProxyError":
        # The status of a refused tunnel is only in the message; some proxies send 401, not 407.
        refused = any(f" {status} " in str(error) for status in (401, 407))
        missing = f"no connection to the proxy; check {_proxy_variable(url)}"
        return _proxy_refused(url) if refused else missing
    if limits.exceeded:
        return "response too large"
    if name in _UNUSABLE_PROXY:  # the address itself was checked
        needed = "; one of SOCKS needs the package PySocks" if name == "InvalidSchema" else ""
        return f"the proxy in {_proxy_variable(url)} or ALL_PROXY cannot be used{needed}"
    names = {
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "no response in time",
        "ConnectionError": "no response in time" if limits.over else "no connection",
        "SSLError": "the server's certificate cannot be verified",
    }
    return names.get(name, "no response in time" if limits.over else name)


def _proxy_refused(url: str) -> str:
    return f"the proxy refused the user or password in {_proxy_variable(url)}"


def _proxy_variable(url: str) -> str:
    return f"{url.partition('://')[0].upper()}_PROXY"


def _retry_after_s(text: str, clock: Clock) -> float | None:
    """Return the delay of a header ``Retry-After``: seconds, or a date (RFC 9110, 10.2.3)."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        # More digits than a float has are a number above any limit.
        wait_s = float(text[-16:]) if not text[:-16].strip("0") else _LONGEST_WAIT_S
    else:
        from datetime import timezone
        from email.utils import parsedate_to_datetime  # slow to import, rarely needed

        try:
            date = parsedate_to_datetime(text)
            date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
            wait_s = (date - clock.now()).total_seconds()
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return None
    return min(max(0.0, wait_s), _LONGEST_WAIT_S)
