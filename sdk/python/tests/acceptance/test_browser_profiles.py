"""What a browser keeps from one session to the next."""

from __future__ import annotations

import pytest

from acceptance.conftest import SITE, NewContext, NewSession, serve
from acceptance.test_browser_clients import FILES, playwright
from agentbay import (
    BrowserContext,
    BrowserFingerprint,
    BrowserFingerprintContext,
    BrowserOption,
    Session,
)

LOOK = "[document.cookie, localStorage.getItem('kept')]"
KEEP = "document.cookie = 'who=me; max-age=3600'; localStorage.setItem('kept', 'yes')"


def evaluate(session: Session, script: str, close: bool = False) -> object:
    """Run a script in a page of the session's site, and have the browser closed if asked."""
    serve(session, FILES)
    assert session.browser.initialize()
    with playwright.sync_playwright() as p:
        browser = p.chromium.connect_over_cdp(session.browser.get_endpoint_url())
        page = browser.contexts[0].new_page()
        page.goto(SITE)
        result = page.evaluate(script)
        if close:
            browser.new_browser_cdp_session().send("Browser.close")
            session.command.execute_command("while pgrep chromium; do sleep 0.05; done")
        browser.close()
    return result


def test_a_profile_goes_on_and_is_nobody_elses(new_context: NewContext, new_session: NewSession) -> None:
    mine, others = (BrowserContext(new_context().id) for _ in range(2))
    first = new_session(image_id="browser_latest", browser_context=mine)
    evaluate(first, KEEP, close=True)
    assert first.delete(sync_context=True).success
    assert evaluate(new_session(image_id="browser_latest", browser_context=mine), LOOK) == ["who=me", "yes"]
    assert evaluate(new_session(image_id="browser_latest", browser_context=others), LOOK) == ["", None]


def test_a_browser_that_is_open_is_closed_before_it_is_saved(
    new_context: NewContext, new_session: NewSession
) -> None:
    mine = BrowserContext(new_context().id)
    first = new_session(image_id="browser_latest", browser_context=mine)
    evaluate(first, KEEP)
    assert first.delete().success
    assert evaluate(new_session(image_id="browser_latest", browser_context=mine), LOOK) == ["who=me", "yes"]


def test_a_fingerprint_goes_on(new_context: NewContext, new_session: NewSession) -> None:
    with pytest.raises(ValueError, match="ID of a context"):
        BrowserFingerprintContext("")
    kept = BrowserFingerprintContext(new_context().id)
    option = BrowserOption(
        use_stealth=True,
        fingerprint_persistent=True,
        fingerprint=BrowserFingerprint(devices=["desktop"], operating_systems=["windows", "macos", "linux"]),
    )
    worn = []
    for _ in range(2):
        mine = BrowserContext(new_context().id, fingerprint_context=kept)
        session = new_session(image_id="browser_latest", browser_context=mine)
        assert session.browser.initialize(option)
        told = "document.title = [navigator.userAgent, navigator.hardwareConcurrency, screen.width]"
        worn.append(session.browser.operator.navigate(f"data:text/html,<script>{told}</script>"))
        assert session.delete(sync_context=True).success
    assert worn[0] == worn[1] and "Mozilla" in worn[0], worn
