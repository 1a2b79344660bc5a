"""``carbon-callbacks report --html``: one file to look at, which needs nothing else and asks nobody."""

from carbon_callbacks.cli.html.page import write

__all__ = ["write"]
