# Written by tools/make_sync.py from agentbay/_async/socket.py; change that file instead.
"""A session's WebSocket, on which tools stream what they do."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from websockets.exceptions import WebSocketException

from .._common.config import tls_context
from .._common.exceptions import AgentBayError
from .._common.log import get_logger
from . import _io

MAX_FRAME = 64 << 20
_log = get_logger("socket")


class SocketError(AgentBayError):
    """The WebSocket could not be opened, broke, or carried a refusal."""

    default = "WebSocket error"


class Socket:
    """One WebSocket to a session, for one caller at a time."""

    def __init__(self, socket: _io.WebSocket) -> None:
        self._socket = socket

    @classmethod
    def open(cls, url: str, token: str, timeout: float) -> Socket:
        """Connect to a session."""
        tls = tls_context() if url.startswith("wss:") else None
        try:
            return cls(_io.connect_socket(url, {"X-Access-Token": token}, tls, timeout, MAX_FRAME))
        except (OSError, WebSocketException, ValueError) as error:
            raise SocketError(f"the session's WebSocket cannot be opened: {error}") from error

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; who is receiving on it has a SocketError."""
        self._socket.close()

    @property
    def request_id(self) -> str:
        """What the bay's log calls this connection."""
        response = self._socket.response
        return response.headers.get("X-Request-Id", "") if response else ""

    def send(self, target: str, data: Mapping[str, Any]) -> str:
        """Send a call and return the ID that its answers will bear."""
        invocation = uuid.uuid4().hex
        frame = {"invocationId": invocation, "source": "SDK", "target": target, "data": data}
        try:
            self._socket.send(json.dumps(frame, ensure_ascii=False))
        except (OSError, WebSocketException) as error:
            raise SocketError(f"the session's WebSocket broke: {error}") from error
        return invocation

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """The next frame, or None if none came within timeout seconds."""
        try:
            message = _io.receive(self._socket, timeout)
        except (OSError, WebSocketException) as error:
            raise SocketError(f"the session's WebSocket broke: {error}") from error
        return None if message is None else _frame(message)

    def reply(self, invocation: str, timeout: float) -> dict[str, Any] | None:
        """The data of the next frame, if it answers invocation; a refusal raises SocketError."""
        frame = self.receive(timeout)
        return None if frame is None else answer_to(invocation, frame)


def answer_to(invocation: str, frame: Mapping[str, Any]) -> dict[str, Any] | None:
    """The data of a frame, if it answers invocation.

    A string member "error", and a frame from the server itself that carries
    one, is a refusal and raises SocketError.
    """
    if (frame.get("invocationId") or frame.get("requestId")) != invocation:
        return None
    data: dict[str, Any] = frame["data"]
    refusal = data.get("error") or frame.get("error")
    if isinstance(refusal, str):
        raise SocketError(refusal)
    return {**data, "phase": "end"} if frame.get("source") == "WEBSOCKET_SERVER" else data


def _frame(message: str | bytes) -> dict[str, Any]:
    """Read a frame; a malformed one is logged and counts as an empty one."""
    try:
        frame = json.loads(message)
        data = frame.get("data")
        frame["data"] = json.loads(data) if isinstance(data, str) else data or {}
        if isinstance(frame["data"], dict):
            return dict(frame)
    except (ValueError, AttributeError):
        pass
    _log.warning("a malformed WebSocket message of %d bytes was dropped", len(message))
    return {"data": {}}
