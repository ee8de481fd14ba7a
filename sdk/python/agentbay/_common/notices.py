"""Calls for a person, as a session's browser makes them, and their answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

NOTICE_TARGET = "wuying_cdp_mcp_server"
CALL_FOR_USER = "call-for-user"


@dataclass
class BrowserNotifyMessage:
    """A call for a person, or the news that it is done.

    action is "takeover" for a call, whose code is 101 (a captcha, or anything else),
    102 (a login) or 103 (a payment), message says what is to be done, and
    extra_params["max_wait_time"] for how many seconds it is waited for, if that is
    known. Once it is done, the action is "takeoverdone" and the code 199. id is the
    call's own, and the same in both.
    """

    type: str | None = None
    id: int | None = None
    code: int | None = None
    message: str | None = None
    action: str | None = None
    extra_params: dict[str, Any] | None = field(default_factory=dict)

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> BrowserNotifyMessage:
        """Read a message."""
        extra = data.get("extraParams")
        names = ("type", "id", "code", "message", "action")
        return cls(*(data.get(n) for n in names), dict(extra) if isinstance(extra, Mapping) else {})

    @classmethod
    def done(cls, notify_id: int) -> BrowserNotifyMessage:
        """The answer to the call of that ID."""
        return cls(CALL_FOR_USER, notify_id, 199, "user handle done", "takeoverdone")

    def to_wire(self) -> dict[str, Any]:
        """The message as the wire has it."""
        return {
            "type": self.type,
            "id": self.id,
            "code": self.code,
            "message": self.message,
            "action": self.action,
            "extraParams": self.extra_params or {},
        }


BrowserCallback = Callable[[BrowserNotifyMessage], Union[None, Awaitable[None]]]
