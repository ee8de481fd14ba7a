"""Options of a session's browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._common.operator import ActOptions, ActResult, ExtractOptions, ObserveOptions, ObserveResult


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

    def to_wire(self) -> dict[str, Any]:
        """The options as the wire has them; what is None is the bay's to choose."""
        wire = {
            "useStealth": self.use_stealth,
            "userAgent": self.user_agent,
            "viewport": vars(self.viewport) if self.viewport else None,
            "screen": vars(self.screen) if self.screen else None,
            "fingerprint": _plain(self.fingerprint),
            "fingerprintRawData": _plain(self.fingerprint_format),
            "fingerprintPersistPath": "/tmp/browser_fingerprint" if self.fingerprint_persistent else None,
            "solveCaptchas": self.solve_captchas,
            "autoLogin": self.auto_login,
            "callForUser": self.call_for_user,
            "proxies": [_plain(p) for p in self.proxies] if self.proxies else None,
            "extensionPath": self.extension_path,
            "cmdArgs": self.cmd_args,
            "defaultNavigateUrl": self.default_navigate_url,
            "browserType": self.browser_type,
        }
        return {name: value for name, value in wire.items() if value is not None}


def _plain(value: Any) -> Any:
    """An object as JSON has it."""
    return vars(value) if hasattr(value, "__dict__") else value


__all__ = [
    "ActOptions",
    "ActResult",
    "BrowserOption",
    "BrowserScreen",
    "BrowserViewport",
    "ExtractOptions",
    "ObserveOptions",
    "ObserveResult",
]
