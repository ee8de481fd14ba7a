"""Pages of the browser, without a client of DevTools."""

from __future__ import annotations

import base64

from acceptance.conftest import NewSession
from agentbay import BrowserFingerprint, BrowserOption


def test_a_page_is_navigated_and_pictured(new_session: NewSession) -> None:
    session = new_session(image_id="browser_latest")
    assert session.browser.initialize(BrowserOption())
    operator = session.browser.operator
    page = "<title>Here</title><body style='margin:0'><div style='height:3000px'>Hello</div>"
    assert session.file_system.write_file("/tmp/here.html", page).success
    assert '"Here"' in operator.navigate("file:///tmp/here.html")
    kind, _, data = operator.screenshot().partition(",")
    picture = base64.b64decode(data)
    assert kind == "data:image/png;base64" and picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[20:24], "big") == 3000  # the height of a PNG
    assert operator.navigate("http://127.0.0.1:1/").startswith("Navigation failed: ")
    assert operator.close()


def test_a_browser_looks_like_another(new_session: NewSession) -> None:
    session = new_session(image_id="browser_latest")
    windows = BrowserFingerprint(operating_systems=["windows"])
    assert session.browser.initialize(BrowserOption(use_stealth=True, fingerprint=windows))
    page = "data:text/html,<script>document.title = navigator.platform + ' ' + navigator.userAgent</script>"
    said = session.browser.operator.navigate(page)
    assert '"Win32 Mozilla/5.0 (Windows NT 10.0;' in said
