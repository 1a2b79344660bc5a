"""Which service may be sent what: the one rule for all outputs and intensity sources.

A secret is sent only over HTTPS or within this machine, and only to an address from a source that is
trusted at least as much as the secret's. `refusals` is derived from the tables of outputs and sources;
`carbon_core.fetch` refuses again what would go in clear text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from carbon_core.addresses import HIDDEN, parsed, with_scheme
from carbon_core.config.origin import ENVIRONMENT_TRUST, Origin

if TYPE_CHECKING:
    from carbon_core.config.schema import Settings


class Secret(NamedTuple):
    """What only its own service may receive.

    Attributes:
        key: The setting; an empty string where only variables hold it.
        address: The setting that holds the service's address.
        variable: The environment variable that is read where the setting is unset; an empty string for
            none.
        scheme: The scheme of an address that is written without one.
        more_variables: Variables that are read where this one is unset, the first that is set.
        address_variables: The same of the address, where its setting is unset.
    """

    key: str
    address: str
    variable: str = ""
    scheme: str = "http"
    more_variables: tuple[str, ...] = ()
    address_variables: tuple[str, ...] = ()

    def value(self, settings: Settings, environ: Mapping[str, str]) -> str | None:
        """Return the secret, or None when it is unset."""
        return self._of_setting(settings) or self._in_variables(environ)[1]

    def refusal(self, settings: Settings, environ: Mapping[str, str]) -> str:
        """Return why nothing is sent to the address; an empty string if it may get all."""
        url, origin = self._address(settings, environ)
        name = self.address if getattr(settings, self.address) else origin.place or self.address
        problem = address_problem(url, name, self.scheme)
        if problem or self.value(settings, environ) is None:
            return problem
        own = self._origin(settings, environ)
        if origin.trust < own.trust:
            return (
                f"{self._name(environ)} is not sent to the address in {name} ({origin}), "
                f"because it comes from a source that is trusted more ({own})"
            )
        return "" if not url or parsed(url, self.scheme).may_carry_secrets else _must_be_https(name)

    def _in_variables(self, environ: Mapping[str, str]) -> tuple[str, str | None]:
        names = (self.variable, *self.more_variables) if self.variable else self.more_variables
        return _first(names, environ)

    def _of_setting(self, settings: Settings) -> str | None:
        return (getattr(settings, self.key) or None) if self.key else None

    def _address(self, settings: Settings, environ: Mapping[str, str]) -> tuple[str, Origin]:
        url = getattr(settings, self.address) or ""
        variable, found = _first(self.address_variables, environ)
        if url or found is None:
            return url, settings.origin(self.address)
        return found, Origin("environment", variable, ENVIRONMENT_TRUST)

    def _name(self, environ: Mapping[str, str]) -> str:
        return self.key or self._in_variables(environ)[0]

    def _origin(self, settings: Settings, environ: Mapping[str, str]) -> Origin:
        if self._of_setting(settings):
            return settings.origin(self.key)
        return Origin("environment", self._in_variables(environ)[0], ENVIRONMENT_TRUST)


def address_problem(url: str, name: str, scheme: str = "http") -> str:
    """Return why nothing is sent to an address at all; an empty string for nothing.

    Args:
        url: The address; empty for that of the service.
        name: The setting or variable that holds it.
        scheme: The scheme of an address without one.
    """
    if HIDDEN in url:
        return f"{name} is not known: pickles and checkpoints do not contain it; set it again"
    if not url:
        return ""
    try:
        address = parsed(with_scheme(url, scheme))
    except ValueError as error:
        return f"{name} is not used: {error}"
    if address.user is not None and not address.may_carry_secrets:
        return f"{name} must be https: the user and password in it are sent"
    return ""


def _must_be_https(name: str) -> str:
    return f"{name} must be https: a secret is sent to it"


def _first(variables: tuple[str, ...], environ: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the first of some variables that is set, and its value; or the last one, and None."""
    name = ""
    for name in variables:
        if value := environ.get(name, "").strip():
            return name, value
    return name, None
