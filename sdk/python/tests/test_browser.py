"""The browser: what is sent, and how answers are read."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from bay import Call, TestBay

from agentbay import (
    ActOptions,
    ActResult,
    BrowserContext,
    BrowserError,
    BrowserFingerprint,
    BrowserOperator,
    BrowserOption,
    BrowserProxy,
    BrowserScreen,
    BrowserSyncMode,
    CreateSessionParams,
    ExtensionOption,
    ExtractOptions,
    ObserveOptions,
    ObserveResult,
    Session,
)


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


def test_a_disguise_is_sent(bay: TestBay, session: Session) -> None:
    opening(bay, {"Port": 9222})
    option = BrowserOption(
        use_stealth=True,
        fingerprint=BrowserFingerprint(operating_systems=["windows"], locales=["de-DE"]),
        fingerprint_format={"fingerprint": {}},
        fingerprint_persistent=True,
        proxies=[BrowserProxy(server="socks5://p:1", username="u", password="w")],
    )
    assert session.browser.initialize(option)
    sent = json.loads(bay.calls[-1]["BrowserOption"])
    assert sent["useStealth"] and sent["fingerprintPersistPath"] == "/tmp/browser_fingerprint"
    assert sent["fingerprint"] == {"operatingSystems": ["windows"], "locales": ["de-DE"]}
    assert json.loads(base64.b64decode(sent["fingerprintRawData"])) == {"fingerprint": {}}
    proxy = {"type": "custom", "server": "socks5://p:1", "username": "u", "password": "w"}
    assert sent["proxies"] == [proxy]


def test_a_browser_that_does_not_open(bay: TestBay, session: Session) -> None:
    opening(bay, {"Port": None})
    assert not session.browser.initialize()
    assert not session.browser.is_initialized()


def opened(bay: TestBay, session: Session) -> BrowserOperator:
    opening(bay, {"Port": 9222})
    assert session.browser.initialize()
    return session.browser.operator


def test_pages_are_navigated_and_pictured(bay: TestBay, session: Session) -> None:
    with pytest.raises(BrowserError, match="must be initialized"):
        session.browser.operator.navigate("https://a.example")
    operator = opened(bay, session)
    assert session.browser.agent is operator
    bay.tools["page_use_navigate"] = lambda args: (f"Navigated to {args['url']}", False)
    assert operator.navigate("https://a.example") == "Navigated to https://a.example"
    bay.tools["page_use_navigate"] = lambda _: ("no such host", True)
    assert operator.navigate("https://a.example") == "Navigation failed: no such host"
    bay.tools["page_use_screenshot"] = lambda args: (json.dumps(args), False)
    clip = {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}
    assert json.loads(operator.screenshot("page", full_page=False, clip=clip)) == {
        "page_id": "page",
        "full_page": False,
        "quality": 80,
        "clip": clip,
    }
    bay.tools["page_use_close_session"] = lambda _: ("closed", False)
    assert operator.close()


def under_way(bay: TestBay, tool: str, pending: tuple[str, bool], done: tuple[str, bool]) -> list[Any]:
    """Has a task of a tool be done when it is asked about the third time; returns what begins it."""
    begun: list[Any] = []
    asked: list[Any] = []

    def begin(args: Any) -> tuple[str, bool]:
        begun.append(args)
        return '{"task_id": "t1"}', False

    def result(args: Any) -> tuple[str, bool]:
        asked.append(args)
        assert args == {"task_id": "t1"}
        return pending if len(asked) < 3 else done

    bay.tools[f"page_use_{tool}_async"] = begin
    bay.tools[f"page_use_get_{tool}_result"] = result
    return begun


def test_an_action_is_waited_for(bay: TestBay, session: Session) -> None:
    operator = opened(bay, session)
    pending = ('{"is_done": false, "steps": []}', False)
    begun = under_way(bay, "act", pending, ('{"is_done": true, "success": true, "steps": "clicked"}', False))
    result = operator.act(ActOptions("log in as %name%", variables={"name": "Ann"}, timeout=5))
    assert result == ActResult(True, "clicked")
    assert begun == [{"action": "log in as %name%", "variables": {"name": "Ann"}, "timeout": 5}]
    begun = under_way(bay, "act", pending, ('{"is_done": true, "success": false, "steps": ""}', False))
    seen = ObserveResult("xpath=/a", "a link", "click", {"selector": "xpath=/a"})
    assert operator.act(seen, page="p") == ActResult(False, "No actions have been executed.")
    assert json.loads(begun[0]["action"]) == {"method": "click", "arguments": {"selector": "xpath=/a"}}
    under_way(bay, "act", pending, pending)
    with pytest.raises(BrowserError, match="not done after"):
        operator.act(ActOptions("wait", timeout=0.2))


def test_what_is_observed_and_extracted_is_read(bay: TestBay, session: Session) -> None:
    operator = opened(bay, session)
    pending = ("task t1 is still under way", True)
    item = {"selector": "xpath=/a", "description": "a link", "method": "click", "arguments": '{"ref": "e1"}'}
    under_way(bay, "observe", pending, (json.dumps([item]), False))
    found = [ObserveResult("xpath=/a", "a link", "click", {"ref": "e1"})]
    assert operator.observe(ObserveOptions("links")) == (True, found)
    begun = under_way(bay, "extract", pending, ('{"price": 3}', False))
    schema = {"type": "object"}
    assert operator.extract(ExtractOptions("the price", schema, max_page=2)) == (True, {"price": 3})
    assert begun[0]["field_schema"] == 'schema: {"type": "object"}' and begun[0]["max_page"] == 2

    class Price:
        """As Pydantic's models are."""

        def __init__(self, price: int) -> None:
            self.price = price

        @classmethod
        def model_json_schema(cls) -> dict[str, Any]:
            return schema

        @classmethod
        def model_validate(cls, value: dict[str, Any]) -> Price:
            return cls(**value)

    under_way(bay, "extract", pending, ('{"price": 3}', False))
    assert operator.extract(ExtractOptions("the price", Price))[1].price == 3
    under_way(bay, "extract", pending, ("no model is configured", True))
    with pytest.raises(BrowserError, match="no model is configured"):
        operator.extract(ExtractOptions("the price", schema))


