"""Addresses of services: one strict parser, and one function that hides what may be secret in them.

What decides whether a secret may be sent to an address, and what connects to it, read it with the same
parser, and the request is made to the address that the parser writes. An address that two programs
could read in two ways is refused.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

HIDDEN = "(hidden)"
# Patterns are compiled when they are first used: all of them would take most of the import.
_SCHEME = r"(?i)[a-z][a-z0-9+.-]*://"
_AUTHORITY = r"(?:(?P<user>[^@]+)@)?(?P<host>\[[^\]@]*\]|[^:@\[\]]*)(?::(?P<port>.*))?"
_PORT = r"[0-9]{1,5}"
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
# A system's resolver reads such a name as an IPv4 address, in any of several notations.
_NUMBER = r"[0-9]+|0x[0-9a-f]*"
_LONGEST_HOST, _LAST_PORT = 253, 65_535
# What a key is called within a mapping, whose values no table describes.
_HIDDEN_NAME = (
    r"(?i)passw|pwd|pass[-_. ]?(phrase|code|key)|secret|token(?!iz|s)|credential|cookie|signature"
    r"|authori[sz]ation|authentication|(?<![a-z])auth(?![a-z])|bearer|jwt|webhook"
    r"|(api|access|private|account|signing|write|ssh|encryption)[-_. ]?(key|token)"
)
_DEEPEST = 32
# Parts of a path that are known to be no secret. Any other may be one: that of a webhook is.
_PLAIN_SEGMENT = r"(?i)v[0-9]{1,2}|api|metrics|otlp|carbon-intensity|latest|history|ip|geo\.json"
# The address within a text that follows `://`, with all that may be a password: up to the line's last @
# behind a user and a colon (a port is none), else to the last before a blank.
_USER_WITHIN = r"(?m)(?<=://)(?:[^\s/?#@:\[]*:(?![0-9]{1,5}(?:[\s/?#]|$))[^\n]*|[^\s]*)@"
_REST_WITHIN = r"(?i)([a-z]*://[^\s/?#'\"<>]*)([/?#][^\s'\"<>]*)"
# Libraries also write "with url: /path?query".
_PATH_WITHIN = r"(\burl: ?)([/?#][^\s'\"<>]*)"
_HAS_WEBHOOKS = r"(?i)(https?|wss?|url):"
_PUNCTUATION = ".,:;)]}"  # of the sentence, not of the address
_USER_WHOLE = r"(?si)^((?:https?:)?//|).*@"
_WHOLE = r"(?si)^((?:https?:)?//|)([^/?#]*)(.*)$"
_HOST_AND_PORT = r"(?i)(\[[0-9a-f:.]*\]|[\w.-]*)(:[0-9]*)?"


class Address(NamedTuple):
    """An HTTP address, read in the only way in which it can be read.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name in lower case, or number of the host; an IPv6 number without brackets.
        port: Number of the port; None for that of the scheme.
        path: With its slash at the beginning, or empty.
        query: Without its question mark.
        user: User name; None without one.
        password: Password of this user.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    query: str
    user: str | None
    password: str

    @property
    def is_loopback(self) -> bool:
        """Whether it is an address of this machine, by its number or as ``localhost``."""
        import ipaddress  # slow to import, needed for requests only

        if self.host == "localhost":
            return True
        try:
            number = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return number.is_loopback and getattr(number, "ipv4_mapped", None) is None

    @property
    def may_carry_secrets(self) -> bool:
        """Whether a secret may be sent to it: encrypted, or within this machine."""
        return self.scheme == "https" or self.is_loopback

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port is None else f":{self.port}")

    @property
    def url(self) -> str:
        """The address to request: without user, password and fragment."""
        return self.origin + self.path + (f"?{self.query}" if self.query else "")


def parsed(text: str, scheme: str = "http") -> Address:
    """Return an address by its parts.

    Args:
        text: The address, with or without scheme.
        scheme: The scheme of an address without one.

    Raises:
        ValueError: It is no HTTP address, or one that programs read differently. The message holds no
            part of it.
    """
    if not all(character.isprintable() and character not in " \\" for character in text):
        raise ValueError("it has a blank, a backslash or a control character")
    scheme, _, rest = with_scheme(text, scheme).partition("://")
    scheme = scheme.lower()
    if scheme not in ("http", "https"):
        raise ValueError("it is neither http nor https")
    end = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    authority, rest = rest[:end], rest[end:]
    if "@" in rest and ("@" in authority or not rest.startswith("/")):
        raise ValueError("it has an @ behind a /, ? or #; write them as %40, %2F, %3F and %23")
    rest, _, _ = rest.partition("#")
    path, _, query = rest.partition("?")
    return _with_authority(scheme, authority, path, query)


def _with_authority(scheme: str, authority: str, path: str, query: str) -> Address:
    found = re.fullmatch(_AUTHORITY, authority)
    if found is None:
        raise ValueError("its host, or its user and password, cannot be read")
    user, _, password = (found["user"] or "").partition(":")
    port = found["port"]
    if port is not None and not (re.fullmatch(_PORT, port) and int(port) <= _LAST_PORT):
        raise ValueError("its port is not a number of up to 65535")
    return Address(
        scheme,
        _checked_host(found["host"].lower()),
        None if port is None else int(port),
        path,
        query,
        unquote(user) if found["user"] else None,
        unquote(password),
    )


