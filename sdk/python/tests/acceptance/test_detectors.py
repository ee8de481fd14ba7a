"""What public detectors of browsers that programs drive say of a session's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.conftest import SITE, make, serve
from agentbay import AgentBay, BrowserFingerprint, BrowserOption, Session

FOUND = "timeout 30 tail -n +1 -F /tmp/site.log | grep -m 1 -o 'found?[^ ]*'; truncate -s 0 /tmp/site.log"
CHECKS = 30  # of both detectors, at least


@pytest.fixture(scope="module")
def session(agent_bay: AgentBay) -> Iterator[Session]:
    """A session that serves a page with detectors."""
    modules = os.environ.get("AGENTBAY_TEST_CLIENTS")
    if not modules:
        pytest.skip("lacks AGENTBAY_TEST_CLIENTS, the detectors; scripts/clients installs them")
    page = Path(__file__).parent / "clients" / "detectors.html"
    scripts = ["fpscanner/dist/fpScanner.es.js", "@fingerprintjs/botd/dist/botd.esm.js"]
    with make(agent_bay, image_id="browser_latest") as session:
        files = [page, *(Path(modules) / name for name in scripts)]
        serve(session, {file.name: file.read_text() for file in files})
        yield session


def open_browser(session: Session, **options: object) -> None:
    session.browser.destroy()
    assert session.browser.initialize(BrowserOption(**options))  # type: ignore[arg-type]


def found(session: Session) -> set[str]:
    """What detectors find in the browser that is open, each check by its name."""
    session.browser.operator.navigate(SITE + "detectors.html")
    result = session.command.execute_command(FOUND, timeout_ms=40_000)
    assert result.output.startswith("found?of="), result
    checks, _, what = result.output.strip().removeprefix("found?of=").partition("&what=")
    assert int(checks) >= CHECKS
    return set(filter(None, what.split(",")))


def test_detectors_find_that_there_is_no_video_card_without_stealth(session: Session) -> None:
    open_browser(session)
    assert found(session) == {"hasSwiftshaderRenderer", "hasUTCTimezone"}


@pytest.mark.parametrize(
    "fingerprint",
    [
        None,
        BrowserFingerprint(operating_systems=["windows"], locales=["de-DE"]),
        BrowserFingerprint(operating_systems=["macos"], locales=["fr-FR"]),
        BrowserFingerprint(operating_systems=["linux"], locales=["zh-CN"]),
        BrowserFingerprint(devices=["mobile"], operating_systems=["android"], locales=["pt-BR"]),
    ],
    ids=["its own", "windows", "macos", "linux", "android"],
)
def test_detectors_find_nothing_with_stealth(
    session: Session, fingerprint: BrowserFingerprint | None
) -> None:
    open_browser(session, use_stealth=True, fingerprint=fingerprint)
    assert found(session) == set()


def test_detectors_find_a_client_that_is_connected(session: Session) -> None:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="lacks Playwright; pip install 'agentbay[test]'"
    )
    open_browser(session, use_stealth=True)
    with playwright.sync_playwright() as p:
        p.chromium.connect_over_cdp(session.browser.get_endpoint_url())
        assert found(session) == {"hasCDP"}  # Playwright listens to the console
