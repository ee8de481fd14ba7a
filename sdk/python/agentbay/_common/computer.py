"""Results of desktop operations, and the JSON they are read from."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from .results import ApiResponse, BaseResult, BoolResult, McpToolResult, OperationResult


class MouseButton(str, Enum):
    """A button of the mouse, or two clicks of the left one."""

    LEFT = "left"
    RIGHT = "right"
    MIDDLE = "middle"
    DOUBLE_LEFT = "double_left"


class ScrollDirection(str, Enum):
    """What a turn of the wheel shows more of."""

    UP = "up"
    DOWN = "down"
    LEFT = "left"
    RIGHT = "right"


@dataclass
class InstalledApp:
    """An application that can be started with start_app(start_cmd)."""

    name: str
    start_cmd: str
    stop_cmd: str | None = None
    work_directory: str | None = None


@dataclass
class Process:
    """A running program."""

    pname: str
    pid: int
    cmdline: str | None = None


@dataclass
class Window:
    """A window of an application, with its borders, in pixels from the upper left corner of the screen."""

    window_id: int
    title: str
    absolute_upper_left_x: int | None = None
    absolute_upper_left_y: int | None = None
    width: int | None = None
    height: int | None = None
    pid: int | None = None
    pname: str | None = None
    child_windows: list[Window] = field(default_factory=list)


@dataclass
class InstalledAppListResult(ApiResponse):
    """Applications that can be started."""

    success: bool = False
    data: list[InstalledApp] = field(default_factory=list)
    error_message: str = ""


@dataclass
class ProcessListResult(ApiResponse):
    """Running programs."""

    success: bool = False
    data: list[Process] = field(default_factory=list)
    error_message: str = ""


@dataclass
class AppOperationResult(ApiResponse):
    """The result of ending an application."""

    success: bool = False
    error_message: str = ""


@dataclass
class WindowListResult(ApiResponse):
    """Windows, topmost first."""

    success: bool = False
    windows: list[Window] = field(default_factory=list)
    error_message: str = ""


@dataclass
class WindowInfoResult(ApiResponse):
    """One window."""

    success: bool = False
    window: Window | None = None
    error_message: str = ""


@dataclass
class ScreenshotResult(BaseResult):
    """A picture of the screen: data has the bytes of the file."""

    type: str = ""
    data: bytes = b""
    mime_type: str = ""
    width: int | None = None
    height: int | None = None


KindT = TypeVar("KindT", bound=Enum)


def value_of(kind: type[KindT], value: KindT | str, *unless: KindT) -> str:
    """The wire's word for an enum's member, which may be given as its word."""
    allowed = [str(k.value) for k in kind if k not in unless]
    word = str(value.value) if isinstance(value, Enum) else value
    if word not in allowed:
        raise ValueError(f"Invalid value {word!r}. Must be one of {allowed}")
    return word


def done(answer: McpToolResult) -> BoolResult:
    """The result of a tool that does something."""
    return BoolResult(answer.request_id, answer.success, answer.success or None, answer.error_message)


def parse_object(answer: McpToolResult) -> OperationResult:
    """A tool's answer that is a JSON object, as a dict."""
    return _parsed(answer, dict, lambda data: OperationResult(answer.request_id, True, data), OperationResult)


def parse_windows(answer: McpToolResult) -> WindowListResult:
    """A tool's answer that is a list of windows."""
    return _parsed(
        answer,
        list,
        lambda data: WindowListResult(answer.request_id, True, [_window(w) for w in data]),
        WindowListResult,
    )


def parse_window(answer: McpToolResult) -> WindowInfoResult:
    """A tool's answer that is one window."""
    return _parsed(
        answer, dict, lambda data: WindowInfoResult(answer.request_id, True, _window(data)), WindowInfoResult
    )


def parse_apps(answer: McpToolResult) -> InstalledAppListResult:
    """A tool's answer that is a list of applications."""

    def read(data: list[dict[str, Any]]) -> InstalledAppListResult:
        apps = [
            InstalledApp(str(a["name"]), str(a["start_cmd"]), a.get("stop_cmd"), a.get("work_directory"))
            for a in data
        ]
        return InstalledAppListResult(answer.request_id, True, apps)

    return _parsed(answer, list, read, InstalledAppListResult)


def parse_processes(answer: McpToolResult) -> ProcessListResult:
    """A tool's answer that is a list of processes."""

    def read(data: list[dict[str, Any]]) -> ProcessListResult:
        found = [Process(str(p["pname"]), int(p["pid"]), p.get("cmdline")) for p in data]
        return ProcessListResult(answer.request_id, True, found)

    return _parsed(answer, list, read, ProcessListResult)


SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


def parse_screenshot(answer: McpToolResult, mime_type: str) -> ScreenshotResult:
    """A tool's answer that is a picture of the kind asked for."""

    def read(data: dict[str, Any]) -> ScreenshotResult:
        picture = base64.b64decode(data["data"], validate=True)
        if data["mime_type"] != mime_type or not picture.startswith(SIGNATURES[mime_type]):
            raise ValueError(f"it is no {mime_type}")
        return ScreenshotResult(
            answer.request_id,
            True,
            type=str(data["type"]),
            data=picture,
            mime_type=mime_type,
            width=int(data["width"]),
            height=int(data["height"]),
        )

    return _parsed(answer, dict, read, ScreenshotResult)


ResultT = TypeVar("ResultT")


def _parsed(
    answer: McpToolResult, kind: type, read: Callable[[Any], ResultT], result: Callable[..., ResultT]
) -> ResultT:
    """What read makes of the answer's JSON, or a result that says why not."""
    if not answer.success:
        return result(request_id=answer.request_id, success=False, error_message=answer.error_message)
    try:
        data = json.loads(answer.data)
        if not isinstance(data, kind):
            raise ValueError(f"it is no {kind.__name__}")
        return read(data)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        message = f"The bay's answer cannot be read: {error}"
        return result(request_id=answer.request_id, success=False, error_message=message)


def _window(data: dict[str, Any]) -> Window:
    def number(name: str) -> int | None:
        return None if data.get(name) is None else int(data[name])

    return Window(
        window_id=int(data["window_id"]),
        title=str(data.get("window_title") or ""),
        absolute_upper_left_x=number("absolute_upper_left_x"),
        absolute_upper_left_y=number("absolute_upper_left_y"),
        width=number("width"),
        height=number("height"),
        pid=number("pid"),
        pname=data.get("pname"),
        child_windows=[_window(w) for w in data.get("child_windows") or []],
    )
