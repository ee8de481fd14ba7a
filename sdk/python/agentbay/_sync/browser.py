# Written by tools/make_sync.py from agentbay/_async/browser.py; change that file instead.
"""The browser of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._common.exceptions import BrowserError
from .._common.log import get_logger
from .._common.params import BROWSER_DATA_PATH
from .._common.results import BoolResult
from ..browser import BrowserOption
from .operator import BrowserOperator

if TYPE_CHECKING:
    from .session import Session

_log = get_logger("browser")


class Browser:
    """Chromium on the session's screen, for whatever speaks the Chrome DevTools Protocol."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._option: BrowserOption | None = None
        self.operator = BrowserOperator(self)
        self.agent = self.operator  # its name before

    def initialize(self, option: BrowserOption | None = None) -> bool:
        """Open the browser, and return when it can be dialled: True, or False and a line in the log."""
        if self._option is not None:
            return True
        option = option or BrowserOption()
        params = {"PersistentPath": BROWSER_DATA_PATH, "BrowserOption": option.to_wire()}
        reply = self.session._rpc("InitBrowser", params)
        port = reply.data.get("Port") if reply.success and isinstance(reply.data, dict) else None
        if port is None:
            _log.error("the browser of session %s was not opened: %s", self.session.session_id, reply.error)
            return False
        self._option = option
        return True

    def init(self, option: BrowserOption | None = None) -> bool:
        """The same as initialize."""
        return self.initialize(option)

    def get_endpoint_url(self) -> str:
        """Get the address of the browser's DevTools, a WebSocket; a refusal raises BrowserError."""
        if self._option is None:
            raise BrowserError("Browser is not initialized. Cannot access endpoint URL.")
        reply = self.session._rpc("GetCdpLink", {})
        url = reply.data.get("Url") if reply.success and isinstance(reply.data, dict) else None
        if not url:
            raise BrowserError(f"Failed to get endpoint URL from session: {reply.error}")
        return str(url)

    def is_initialized(self) -> bool:
        """Whether initialize has opened the browser."""
        return self._option is not None

    def get_option(self) -> BrowserOption | None:
        """The options it was opened with."""
        return self._option

    def destroy(self) -> BoolResult:
        """End the browser; initialize opens another one."""
        answer = self.session._call("stopChrome", {})
        if answer.success:
            self._option = None
        return BoolResult(answer.request_id, answer.success, answer.success, answer.error_message)
