"""Commands and options of ``carbon-callbacks config``; `config` implements them."""

from __future__ import annotations

from typing import Annotated

import typer

from carbon_callbacks.cli import config

config_app = typer.Typer(help="Show, check and write settings.", no_args_is_help=True)


def example(arguments: str) -> str:
    """Return the last line of the help of a command."""
    return f"Example: carbon-callbacks {arguments}"


_ShowSecrets = Annotated[bool, typer.Option("--show-secrets", help="Show secrets unmasked.")]


@config_app.command("show", epilog=example("config show --origin"))
def config_show_command(
    origin: Annotated[
        bool, typer.Option("--origin", help="Show the source of each value.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    show_secrets: _ShowSecrets = False,
) -> None:
    """Show the effective settings."""
    config.show(with_origin=origin, as_json=json, with_secrets=show_secrets)


@config_app.command("get", epilog=example("config get output_dir"))
def config_get_command(key: str, show_secrets: _ShowSecrets = False) -> None:
    """Print the effective value of one setting."""
    config.get(key, with_secrets=show_secrets)


@config_app.command(
    "set",
    epilog=example("config set country_iso_code FRA --global"),
    # A value may begin with a minus sign: longitude -71.06.
    context_settings={"ignore_unknown_options": True},
)
def config_set_command(
    key: str,
    value: Annotated[
        str | None, typer.Argument(help="Prompted for if omitted; a secret is not echoed.")
    ] = None,
    for_user: Annotated[
        bool, typer.Option("--global/--local", help="File in the home or the working directory.")
    ] = False,
) -> None:
    """Write a setting to ./.codecarbon.config, or with --global to ~/.codecarbon.config."""
    config.set_value(key, value, for_user=for_user)


@config_app.command("check", epilog=example("config check"))
def config_check_command() -> None:
    """List all mistakes in files and variables; exit with 2 if there are any."""
    config.check_all()


@config_app.command("init", epilog=example("config init"))
def config_init_command() -> None:
    """Prompt for country, token and project name, and write the files."""
    config.init()
