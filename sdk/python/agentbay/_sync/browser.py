# Written by tools/make_sync.py from agentbay/_async/browser.py; change that file instead.
"""The browser of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._common.exceptions import BrowserError
from .._common.log import get_logger
from .._common.notices import BrowserCallback, BrowserNotifyMessage
from .._common.params import BROWSER_DATA_PATH
from .._common.results import BoolResult
from ..browser import BrowserOption
from .notices import Notices
from .operator import BrowserOperator
from .socket import SocketError

if TYPE_CHECKING:
    from .session import Session

_log = get_logger("browser")


class Browser:
    """Chromium on the session's screen, for whatever speaks the Chrome DevTools Protocol."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._option: BrowserOption | None = None
        self._notices = Notices(session)
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

    def register_callback(self, callback: BrowserCallback) -> bool:
        """Have callback be called when a person is called for, instead of one registered before.

        That is open calls, too, and the end of each. True, or False and a line in
        the log. A synchronous session calls it in a thread of its own. Where the
        connection breaks it is made again, and calls that are open are then told again.
        """
        try:
            self._notices.hear(callback)
        except SocketError as error:
            _log.error("no calls for a person are heard: %s", error)
            return False
        return True

    def unregister_callback(self) -> None:
        """Hear no calls for a person any more."""
        self._notices.stop()

    def send_notify_message(self, notify_message: BrowserNotifyMessage) -> bool:
        """Send a message to the session: True, or False and a line in the log."""
        try:
            self._notices.send(notify_message)
        except SocketError as error:
            _log.error("a message was not sent: %s", error)
            return False
        return True

    def send_takeover_done(self, notify_id: int) -> bool:
        """Say that a person has done what a call of that ID was for: True, or False and a line in the log."""
        return self.send_notify_message(BrowserNotifyMessage.done(notify_id))
