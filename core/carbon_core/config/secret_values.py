"""Secrets among the settings: where their value comes from, and to which address they may be sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from carbon_core.config.origin import ENVIRONMENT_TRUST, Origin
from carbon_core.fetch import may_carry_secrets, with_scheme

if TYPE_CHECKING:
    from carbon_core.config.schema import Settings


class Secret(NamedTuple):
    """A setting whose value only its own service may receive.

    Attributes:
        key: The setting.
        address: The setting that holds the service's address.
        variable: The environment variable that is read where the setting is unset; an empty string for
            none.
        scheme: The scheme of an address that is written without one.
    """

    key: str
    address: str
    variable: str = ""
    scheme: str = "http"

    def value(self, settings: Settings, environ: Mapping[str, str]) -> str | None:
        """Return the secret, or None when it is unset."""
        return getattr(settings, self.key) or environ.get(self.variable, "").strip() or None

    def refusal(self, settings: Settings, environ: Mapping[str, str]) -> str:
        """Return why the secret is not sent to its address; an empty string if unset or allowed."""
        if self.value(settings, environ) is None:
            return ""
        origin, address = self._origin(settings), settings.origin(self.address)
        if address.trust < origin.trust:
            return (
                f"{self.key} is not sent to the address in {self.address} ({address}), because it "
                f"comes from a source that is trusted more ({origin})"
            )
        url = with_scheme(getattr(settings, self.address) or "", self.scheme)
        if may_carry_secrets(url):
            return ""
        return f"{self.address} must be https: a secret is sent to it"

    def _origin(self, settings: Settings) -> Origin:
        if getattr(settings, self.key):
            return settings.origin(self.key)
        return Origin("environment", self.variable, ENVIRONMENT_TRUST)
