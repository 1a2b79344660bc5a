"""Secrets within addresses: user and password before the host, and the query and fragment.

What a query contains may be a key or a signature whatever its name is, so all of it is hidden.
"""

from __future__ import annotations

import re

HIDDEN = "(hidden)"
# User and password, of an address that may lack its scheme.
_USER = re.compile(r"(?<=//)[^/\s]*@|^[^/\s:@]*:[^/\s@]*@")
# The same in what is shown: an address with an unescaped character in the password is invalid, and is
# shown for that. Too much may be hidden.
_USER_SHOWN = re.compile(r"(?<=//)\S*@|^[^/\s:@]*:\S*@")
_WHOLE = re.compile(r"^([^?#]*)[?#].+", re.DOTALL)
# Within other text, an address has a scheme; libraries also write "with url: /path?query".
_WITHIN = re.compile(r"((?:://|\burl: ?/)[^\s?#'\"<>]*)[?#][^\s'\"<>]+")
_USER_WITHIN = re.compile(r"(?<=://)[^\s'\"<>]*@")


def masked_address(address: str, mask: str = HIDDEN) -> str:
    """Return an address with a mask in place of its secrets; without a mask, without them."""
    if not mask:
        return _WHOLE.sub(r"\g<1>", _USER.sub("", address))
    return _USER_SHOWN.sub(f"{mask}@", _WHOLE.sub(rf"\g<1>?{mask}", address))


def masked_text(text: str, mask: str = HIDDEN) -> str:
    """Return a text with a mask in place of the secrets of the addresses in it."""
    return _USER_WITHIN.sub(f"{mask}@", _WITHIN.sub(rf"\g<1>?{mask}", text))
