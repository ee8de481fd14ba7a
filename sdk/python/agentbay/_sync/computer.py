# Written by tools/make_sync.py from agentbay/_async/computer.py; change that file instead.
"""The desktop of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._common.computer import (
    AppOperationResult,
    InstalledAppListResult,
    MouseButton,
    ProcessListResult,
    ScreenshotResult,
    ScrollDirection,
    WindowInfoResult,
    WindowListResult,
    done,
    parse_apps,
    parse_object,
    parse_processes,
    parse_screenshot,
    parse_window,
    parse_windows,
    value_of,
)
from .._common.results import BoolResult, McpToolResult, OperationResult

if TYPE_CHECKING:
    from .session import Session

TYPING_LIMIT_MS = 600_000
"""How long typing a long text may take."""


class Computer:
    """Mouse, keyboard, windows, applications and pictures of a session's screen.

    Points are pixels from the upper left corner. A call returns once its effect
    is there, where one can be observed.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def click_mouse(self, x: int, y: int, button: MouseButton | str = MouseButton.LEFT) -> BoolResult:
        """Click at a point. An unknown button is a ValueError."""
        args = {"x": x, "y": y, "button": value_of(MouseButton, button)}
        return done(self.session._call("click_mouse", args))

    def move_mouse(self, x: int, y: int) -> BoolResult:
        """Move the pointer to a point."""
        return done(self.session._call("move_mouse", {"x": x, "y": y}))

    def drag_mouse(
        self, from_x: int, from_y: int, to_x: int, to_y: int, button: MouseButton | str = MouseButton.LEFT
    ) -> BoolResult:
        """Press a button at one point and release it at another. DOUBLE_LEFT is a ValueError."""
        word = value_of(MouseButton, button, MouseButton.DOUBLE_LEFT)
        args = {"from_x": from_x, "from_y": from_y, "to_x": to_x, "to_y": to_y, "button": word}
        return done(self.session._call("drag_mouse", args))

    def scroll(
        self, x: int, y: int, direction: ScrollDirection | str = ScrollDirection.UP, amount: int = 1
    ) -> BoolResult:
        """Turn the wheel at a point by some notches. An unknown direction is a ValueError."""
        args = {"x": x, "y": y, "direction": value_of(ScrollDirection, direction), "amount": amount}
        return done(self.session._call("scroll", args))

    def get_cursor_position(self) -> OperationResult:
        """Where the pointer is: data has x and y."""
        return parse_object(self.session._call("get_cursor_position", {}))

    def input_text(self, text: str) -> BoolResult:
        """Type text, in any script, into what has the keyboard focus; a newline is the Return key."""
        return done(self.session._call("input_text", {"text": text}, time_limit_ms=TYPING_LIMIT_MS))

    def press_keys(self, keys: list[str], hold: bool = False) -> BoolResult:
        """Press keys together, such as ["Ctrl", "a"]. With hold they stay down until release_keys."""
        return done(self.session._call("press_keys", {"keys": keys, "hold": hold}))

    def release_keys(self, keys: list[str]) -> BoolResult:
        """Release keys that are held."""
        return done(self.session._call("release_keys", {"keys": keys}))

    def get_screen_size(self) -> OperationResult:
        """The size of the screen: data has width, height and dpiScalingFactor."""
        return parse_object(self.session._call("get_screen_size", {}))

    def screenshot(self) -> OperationResult:
        """Take a picture of the screen; data is a URL of a PNG that can be had without a key for a day."""
        answer = self.session._call("system_screenshot", {})
        data = answer.data if answer.success else None
        return OperationResult(answer.request_id, answer.success, data, answer.error_message)

    def beta_take_screenshot(self, format: str = "png") -> ScreenshotResult:
        """Take a picture of the screen as bytes of a PNG or JPEG. Another format is a ValueError."""
        kind = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg"}.get(str(format).strip().lower())
        if kind is None:
            raise ValueError(f"Invalid format {format!r}. Must be png, jpeg or jpg")
        return parse_screenshot(self.session._call("screenshot", {"format": kind}), f"image/{kind}")

    def list_root_windows(self, timeout_ms: int = 3000) -> WindowListResult:
        """The windows of applications, topmost first."""
        return parse_windows(self.session._call("list_root_windows", {"timeout_ms": timeout_ms}))

    def get_active_window(self) -> WindowInfoResult:
        """The window with the keyboard focus; that there is none is a failure."""
        return parse_window(self.session._call("get_active_window", {}))

    def activate_window(self, window_id: int) -> BoolResult:
        """Bring a window to the front and give it the focus."""
        return self._window("activate_window", window_id)

    def close_window(self, window_id: int) -> BoolResult:
        """Ask a window to close; it may ask whether to save."""
        return self._window("close_window", window_id)

    def maximize_window(self, window_id: int) -> BoolResult:
        """Make a window fill the screen beside the panel."""
        return self._window("maximize_window", window_id)

    def minimize_window(self, window_id: int) -> BoolResult:
        """Hide a window but for its entry in the panel."""
        return self._window("minimize_window", window_id)

    def restore_window(self, window_id: int) -> BoolResult:
        """Undo minimizing, maximizing and full screen."""
        return self._window("restore_window", window_id)

    def fullscreen_window(self, window_id: int) -> BoolResult:
        """Make a window fill the whole screen, without borders."""
        return self._window("fullscreen_window", window_id)

    def _window(self, tool: str, window_id: int) -> BoolResult:
        return done(self.session._call(tool, {"window_id": window_id}))

    def resize_window(self, window_id: int, width: int, height: int) -> BoolResult:
        """Give a window another size, in pixels with its borders."""
        args = {"window_id": window_id, "width": width, "height": height}
        return done(self.session._call("resize_window", args))

    def focus_mode(self, on: bool) -> BoolResult:
        """Keep new windows from taking the focus, or let them again."""
        return done(self.session._call("focus_mode", {"on": on}))

    def get_installed_apps(
        self, start_menu: bool = True, desktop: bool = False, ignore_system_apps: bool = True
    ) -> InstalledAppListResult:
        """Applications of the menu, of the desktop or of both; settings and tools of the system only if asked for."""
        args = {"start_menu": start_menu, "desktop": desktop, "ignore_system_app": ignore_system_apps}
        return parse_apps(self.session._call("get_installed_apps", args))

    def start_app(
        self, start_cmd: str, work_directory: str = "", activity: str = ""
    ) -> ProcessListResult:
        """Start an application by its command line or name.

        It returns once there is a window, whose process comes first, or when a
        program without windows has run for some seconds.
        """
        args = {"start_cmd": start_cmd}
        args.update({"work_directory": work_directory} if work_directory else {})
        args.update({"activity": activity} if activity else {})
        return parse_processes(self.session._call("start_app", args))

    def list_visible_apps(self) -> ProcessListResult:
        """The processes that have windows."""
        return parse_processes(self.session._call("list_visible_apps", {}))

    def stop_app_by_pname(self, pname: str) -> AppOperationResult:
        """End every process of exactly that name."""
        return _stopped(self.session._call("stop_app_by_pname", {"pname": pname}))

    def stop_app_by_pid(self, pid: int) -> AppOperationResult:
        """End a process."""
        return _stopped(self.session._call("stop_app_by_pid", {"pid": pid}))

    def stop_app_by_cmd(self, stop_cmd: str) -> AppOperationResult:
        """End an application with a command line."""
        return _stopped(self.session._call("stop_app_by_cmd", {"stop_cmd": stop_cmd}))


def _stopped(answer: McpToolResult) -> AppOperationResult:
    return AppOperationResult(answer.request_id, answer.success, answer.error_message)
