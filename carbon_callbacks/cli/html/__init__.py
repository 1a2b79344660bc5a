"""``carbon-callbacks report --html``: the energy and carbon report, one self-contained file."""

from carbon_callbacks.cli.html.page import write

__all__ = ["write"]
