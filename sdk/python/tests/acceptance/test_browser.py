"""The browser of browser_latest: opened, dialled and driven by its DevTools."""

from __future__ import annotations

import json
import os
import ssl
import time

from websockets.sync.client import connect

from acceptance.conftest import NewSession
from agentbay import BrowserOption, BrowserScreen


def ask(url: str, method: str) -> dict[str, object]:
    """Ask a browser something."""
    tls = (
        ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE")) if url.startswith("wss:") else None
    )
    with connect(url, ssl=tls) as socket:
        socket.send(json.dumps({"id": 1, "method": method}))
        while True:
            answer = json.loads(socket.recv(timeout=20))
            if answer.get("id") == 1:
                return answer["result"]  # type: ignore[no-any-return]


def test_a_browser_is_driven_by_its_dev_tools(new_session: NewSession) -> None:
    session = new_session(image_id="browser_latest")
    option = BrowserOption(
        user_agent="Agent/7", screen=BrowserScreen(1280, 800), default_navigate_url="about:blank"
    )
    assert session.browser.initialize(option)
    assert ask(session.browser.get_endpoint_url(), "Browser.getVersion")["userAgent"] == "Agent/7"
    end = time.monotonic() + 20  # it can be dialled before its window is there
    while not (windows := session.computer.list_root_windows().windows):
        assert time.monotonic() < end, "the browser has no window"
        time.sleep(0.05)
    assert [w.pname for w in windows] == ["chromium"], windows
    assert session.browser.destroy().success
    assert session.browser.initialize()
    product = str(ask(session.browser.get_endpoint_url(), "Browser.getVersion")["product"])
    assert product.startswith("Chrome/"), product


def test_what_is_not_offered_is_refused(new_session: NewSession) -> None:
    session = new_session(image_id="browser_latest")
    assert not session.browser.initialize(BrowserOption(cmd_args=["--remote-debugging-port=1"]))
    assert not new_session(image_id="code_latest").browser.initialize()
