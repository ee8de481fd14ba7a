"""The desktop: what is sent, and how answers are read."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from bay import TestBay

from agentbay import MouseButton, ScrollDirection, Session

WINDOW = {
    "window_id": 7,
    "window_title": "Editor",
    "absolute_upper_left_x": -1,
    "absolute_upper_left_y": 2,
    "width": 3,
    "height": 4,
    "pid": 5,
    "pname": "gedit",
    "child_windows": [{"window_id": 8, "window_title": None}],
}
PNG = b"\x89PNG\r\n\x1a\n rest"


def answering(bay: TestBay, tool: str, text: Any, failed: bool = False) -> None:
    answer = text if isinstance(text, str) else json.dumps(text)
    bay.tools[tool] = lambda _: (answer, failed)


CALLS: list[tuple[Callable[[Session], Any], str, dict[str, Any]]] = [
    (lambda s: s.computer.click_mouse(1, 2), "click_mouse", {"x": 1, "y": 2, "button": "left"}),
    (
        lambda s: s.computer.click_mouse(1, 2, MouseButton.DOUBLE_LEFT),
        "click_mouse",
        {"x": 1, "y": 2, "button": "double_left"},
    ),
    (lambda s: s.computer.move_mouse(1, 2), "move_mouse", {"x": 1, "y": 2}),
    (
        lambda s: s.computer.drag_mouse(1, 2, 3, 4, "middle"),
        "drag_mouse",
        {"from_x": 1, "from_y": 2, "to_x": 3, "to_y": 4, "button": "middle"},
    ),
    (
        lambda s: s.computer.scroll(1, 2, ScrollDirection.DOWN, 3),
        "scroll",
        {"x": 1, "y": 2, "direction": "down", "amount": 3},
    ),
    (lambda s: s.computer.input_text("你好\n"), "input_text", {"text": "你好\n"}),
    (lambda s: s.computer.press_keys(["Ctrl", "a"]), "press_keys", {"keys": ["Ctrl", "a"], "hold": False}),
    (lambda s: s.computer.press_keys(["Ctrl"], hold=True), "press_keys", {"keys": ["Ctrl"], "hold": True}),
    (lambda s: s.computer.release_keys(["Ctrl"]), "release_keys", {"keys": ["Ctrl"]}),
    (lambda s: s.computer.activate_window(7), "activate_window", {"window_id": 7}),
    (lambda s: s.computer.close_window(7), "close_window", {"window_id": 7}),
    (lambda s: s.computer.maximize_window(7), "maximize_window", {"window_id": 7}),
    (lambda s: s.computer.minimize_window(7), "minimize_window", {"window_id": 7}),
    (lambda s: s.computer.restore_window(7), "restore_window", {"window_id": 7}),
    (lambda s: s.computer.fullscreen_window(7), "fullscreen_window", {"window_id": 7}),
    (lambda s: s.computer.resize_window(7, 8, 9), "resize_window", {"window_id": 7, "width": 8, "height": 9}),
    (lambda s: s.computer.focus_mode(True), "focus_mode", {"on": True}),
    (lambda s: s.computer.stop_app_by_pname("x"), "stop_app_by_pname", {"pname": "x"}),
    (lambda s: s.computer.stop_app_by_pid(5), "stop_app_by_pid", {"pid": 5}),
    (lambda s: s.computer.stop_app_by_cmd("kill"), "stop_app_by_cmd", {"stop_cmd": "kill"}),
]


@pytest.mark.parametrize(("call", "tool", "args"), CALLS)
def test_what_acts_says_what_to_do(
    bay: TestBay, session: Session, call: Callable[[Session], Any], tool: str, args: dict[str, Any]
) -> None:
    answering(bay, tool, "Done")
    result = call(session)
    assert result.success and result.error_message == "" and result.request_id
    assert bay.tool_calls[-1][1:] == (tool, args)
    answering(bay, tool, "it is not on the screen", failed=True)
    result = call(session)
    assert not result.success and "not on the screen" in result.error_message and result.request_id


def test_words_that_mean_nothing_are_not_sent(bay: TestBay, session: Session) -> None:
    for call in (
        lambda: session.computer.click_mouse(1, 2, "fourth"),
        lambda: session.computer.drag_mouse(1, 2, 3, 4, MouseButton.DOUBLE_LEFT),
        lambda: session.computer.scroll(1, 2, "sideways"),
        lambda: session.computer.beta_take_screenshot("gif"),
    ):
        with pytest.raises(ValueError, match="Must be"):
            call()
    assert bay.tool_calls == []


def test_what_is_asked_is_answered(bay: TestBay, session: Session) -> None:
    answering(bay, "get_cursor_position", {"x": 1, "y": 2})
    assert session.computer.get_cursor_position().data == {"x": 1, "y": 2}
    answering(bay, "get_screen_size", {"width": 1920, "height": 1080, "dpiScalingFactor": 1.0})
    assert session.computer.get_screen_size().data["width"] == 1920
    answering(bay, "system_screenshot", "https://bay/objects/x.png")
    shot = session.computer.screenshot()
    assert shot.success and shot.data == "https://bay/objects/x.png" and shot.request_id


def test_windows(bay: TestBay, session: Session) -> None:
    answering(bay, "list_root_windows", [WINDOW])
    result = session.computer.list_root_windows()
    window = result.windows[0]
    assert (window.window_id, window.title, window.absolute_upper_left_x, window.pname) == (7, "Editor", -1, "gedit")
    assert window.child_windows[0].title == ""
    assert bay.tool_calls[-1][2] == {"timeout_ms": 3000}
    answering(bay, "get_active_window", WINDOW)
    active = session.computer.get_active_window().window
    assert active is not None and active.window_id == 7
    answering(bay, "get_active_window", "no window is active", failed=True)
    none = session.computer.get_active_window()
    assert not none.success and none.window is None and "active" in none.error_message


def test_applications(bay: TestBay, session: Session) -> None:
    answering(bay, "get_installed_apps", [{"name": "gedit", "start_cmd": "gedit %U"}])
    apps = session.computer.get_installed_apps(desktop=True, ignore_system_apps=False).data
    assert (apps[0].name, apps[0].start_cmd, apps[0].stop_cmd) == ("gedit", "gedit %U", None)
    assert bay.tool_calls[-1][2] == {"start_menu": True, "desktop": True, "ignore_system_app": False}
    answering(bay, "start_app", [{"pname": "gedit", "pid": 5, "cmdline": "gedit /x"}])
    started = session.computer.start_app("gedit /x", "/tmp").data
    assert (started[0].pname, started[0].pid, started[0].cmdline) == ("gedit", 5, "gedit /x")
    assert bay.tool_calls[-1][2] == {"start_cmd": "gedit /x", "work_directory": "/tmp"}
    answering(bay, "list_visible_apps", [])
    assert session.computer.list_visible_apps().data == []


def test_a_picture_is_checked(bay: TestBay, session: Session) -> None:
    picture = {"type": "image", "mime_type": "image/png", "data": base64.b64encode(PNG).decode(), "width": 2, "height": 3}
    answering(bay, "screenshot", picture)
    shot = session.computer.beta_take_screenshot()
    assert (shot.success, shot.data, shot.type, shot.mime_type) == (True, PNG, "image", "image/png")
    assert (shot.width, shot.height) == (2, 3) and bay.tool_calls[-1][2] == {"format": "png"}
    for wrong in (
        {**picture, "data": "!!!"},
        {**picture, "data": base64.b64encode(b"GIF89a").decode()},
        {**picture, "mime_type": "image/jpeg"},
        {"type": "image"},
        [],
    ):
        answering(bay, "screenshot", wrong)
        shot = session.computer.beta_take_screenshot()
        assert not shot.success and shot.data == b"" and "cannot be read" in shot.error_message


@pytest.mark.parametrize("text", ["", "[1]", "null", '{"window_id": "x"}', '[{"pid": 1}]', "no JSON"])
def test_answers_that_are_none_are_failures(bay: TestBay, session: Session, text: str) -> None:
    for tool, call in (
        ("list_root_windows", session.computer.list_root_windows),
        ("get_active_window", session.computer.get_active_window),
        ("get_installed_apps", session.computer.get_installed_apps),
        ("list_visible_apps", session.computer.list_visible_apps),
        ("get_cursor_position", session.computer.get_cursor_position),
    ):
        answering(bay, tool, text)
        result = call()
        assert tool == "get_cursor_position" and text.startswith("{") or not result.success, f"{tool}: {result}"
