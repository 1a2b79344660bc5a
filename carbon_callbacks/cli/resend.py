"""``carbon-callbacks resend``: sends what services have not accepted of finished runs."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from carbon_callbacks.cli.terminal import say, warn, write_data
from carbon_core.assemble.making import messages_for
from carbon_core.assemble.outputs import problems, resendable
from carbon_core.assemble.resending import resend
from carbon_core.clock import SystemClock
from carbon_core.config.local_trust import warnings
from carbon_core.config.output_table import OutputArguments
from carbon_core.config.resolve import resolve
from carbon_core.config.sources import process_environment
from carbon_core.formatting import energy


def run(directory: Path, *, as_json: bool) -> None:
    """Send and print missing results; exit with 1 if a service did not accept all of them.

    Args:
        directory: An output directory.
        as_json: Print JSON instead of lines.
    """
    settings, environ, clock = resolve({}).settings, process_environment(), SystemClock()
    messages = messages_for(settings)
    for text in [*warnings(settings, environ), *problems(settings, environ)]:
        messages.warn(text)
    if not resendable(settings, environ):
        messages.deliver()
        text = "no upload service configured: set emissions_endpoint, or save_to_api"
        warn(text)
        raise typer.Exit(2)
    done = list(resend(OutputArguments(settings, environ, directory, clock), messages))
    messages.deliver()
    if as_json:
        write_data(json.dumps([one._asdict() for one in done], indent=2))
    else:
        for one in done:
            outcome = "sent" if one.accepted else "not accepted"
            say(f"{one.run_id}: {energy(one.energy_kwh)} {outcome} ({one.service})")
        if not done:
            say("everything was delivered already")
    if not all(one.accepted for one in done):
        raise typer.Exit(1)
