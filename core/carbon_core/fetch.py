"""The only HTTP client of the package: fetches and sends small documents with a total timeout.

No other module of the core imports `requests`. When to send a request, and how to validate the response,
is decided by the callers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from carbon_core.clock import Clock
from carbon_core.errors import IntensityError, OutputError
from carbon_core.threads import without_log_records
from carbon_core.units import seconds

Ask = Callable[[str, str, Mapping[str, str]], str]
Fetch = Callable[[str, Mapping[str, str], Mapping[str, str]], Any]
Send = Callable[[str, str, bytes, Mapping[str, str]], bytes]
TOTAL_TIMEOUT_S = 5.0
_MAX_BYTES = 64 * 1024
_PROXY_AUTHENTICATION_REQUIRED = 407
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SUCCESSES = range(200, 300)
_LIBRARY_LOGGERS = tuple(
    f"urllib3.{module}" for module in ("connection", "connectionpool", "poolmanager", "util.retry")
)
_LONGEST_WAIT_S = 86_400.0


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
    ``.netrc``. Proxies are those of ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``.
    """

    def fetch(url: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        try:
            body = _response_body("GET", url, clock, timeout_s, params=params, headers=headers)
        except _RequestError as error:
            raise IntensityError(str(error), error.retry_after_s) from None
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise IntensityError(f"{redacted(url)}: the response is not JSON") from error

    return fetch


def link_local(clock: Clock, timeout_s: float) -> Ask:
    """Return a function ``request(method, url, headers)`` that returns a response's text.

    It uses no proxy, which would respond for another machine. Otherwise it is as strict as `fetcher`.
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

    without_log_records(*_LIBRARY_LOGGERS)

    deadline_ns = clock.monotonic_ns() + round(timeout_s * 1e9)
    try:
        with requests.Session() as session:
            session.trust_env = not past_proxies
            with session.request(
                method,
                url,
                params=dict(params or {}),
                headers=dict(headers),
                data=body,
                auth=_no_netrc,
                timeout=timeout_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                return _read(response, clock, deadline_ns, sent=body is not None)
    except (requests.RequestException, ValueError) as error:
        # The library's message may contain the token, the proxy's password or the query: only the
        # kind of the error is reported. A ValueError is an invalid address or token.
        raise _RequestError(f"{redacted(url)}: {_kind(error, url)}") from None


def may_carry_secrets(url: str) -> bool:
    """Return whether a secret may be sent to an address: encrypted, or on this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" or parts.hostname in _LOOPBACK
    except ValueError:
        return False


def with_scheme(url: str, scheme: str = "http") -> str:
    """Return an address with its scheme, or with the given one where it has none."""
    return url if "://" in url else f"{scheme}://{url}"


def redacted(url: str) -> str:
    """Return a URL without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(an invalid address)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _no_netrc(request: Any) -> Any:
    return request


def _kind(error: Exception, url: str) -> str:
    name = type(error).__name__
    if name == "ProxyError":
        # The status of a refused tunnel is only in the message; some proxies send 401, not 407.
        refused = any(f" {status} " in str(error) for status in (401, 407))
        missing = f"no connection to the proxy; check {_proxy_variable(url)}"
        return _proxy_refused(url) if refused else missing
    names = {
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "no response in time",
        "ConnectionError": "no connection",
        "SSLError": "the server's certificate cannot be verified",
    }
    return names.get(name, name)


def _proxy_refused(url: str) -> str:
    return f"the proxy refused the user or password in {_proxy_variable(url)}"


def _proxy_variable(url: str) -> str:
    return f"{urlsplit(url).scheme.upper()}_PROXY"


def _retry_after_s(text: str, clock: Clock) -> float | None:
    """Return the delay of a header ``Retry-After``: seconds, or a date (RFC 9110, 10.2.3)."""
    if text.strip().isdecimal():
        wait_s = float(text)
    else:
        from email.utils import parsedate_to_datetime  # slow to import, rarely needed

        try:
            wait_s = (parsedate_to_datetime(text) - clock.now()).total_seconds()
        except (TypeError, ValueError):
            return None
    return min(max(0.0, wait_s), _LONGEST_WAIT_S)


def _read(response: Any, clock: Clock, deadline_ns: int, *, sent: bool) -> bytes:
    place = redacted(response.url)
    if response.status_code == _PROXY_AUTHENTICATION_REQUIRED:
        raise _RequestError(f"{place}: {_proxy_refused(response.url)}")
    if response.status_code not in (_SUCCESSES if sent else (200,)):
        wait_s = _retry_after_s(response.headers.get("Retry-After", ""), clock)
        raise _RequestError(f"{place}: HTTP status {response.status_code}", wait_s)
    body: bytes = b""
    # Byte by byte: reading a larger chunk from a slow server would block past the deadline.
    for chunk in response.iter_content(1):
        body += chunk
        late_ns = clock.monotonic_ns() - deadline_ns
        if late_ns > 0 or len(body) > _MAX_BYTES:
            if sent:
                return body  # the status is a success; the rest of the response does not matter
            excess = f"{seconds(late_ns):.0f} s too late" if late_ns > 0 else "response too large"
            raise _RequestError(f"{place}: {excess}")
    return body
