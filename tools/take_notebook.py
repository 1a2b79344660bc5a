"""Takes the picture of the table that a notebook shows below a cell: that of a tracker.

Requires Chromium, and the packages that `nox -s pictures` installs. The figures depend on the machine.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from carbon_callbacks import EmissionsTracker

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "notebook.png"
CELL = """with EmissionsTracker(project_name="notebook", country_iso_code="FRA") as tracker:
    train()

tracker"""
PAGE = """<body style="font: 14px sans-serif; margin: 16px">
<pre style="background: #f5f5f5; border: 1px solid #ddd; padding: 8px; font-size: 13px">{cell}</pre>
{table}"""
SECONDS = 3.0


def table() -> str:
    """Return the table of a run."""
    end = time.monotonic() + SECONDS
    settings = {"project_name": "notebook", "country_iso_code": "FRA", "save_to_file": False}
    with EmissionsTracker(**settings) as tracker:
        while time.monotonic() < end:
            sum(range(10_000))
    return tracker._repr_html_()


def main(chromium: str = "/usr/bin/chromium") -> None:
    """Measure, and capture the table."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 760, "height": 200}, device_scale_factor=1.5)
        page.set_content(PAGE.format(cell=CELL, table=table()))
        page.screenshot(path=PICTURE, full_page=True)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:2])
