"""Extensions of a session's browser, which are archives in a context."""

from __future__ import annotations

import hashlib
import json
import uuid

from acceptance.conftest import NewContext, NewSession
from acceptance.test_browser_clients import SITE, playwright, serve
from acceptance.test_contexts import put, zipped
from agentbay import AgentBay, BrowserContext, ExtensionOption


def extension(version: int) -> bytes:
    """An extension that leaves its mark on each page, for a version of Chromium's manifest."""
    manifest = {
        "manifest_version": version,
        "name": f"Version {version}",
        "version": "1",
        "background": {"service_worker": "work.js"} if version == 3 else {"scripts": ["work.js"]},
        "content_scripts": [{"matches": ["http://*/*"], "js": ["mark.js"], "run_at": "document_start"}],
    }
    mark = f"document.documentElement.dataset.mark{version} = 'yes'"
    return zipped(**{"manifest.json": json.dumps(manifest), "mark.js": mark, "work.js": ""})


def address(name: str) -> str:
    """Where Chromium has an extension, by the directory it is loaded from."""
    digest = hashlib.sha256(f"/tmp/extensions/{name.removesuffix('.zip')}".encode()).hexdigest()[:32]
    return "chrome-extension://" + "".join(chr(ord("a") + int(c, 16)) for c in digest)


def test_extensions_are_loaded(agent_bay: AgentBay, new_context: NewContext, new_session: NewSession) -> None:
    store = new_context()
    good, old, broken, unnamed = names = [f"ext_{uuid.uuid4().hex}.zip" for _ in range(4)]
    for name, content in zip(names, (extension(3), extension(2), b"no archive", extension(3)), strict=True):
        put(agent_bay, store, f"/tmp/extensions/{name}", content)
    context = BrowserContext(
        new_context().id, extension_option=ExtensionOption(store.id, [good, old, broken])
    )
    session = new_session(image_id="browser_latest", browser_context=context)
    found = session.command.execute_command("ls /tmp/extensions").output.split()
    assert sorted(found) == sorted([good.removesuffix(".zip"), old.removesuffix(".zip"), broken])
    serve(session)
    assert session.browser.initialize()
    with playwright.sync_playwright() as p:
        browser = p.chromium.connect_over_cdp(session.browser.get_endpoint_url())
        page = browser.contexts[0].new_page()
        page.goto(SITE)
        assert page.evaluate("({...document.documentElement.dataset})") == {"mark3": "yes"}
        page.goto(f"{address(good)}/manifest.json")
        targets = browser.new_browser_cdp_session().send("Target.getTargets")["targetInfos"]
        browser.close()
    assert f"{address(good)}/work.js" in [t["url"] for t in targets if t["type"] == "service_worker"]
    assert unnamed.removesuffix(".zip") not in found
