"""The documentation as a site, as `nox -s docs` builds it: read from files, it requests nothing."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("material") is None, reason="`nox -s docs` installs mkdocs"
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", directory]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return directory


@pytest.fixture
def page(site):
    browsers = [path for path in BROWSERS if Path(path).exists()]
    if not browsers:
        pytest.skip("no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browsers[0], args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def test_the_search_works_from_files_and_no_page_requests_anything(site, page):
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto((site / "settings.html").as_uri())
    page.locator("input.md-search__input").first.click()
    page.keyboard.type("strict_config")
    page.locator(".md-search-result__item").first.wait_for()
    assert "strict_config" in page.locator(".md-search-result__list").inner_text()
    assert [url for url in requested if not url.startswith(("file:", "data:", "blob:"))] == []
