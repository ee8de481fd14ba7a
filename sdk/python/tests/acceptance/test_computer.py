"""The desktop of linux_latest: real applications, driven and read back."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from agentbay import Computer, MouseButton, ScrollDirection, Session, Window


@pytest.fixture
def computer(linux_session: Session) -> Iterator[Computer]:
    """The shared session's desktop, without applications before and after."""
    yield linux_session.computer
    for app in linux_session.computer.list_visible_apps().data:
        linux_session.computer.stop_app_by_pid(app.pid)


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait for what a program does in its own time."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, f"it does not happen: {what}"
        time.sleep(0.05)


def start(computer: Computer, command: str) -> Window:
    """Start an application and return its window."""
    started = computer.start_app(command)
    assert started.success and started.data, started.error_message
    listed = computer.list_root_windows()
    assert listed.success, listed.error_message
    return next(w for w in listed.windows if w.pid == started.data[0].pid)


def now(computer: Computer, window: Window) -> Window:
    return next(w for w in computer.list_root_windows().windows if w.window_id == window.window_id)


def test_text_in_any_script_arrives_in_an_editor(linux_session: Session, computer: Computer) -> None:
    path = "/home/wuying/note.txt"
    linux_session.file_system.write_file(path, "")
    window = start(computer, f"gedit {path}")
    eventually(lambda: "note.txt" in now(computer, window).title, "gedit has its file")
    text = "Hello 世界 🎉\nsecond line, привет\n" + "0123456789 " * 40
    assert computer.input_text(text).success
    assert computer.press_keys(["Ctrl", "s"]).success
    eventually(lambda: linux_session.file_system.read_file(path).content == text + "\n", "the text is saved")


def test_mouse_and_screen(computer: Computer) -> None:
    size = computer.get_screen_size().data
    assert (size["width"], size["height"], size["dpiScalingFactor"]) == (1920, 1080, 1)
    assert computer.move_mouse(640, 360).success
    assert computer.get_cursor_position().data == {"x": 640, "y": 360}
    for button in MouseButton:
        assert computer.click_mouse(700, 400, button).success
    assert computer.press_keys(["Escape"]).success
    for direction in ScrollDirection:
        assert computer.scroll(700, 400, direction, 2).success


def test_windows_do_what_they_are_told(computer: Computer) -> None:
    window = start(computer, "pcmanfm /usr")
    assert computer.resize_window(window.window_id, 800, 500).success
    small = now(computer, window)
    assert computer.maximize_window(window.window_id).success
    assert (now(computer, window).width or 0) > 1900
    assert computer.restore_window(window.window_id).success
    assert (now(computer, window).width, now(computer, window).height) == (small.width, small.height)
    assert computer.fullscreen_window(window.window_id).success
    assert (now(computer, window).width, now(computer, window).height) == (1920, 1080)
    assert computer.restore_window(window.window_id).success
    assert computer.minimize_window(window.window_id).success
    assert computer.activate_window(window.window_id).success
    active = computer.get_active_window().window
    assert active is not None and active.window_id == window.window_id and active.pname == "pcmanfm"
    before = now(computer, window)
    x, y = before.absolute_upper_left_x or 0, before.absolute_upper_left_y or 0
    assert computer.drag_mouse(x + 300, y + 12, x + 340, y + 62).success
    assert now(computer, window).absolute_upper_left_x == x + 40
    assert computer.focus_mode(True).success and computer.focus_mode(False).success
    assert computer.close_window(window.window_id).success
    eventually(lambda: computer.list_root_windows().windows == [], "the window is closed")


def test_keys_are_held_and_released(linux_session: Session, computer: Computer) -> None:
    start(computer, "zenity --entry --text=Word > /tmp/word.txt")
    assert computer.press_keys(["Shift"], hold=True).success
    assert computer.press_keys(["a"]).success
    assert computer.release_keys(["Shift"]).success
    assert computer.press_keys(["b"]).success and computer.press_keys(["Return"]).success
    eventually(lambda: linux_session.file_system.read_file("/tmp/word.txt").content == "Ab\n", "it is read")


def test_applications(computer: Computer) -> None:
    apps = computer.get_installed_apps()
    assert apps.success and {"gedit", "Gnumeric"} <= {a.name for a in apps.data}
    assert computer.get_installed_apps(start_menu=False).data == []
    window = start(computer, "gedit %U")
    assert "gedit" in [p.pname for p in computer.list_visible_apps().data]
    assert computer.stop_app_by_pid(window.pid or 0).success
    start(computer, "gedit")
    assert computer.stop_app_by_pname("gedit").success
    start(computer, "gedit")
    assert computer.stop_app_by_cmd("pkill -x gedit").success
    missing = computer.start_app("no-such-application")
    assert not missing.success and "cannot be started" in missing.error_message


@pytest.mark.parametrize(("format", "magic"), [("png", b"\x89PNG"), ("jpeg", b"\xff\xd8\xff"), ("jpg", b"\xff\xd8\xff")])
def test_pictures_as_bytes(computer: Computer, format: str, magic: bytes) -> None:
    shot = computer.beta_take_screenshot(format)
    assert shot.success and shot.data.startswith(magic) and shot.type == "image", shot.error_message
    assert (shot.width, shot.height) == (1920, 1080)


def test_pictures_by_url(computer: Computer) -> None:
    shot = computer.screenshot()
    assert shot.success and shot.request_id, shot.error_message
    with urllib.request.urlopen(shot.data) as answer:
        assert answer.headers["Content-Type"] == "image/png" and answer.read(4) == b"\x89PNG"


def test_refusals_say_why(computer: Computer) -> None:
    for result, why in (
        (computer.click_mouse(-1, 5), "not on the screen"),
        (computer.move_mouse(5, 1080), "y from 0 to 1079"),
        (computer.press_keys(["Hyperspace"]), "no key"),
        (computer.activate_window(4242), "no window 4242"),
        (computer.stop_app_by_pid(999999), "no process 999999"),
        (computer.get_active_window(), "no window is active"),
    ):
        assert not result.success and why in result.error_message, result
