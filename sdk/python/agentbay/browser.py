"""Options of a session's browser."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from ._common.notices import BrowserCallback, BrowserNotifyMessage
from ._common.operator import ActOptions, ActResult, ExtractOptions, ObserveOptions, ObserveResult
from ._common.params import BROWSER_FINGERPRINT_PATH
from ._common.wire import given


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
class BrowserFingerprint:
    """What a random fingerprint is to be; empty lists leave it open."""

    devices: list[str] | None = None
    operating_systems: list[str] | None = None
    locales: list[str] | None = None

    def to_wire(self) -> dict[str, Any]:
        """The fingerprint as the wire has it."""
        wire = {
            "devices": self.devices,
            "operatingSystems": self.operating_systems,
            "locales": self.locales,
        }
        return {name: value for name, value in wire.items() if value}


@dataclass
class BrowserProxy:
    """A proxy for all that the browser asks for: http, https or socks5."""

    proxy_type: str = "custom"
    server: str | None = None
    username: str | None = None
    password: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """The proxy as the wire has it."""
        wire = {
            "type": self.proxy_type,
            "server": self.server,
            "username": self.username,
            "password": self.password,
        }
        return given(**wire)


@dataclass
class BrowserOption:
    """How a session's browser is set up.

    Fingerprints need use_stealth. fingerprint_format is one as JSON, of which an
    object, a string or the object of a public SDK is taken; it comes before one
    that was kept, and that before a random one.
    """

    use_stealth: bool = False
    user_agent: str | None = None
    viewport: BrowserViewport | None = None
    screen: BrowserScreen | None = None
    fingerprint: BrowserFingerprint | dict[str, Any] | None = None
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
            "fingerprintRawData": _base64(self.fingerprint_format),
            "fingerprintPersistPath": BROWSER_FINGERPRINT_PATH if self.fingerprint_persistent else None,
            "solveCaptchas": self.solve_captchas,
            "autoLogin": self.auto_login,
            "callForUser": self.call_for_user,
            "proxies": [_plain(p) for p in self.proxies] if self.proxies else None,
            "extensionPath": self.extension_path,
            "cmdArgs": self.cmd_args,
            "defaultNavigateUrl": self.default_navigate_url,
            "browserType": self.browser_type,
        }
        return given(**wire)


def _plain(value: Any) -> Any:
    """An object as JSON has it."""
    if hasattr(value, "to_wire"):
        return value.to_wire()
    return vars(value) if hasattr(value, "__dict__") else value


def _base64(value: Any) -> str | None:
    """JSON in base64."""
    if value is None:
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.b64encode(text.encode()).decode()


__all__ = [
    "ActOptions",
    "ActResult",
    "BrowserCallback",
    "BrowserFingerprint",
    "BrowserNotifyMessage",
    "BrowserOption",
    "BrowserProxy",
    "BrowserScreen",
    "BrowserViewport",
    "ExtractOptions",
    "ObserveOptions",
    "ObserveResult",
]
