"""Hears the calls for a person that a session's browser makes, and answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._common.log import get_logger
from .._common.notices import CALL_FOR_USER, NOTICE_TARGET, BrowserCallback, BrowserNotifyMessage
from . import _io
from .looks import looks
from .socket import AsyncSocket, SocketError

if TYPE_CHECKING:
    from .session import AsyncSession

_log = get_logger("browser")

_QUIET = 3600.0
_RETRY_WITHIN = 60.0
_LONGEST_PAUSE = 5.0


class AsyncNotices:
    """The part of a session's WebSocket on which its browser calls for a person."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._socket: AsyncSocket | None = None
        self._callback: BrowserCallback | None = None

    async def hear(self, callback: BrowserCallback) -> None:
        """Have callback be called with every call for a person from now on, instead of one before it."""
        self._callback = callback
        if self._socket is None:
            socket = self._socket = await self._session._open_socket()
            _io.in_background(lambda: self._listen(socket))

    async def stop(self) -> None:
        """Hear no more."""
        socket, self._socket, self._callback = self._socket, None, None
        if socket is not None:
            await socket.close()

    async def send(self, message: BrowserNotifyMessage) -> None:
        """Send a message to the session; that it could not be sent raises SocketError."""
        if self._socket is not None:
            await self._socket.send(NOTICE_TARGET, message.to_wire())
            return
        async with await self._session._open_socket() as socket:
            await socket.send(NOTICE_TARGET, message.to_wire())

    async def _listen(self, socket: AsyncSocket) -> None:
        """Hear what comes until stop is called, or the session has gone."""
        while self._socket is socket:
            try:
                await self._deliver(await socket.receive(_QUIET))
            except SocketError as error:
                if self._socket is not socket:
                    return
                again = await self._reopen(socket)
                if again is None:
                    _log.warning("no calls for a person are heard any more: %s", error)
                    return
                socket = again

    async def _reopen(self, broken: AsyncSocket) -> AsyncSocket | None:
        """Connect once more; calls that are open are made again on the new connection."""
        async for _ in looks(_RETRY_WITHIN, _LONGEST_PAUSE):
            try:
                socket = await self._session._open_socket()
            except SocketError:
                continue
            if self._socket is broken:
                self._socket = socket
                return socket
            await socket.close()  # stop was called meanwhile
            return None
        self._socket = None
        return None

    async def _deliver(self, frame: dict[str, object] | None) -> None:
        data = frame["data"] if frame is not None else None
        callback = self._callback
        if callback is None or not isinstance(data, dict) or data.get("type") != CALL_FOR_USER:
            return
        try:
            await _io.call_back(callback, BrowserNotifyMessage.from_wire(data))
        except Exception:
            _log.exception("the callback for a call for a person failed; others will be heard")