def _checked_host(host: str) -> str:
    if host.startswith("["):
        return _number(host[1:-1], 6)
    labels = host.removesuffix(".").split(".")
    if len(host) > _LONGEST_HOST or not all(re.fullmatch(_LABEL, one) for one in labels):
        raise ValueError("its host is no name of letters, digits and hyphens (IDNA: xn--...)")
    if re.fullmatch(_NUMBER, labels[-1]):
        return _number(host, 4)  # four decimal numbers without leading zeros
    return host


def _number(host: str, version: int) -> str:
    import ipaddress

    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    with contextlib.suppress(ValueError):  # its message would contain the host
        if "%" not in host:
            return str(kind(host))
    raise ValueError("the number of its host is not one of four decimal numbers, or of IPv6")


def joined(url: str, *segments: str) -> str:
    """Return an address with more segments of its path, before the query.

    Args:
        url: The address; a fragment is left out.
        segments: What follows its path, without slashes; quoted here.
    """
    rest, _, _ = url.partition("#")
    base, mark, query = rest.partition("?")
    path = "/".join(quote(segment, safe=":") for segment in segments)
    return f"{base.rstrip('/')}/{path}{mark}{query}"


def with_scheme(url: str, scheme: str = "http") -> str:
    """Return an address with its scheme, or with the given one where it has none."""
    return url if re.match(_SCHEME, url) else f"{scheme}://{url}"


def may_carry_secrets(url: str) -> bool:
    """Return whether a secret may be sent to an address: encrypted, or on this machine."""
    try:
        return parsed(url).may_carry_secrets
    except ValueError:
        return False


# --- what is shown ------------------------------------------------------------------------------------


def redacted(url: str) -> str:
    """Return an address for an error message: scheme, host and port, and the known parts of its path."""
    try:
        address = parsed(url)
    except ValueError:
        return "(an invalid address)"
    return address.origin + _shown_path(address.path)


def masked_address(address: str, mask: str = HIDDEN) -> str:
    """Return an address with a mask in place of its secrets; without a mask, without them.

    A path is never shortened: the address would be another one. It keeps `HIDDEN` in its place.
    Secrets are its user and password, unless its path is known all of the path behind the known
    segments, the query and the fragment. An invalid address may have an unescaped character in its
    password: all up to its last @ is masked.
    """
    shown_user = f"{mask}@" if mask else ""
    masked = re.sub(_USER_WHOLE, lambda found: found[1] + shown_user, address)
    prefix = found[0] if mask and (found := re.match(_USER_WHOLE, masked)) else ""
    start, host, rest = _parts(masked[len(prefix) :])
    path, marks, _ = _split(rest)
    tail = f"?{mask}" if marks and mask else ""
    return prefix + start + _shown_host(host, mask) + _shown_path(path) + tail


def _shown_host(host: str, mask: str) -> str:
    """Return a host and port up to what is in neither: it may be a password without its host."""
    found = re.match(_HOST_AND_PORT, host)
    shown = found[0] if found else ""
    return host if shown == host else shown + mask


def _parts(text: str) -> tuple[str, str, str]:
    found = re.match(_WHOLE, text)
    return (found[1], found[2], found[3]) if found else ("", text, "")


def _split(rest: str) -> tuple[str, str, str]:
    """Return the path, the mark that ends it, and what follows."""
    found = re.search(r"[?#]", rest)
    return (rest[: found.start()], found[0], rest[found.end() :]) if found else (rest, "", "")


def _shown_path(path: str) -> str:
    """Return a path up to the first segment that may be a secret."""
    segments = path.split("/")
    for i, segment in enumerate(segments):
        if segment and not re.fullmatch(_PLAIN_SEGMENT, segment):
            return "/".join([*segments[:i], HIDDEN])
    return path


def masked_text(text: str, mask: str = HIDDEN) -> str:
    """Return a text with a mask in place of the secrets of the addresses in it.

    Within a text, an address has a scheme, and ends with a blank or a quotation mark.
    """

    def rest(found: re.Match[str]) -> str:
        address = found[2].rstrip(_PUNCTUATION)
        path, marks, _ = _split(address)
        query = f"?{mask}" if marks and mask else ""
        # A path of another scheme, such as that of a bucket, is no webhook.
        path = _shown_path(path) if re.match(_HAS_WEBHOOKS, found[1]) else path
        return found[1] + path + query + found[2][len(address) :]

    masked = re.sub(_USER_WITHIN, f"{mask}@" if mask else "", text)
    return re.sub(_PATH_WITHIN, rest, re.sub(_REST_WITHIN, rest, masked))


def masked_value(value: Any, mask: str = HIDDEN) -> Any:
    """Return a value of any type with a mask in place of secrets: in text, and under names of secrets.

    An object is replaced by the name of its type: its text may be anything.
    """
    return _masked_value(value, mask, _DEEPEST)


def _masked_value(value: Any, mask: str, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return masked_text(value, mask)
    if depth and isinstance(value, Mapping):
        return {
            # Of a key that is a collection, too, only the type: it would be a list, which is no key.
            _masked_value(key, mask, 0): mask
            if _is_secret(key, inner)
            else _masked_value(inner, mask, depth - 1)
            for key, inner in value.items()
        }
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [_masked_value(inner, mask, depth - 1) for inner in value]
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def _is_secret(key: object, value: object) -> bool:
    name = key.decode("latin-1") if isinstance(key, bytes) else key
    if not isinstance(name, str) or re.search(_HIDDEN_NAME, name) is None:
        return False
    if isinstance(value, (int, float)):  # a number of tokens is none
        return not isinstance(value, bool) and "passw" in name.lower()
    return bool(value)
