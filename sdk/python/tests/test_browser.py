"""The browser: what is sent, and how answers are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bay import Call, TestBay

from agentbay import BrowserError, BrowserOption, BrowserScreen, Session


def opening(bay: TestBay, data: Any) -> None:
    def answer(_: Call) -> dict[str, Any]:
        return {"Data": data}

    bay.do_InitBrowser = answer  # type: ignore[attr-defined]


def test_a_browser_is_opened_and_dialled(bay: TestBay, session: Session) -> None:
    with pytest.raises(BrowserError, match="not initialized"):
        session.browser.get_endpoint_url()
    opening(bay, {"Port": 9222})
    option = BrowserOption(
        user_agent="UA", screen=BrowserScreen(800, 600), cmd_args=["--x"], proxies=[{"type": "custom"}]
    )
    assert session.browser.initialize(option) and session.browser.is_initialized()
    assert json.loads(bay.calls[-1]["BrowserOption"]) == {
        "useStealth": False,
        "userAgent": "UA",
        "screen": {"width": 800, "height": 600},
        "solveCaptchas": False,
        "autoLogin": False,
        "callForUser": False,
        "proxies": [{"type": "custom"}],
        "extensionPath": "/tmp/extensions/",
        "cmdArgs": ["--x"],
    }
    assert bay.calls[-1]["PersistentPath"] == "/tmp/agentbay_browser"
    bay.do_GetCdpLink = lambda _: {"Data": {"Url": "ws://bay/x"}}  # type: ignore[attr-defined]
    assert session.browser.get_endpoint_url() == "ws://bay/x"
    bay.tools["stopChrome"] = lambda _: ("closed", False)
    assert session.browser.destroy().success and not session.browser.is_initialized()


def test_a_browser_that_does_not_open(bay: TestBay, session: Session) -> None:
    opening(bay, {"Port": None})
    assert not session.browser.initialize()
    assert not session.browser.is_initialized()
