"""Extensions of a session's browser, which are archives in a context."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path

import pytest

from acceptance.conftest import SITE, NewContext, NewSession, serve
from acceptance.test_browser_clients import FILES, playwright
from acceptance.test_contexts import put, zipped
from agentbay import AgentBay, BrowserContext, ExtensionOption, ExtensionsService


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
    serve(session, FILES)
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


def test_extensions_are_kept_by_a_service(agent_bay: AgentBay, new_session: NewSession, tmp_path: Path) -> None:
    service = ExtensionsService(agent_bay)
    archive = tmp_path / "mine.zip"
    archive.write_bytes(extension(3))
    (tmp_path / "none.zip").write_text("no archive")
    try:
        first, second = service.create(str(archive)), service.create(str(archive))
        assert first.name == "mine.zip" and {e.id for e in service.list()} == {first.id, second.id}
        assert service.update(first.id, str(archive)).id == first.id
        assert service.delete(second.id) and [e.id for e in service.list()] == [first.id]
        with pytest.raises(FileNotFoundError):
            service.create(str(tmp_path / "nowhere.zip"))
        with pytest.raises(ValueError, match="no archive"):
            service.create(str(tmp_path / "none.zip"))
        with pytest.raises(ValueError, match="there is no extension"):
            service.update(second.id, str(archive))
        with pytest.raises(ValueError, match="at least"):
            service.create_extension_option([])
        mount = service.create_extension_option([first.id]).mount()
        session = new_session(image_id="browser_latest", context_syncs=[mount])
        folder = first.id.removesuffix(".zip")
        assert session.command.execute_command("ls /tmp/extensions").output.split() == [folder]
    finally:
        assert service.cleanup()
