"""What a row of the table of outputs has, and how the settings select it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from carbon_core.config.secret_values import Secret, address_problem
from carbon_core.record import record

if TYPE_CHECKING:
    from carbon_core.clock import Clock
    from carbon_core.config.schema import Settings
    from carbon_core.fetch import Send
    from carbon_core.outputs.base import FileOutput, Output


@record(frozen=True)
class OutputArguments:
    """What an output is made from.

    Attributes:
        settings: The effective settings.
        environ: Environment variables.
        directory: The output directory, absolute.
        clock: Source of time.
        remote_id: The service's id of the run, where the run was created there earlier.
        warn: Receives warnings about an output that works nevertheless.
    """

    settings: Settings
    environ: Mapping[str, str]
    directory: Path
    clock: Clock
    remote_id: str | None = None
    warn: Callable[[str], None] = lambda text: None

    @property
    def send(self) -> Send:
        """Sends a request over HTTP."""
        from carbon_core.fetch import sender

        return sender(self.clock)


@record(frozen=True)
class Check:
    """A requirement of an output on its settings, beyond their types.

    Attributes:
        problem: Returns what is wrong, or an empty string.
        key: The setting that is wrong.
        raises_for: Settings; if one of them is an argument, the problem is raised, not only warned of.
        always: Whether the argument is checked even where the output is not selected.
    """

    problem: Callable[[Settings], str]
    key: str
    raises_for: tuple[str, ...]
    always: bool = False


@record(frozen=True)
class OutputSpec:
    """One output.

    Attributes:
        name: Its name in `output_methods` (if `method`), in journals and in messages.
        title: Its name in the documentation.
        make: Returns the output; imports its module.
        kind: ``file``: updated on the files' thread; ``service``: sent over the network; ``local``:
            neither, but possibly slow.
        method: Whether it is a choice of `output_methods`.
        switch: The setting ``save_to_…`` that selects it where `output_methods` is unset.
        selected_by: A setting that selects it by being set.
        address: The setting with the address of a service.
        listens_on: The setting with the address that it serves results on, to those who request them.
        secret: The secret that is sent with the results; only to an address that may receive it.
        headers: The same for headers that only variables hold.
        needs_secret: Whether it cannot work without.
        check: A requirement on its settings.
        library: The module that it needs beyond the package's dependencies.
        extra: The extra that installs this module.
        resendable: Whether `carbon-callbacks resend` sends what was not accepted. Not for services that
            keep the present only: an earlier run's totals would replace a later one's.
        tolerant: Whether it is made even where something is wrong, and does without.
    """

    name: str
    title: str
    make: Callable[[OutputArguments], Output | FileOutput]
    kind: Literal["file", "service", "local"]
    method: bool = False
    switch: str = ""
    selected_by: str = ""
    address: str = ""
    listens_on: str = ""
    secret: Secret | None = None
    headers: Secret | None = None
    needs_secret: bool = False
    check: Check | None = None
    library: str = ""
    extra: str = ""
    resendable: bool = False
    tolerant: bool = False

    def selected(self, settings: Settings) -> bool:
        """Return whether the settings select it."""
        if self.selected_by and getattr(settings, self.selected_by):
            return True
        return self.method and self.name in settings.outputs()

    @property
    def sends(self) -> bool:
        """Whether results leave the process by the network."""
        return self.kind == "service" or bool(self.listens_on)

    @property
    def address_key(self) -> str:
        """The setting with its address; an empty string for none."""
        if self.secret is not None:
            return self.secret.address
        if self.listens_on:
            return self.listens_on
        return self.selected_by if self.kind == "service" else ""

    def selecting_keys(self, settings: Settings) -> list[str]:
        """Return the settings that select it; any of them would do."""
        keys = [key for key in (self.selected_by, self.switch) if key and getattr(settings, key)]
        if self.method and settings.output_methods and self.name in settings.output_methods:
            keys.append("output_methods")
        return keys

    def problems(self, settings: Settings, environ: Mapping[str, str]) -> list[str]:
        """Return what keeps it from working, one sentence each."""
        texts = [self._missing_library(), self.check.problem(settings) if self.check else ""]
        if self.secret is not None:
            texts.append(self._missing_secret(self.secret, settings, environ))
        return [text for text in [*texts, self.refusal(settings, environ)] if text]

    def refusal(self, settings: Settings, environ: Mapping[str, str]) -> str:
        """Return why nothing may be sent to its address; an empty string if it may get all."""
        for secret in (self.secret, self.headers):
            if secret is not None and (refusal := secret.refusal(settings, environ)):
                return refusal
        if not self.address:
            return ""
        return address_problem(getattr(settings, self.address) or "", self.address)

    def _missing_library(self) -> str:
        if not self.library or _is_installed(self.library):
            return ""
        install = f"pip install 'carbon-callbacks[{self.extra}]'"
        return f"{self.title} needs the module {self.library}: {install}"

    def _missing_secret(
        self, secret: Secret, settings: Settings, environ: Mapping[str, str]
    ) -> str:
        if not self.needs_secret or secret.value(settings, environ) is not None:
            return ""
        or_variable = f", or the variable {secret.variable}" if secret.variable else ""
        return f"{self.title} needs {secret.key}{or_variable}"


def _is_installed(library: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):  # a parent package is missing, or is no package
        return False
