"""The browser of a session, used by the stock clients that its users have."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.conftest import SITE, make, serve
from agentbay import AgentBay, Session

playwright = pytest.importorskip(
    "playwright.sync_api", reason="lacks Playwright; pip install 'agentbay[test]'"
)

PAGE = """<!doctype html><title>A page</title><h1>Hello</h1>
<a href="note" download>the note</a> <input type="file"> <output></output>
<script>
const [input, output] = ["input", "output"].map(e => document.querySelector(e));
input.onchange = async () => output.value = `${input.files[0].name}: ${await input.files[0].text()}`;
</script>
"""
FILES = {"index.html": PAGE, "note": "sent"}


@pytest.fixture(scope="module")
def session(agent_bay: AgentBay) -> Iterator[Session]:
    """A session that serves a site and has its browser open."""
    with make(agent_bay, image_id="browser_latest") as session:
        serve(session, FILES)
        assert session.browser.initialize()
        yield session


def over_http(url: str) -> str:
    """The link to the DevTools as an address that clients ask where the WebSocket is."""
    return "http" + url.partition("/devtools/")[0].removeprefix("ws") + "/"


@pytest.fixture(params=["websocket", "http"])
def link(request: pytest.FixtureRequest, session: Session) -> str:
    """The link to the DevTools, in each form that clients take."""
    url = session.browser.get_endpoint_url()
    return url if request.param == "websocket" else over_http(url)


@pytest.fixture
def browser(link: str) -> Iterator[playwright.Browser]:
    """The session's browser, as Playwright has it."""
    with playwright.sync_playwright() as p:
        browser = p.chromium.connect_over_cdp(link)
        yield browser
        browser.close()


def test_playwright_uses_the_browser(browser: playwright.Browser) -> None:
    context = browser.contexts[0]
    page = context.new_page()
    page.goto(SITE)
    assert (page.title(), page.inner_text("h1")) == ("A page", "Hello")
    page.set_input_files("input", {"name": "note", "mimeType": "text/plain", "buffer": b"sent"})
    page.get_by_text("note: sent").wait_for()
    assert page.screenshot().startswith(b"\x89PNG")
    other = browser.new_context()
    other.new_page().goto(SITE)
    assert len(other.pages) == 1 and page not in other.pages
    other.close()
    page.close()


def test_what_a_page_downloads_is_in_the_session(browser: playwright.Browser, session: Session) -> None:
    devtools = browser.new_browser_cdp_session()
    devtools.send("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": "/tmp/downloads"})
    page = browser.contexts[0].new_page()
    page.goto(SITE)
    with page.expect_download() as download:
        page.click("a")
    assert download.value.failure() is None
    assert session.file_system.read_file("/tmp/downloads/note").content == "sent"
    page.close()


@pytest.mark.parametrize("client", ["playwright", "puppeteer"])
def test_clients_for_node_share_the_browser(browser: playwright.Browser, link: str, client: str) -> None:
    modules = os.environ.get("AGENTBAY_TEST_CLIENTS")
    if not modules:
        pytest.skip("lacks AGENTBAY_TEST_CLIENTS, the clients for Node; scripts/clients installs them")
    mine = browser.contexts[0].new_page()
    mine.goto(f"{SITE}?of=python")
    theirs = f"{SITE}?of={client}"
    script = Path(__file__).parent / "clients" / f"{client}.js"
    with browser.contexts[0].expect_page() as opened:
        run = subprocess.run(
            [str(Path(sys.executable).parent / "node"), str(script), link, theirs, mine.url],
            env={**os.environ, "NODE_PATH": modules},
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert run.returncode == 0, run.stderr
    opened.value.wait_for_url(theirs)
    assert opened.value.inner_text("output") == "note: sent"
    for page in (opened.value, mine):
        page.close()
