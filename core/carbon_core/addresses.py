"""Secrets within addresses: user and password before the host, and the query and fragment.

What a query contains may be a key or a signature whatever its name is, so all of it is hidden.
"""

from __future__ import annotations

import re

HIDDEN = "(hidden)"
# User and password, of an address that may lack its scheme.
_USER = re.compile(r"(?<=//)[^/\s]*@|^[^/\s:@]*:[^/\s@]*@")
_WHOLE = re.compile(r"^([^?#]*)[?#].+", re.DOTALL)
# Within other text, an address has a scheme; libraries also write "with url: /path?query".
_WITHIN = re.compile(r"((?:://|\burl: ?/)[^\s?#'\"<>]*)[?#][^\s'\"<>]+")
_USER_WITHIN = re.compile(r"(?<=://)[^/\s'\"<>@]*@")


def masked_address(address: str, mask: str = HIDDEN) -> str:
    """Return an address with a mask in place of its secrets; without a mask, without them."""
    user, query = (f"{mask}@", f"?{mask}") if mask else ("", "")
    return _WHOLE.sub(rf"\g<1>{query}", _USER.sub(user, address))


def masked_text(text: str, mask: str = HIDDEN) -> str:
    """Return a text with a mask in place of the secrets of the addresses in it."""
    user, query = (f"{mask}@", f"?{mask}") if mask else ("", "")
    return _WITHIN.sub(rf"\g<1>{query}", _USER_WITHIN.sub(user, text))