def test_a_profile_is_mounted_where_the_browser_has_it() -> None:
    for mode, others in ((BrowserSyncMode.STANDARD, True), (BrowserSyncMode.MINIMAL, False)):
        params = CreateSessionParams(browser_context=BrowserContext("SdkCtx-1", False, mode))
        (mount,) = params.mounts()
        assert (mount.context_id, mount.path) == ("SdkCtx-1", "/tmp/agentbay_browser")
        policy = json.loads(mount.to_wire()["Policy"])
        kept = {entry["path"] for entry in policy["bwList"]["whiteLists"]}
        assert {"/Local State", "/Default/Cookies"} <= kept and ("/Default/Local Storage" in kept) == others
        assert policy["uploadPolicy"]["autoUpload"] is False


def test_extensions_are_mounted_unpacked_by_name() -> None:
    option = ExtensionOption("SdkCtx-2", ["ext_1.zip", "ext_2.zip"])
    params = CreateSessionParams(browser_context=BrowserContext("SdkCtx-1", extension_option=option))
    mount = params.mounts()[-1]
    assert (mount.context_id, mount.path) == ("SdkCtx-2", "/tmp/extensions")
    policy = json.loads(mount.to_wire()["Policy"])
    assert [entry["path"] for entry in policy["bwList"]["whiteLists"]] == ["/ext_1.zip", "/ext_2.zip"]
    assert policy["extractPolicy"]["extract"] and policy["extractPolicy"]["deleteSrcFile"]
    for context, ids in ((" ", ["ext_1.zip"]), ("SdkCtx-2", [])):
        with pytest.raises(ValueError):
            ExtensionOption(context, ids)
