"""Options of a session's browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class BrowserViewport:
    """The size of a page, in pixels."""

    width: int = 1920
    height: int = 1080


@dataclass
class BrowserScreen:
    """The size of a screen, in pixels."""

    width: int = 1920
    height: int = 1080


@dataclass
class BrowserOption:
    """How a session's browser is set up."""

    use_stealth: bool = False
    user_agent: str | None = None
    viewport: BrowserViewport | None = None
    screen: BrowserScreen | None = None
    fingerprint: Any = None
    fingerprint_format: Any = None
    fingerprint_persistent: bool = False
    solve_captchas: bool = False
    auto_login: bool = False
    call_for_user: bool = False
    proxies: list[Any] | None = None
    extension_path: str = "/tmp/extensions/"
    cmd_args: list[str] | None = None
    default_navigate_url: str | None = None
    browser_type: str | None = None


__all__ = ["BrowserOption", "BrowserScreen", "BrowserViewport"]
