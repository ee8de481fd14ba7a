"""What people see of a session: who is at its screen, and recordings of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .results import ApiResponse
from .wire import Reply


@dataclass
class RecordingSpec:
    """How a screen is recorded. What is None is the bay's default: 10 frames a second and 512 MiB."""

    frame_rate: int | None = None
    max_bytes: int | None = None

    def to_wire(self) -> dict[str, int]:
        """The parameters as the wire has them."""
        return {"FrameRate": self.frame_rate or 0, "MaxBytes": self.max_bytes or 0}


@dataclass
class Recording:
    """A video of a session's screen, an MP4 without sound, or a replay of its browser's pages.

    kind is "screen" or "pages". url is the video, or a page that plays the replay;
    data_url is the file itself, the video or the replay's lines of JSON. Both need no
    key and are good for as long as it is kept, a day after the session unless the bay
    is set up otherwise. ended_at is None while the
    recording goes on; what there is of it can be watched. reason says why it
    ended: "stopped", "full", "the session ended", or what went wrong.
    """

    name: str
    url: str
    started_at: datetime | None
    ended_at: datetime | None
    reason: str
    size: int
    kind: str = "screen"
    data_url: str = ""


@dataclass
class RecordingResult(ApiResponse):
    """One recording."""

    success: bool = False
    recording: Recording | None = None
    error_message: str = ""


@dataclass
class RecordingListResult(ApiResponse):
    """Recordings of a session, oldest first."""

    success: bool = False
    recordings: list[Recording] = field(default_factory=list)
    error_message: str = ""


@dataclass
class Help:
    """What an agent asked the people at a screen for.

    state is "open" until somebody takes control, "taken" until they hand it back,
    and then "done"; note is what they said. kind is "captcha", "login", "payment",
    or empty. wait is how long the agent waits, if it has said.
    """

    id: str
    message: str
    state: str
    note: str
    asked_at: datetime | None
    kind: str = ""
    wait: timedelta | None = None


@dataclass
class HelpResult(ApiResponse):
    """How a request for help ended."""

    success: bool = False
    help: Help | None = None
    error_message: str = ""


@dataclass
class ControlEvent:
    """Somebody took control ("taken"), or gave it up ("handed back" or "gone")."""

    at: datetime | None
    kind: str
    address: str
    note: str
    held: timedelta


@dataclass
class Control:
    """Who is at a session's screen: while held, a person has control since then."""

    viewers: int
    held: bool
    since: datetime | None
    help: list[Help]
    history: list[ControlEvent]


@dataclass
class ControlResult(ApiResponse):
    """Who is at a session's screen."""

    success: bool = False
    control: Control | None = None
    error_message: str = ""


def parse_time(text: Any) -> datetime | None:
    """Read a time of the bay, which has nanoseconds; none is the year 1."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", str(text or ""))
    if not match or match[1].startswith("0001-"):
        return None
    fraction = ((match[2] or ".0") + "000000")[:7]
    return datetime.fromisoformat(match[1] + fraction + match[3].replace("Z", "+00:00"))


def parse_recording(data: Any) -> Recording | None:
    """Read a recording."""
    if not isinstance(data, Mapping) or not data.get("Name"):
        return None
    return Recording(
        name=str(data["Name"]),
        url=str(data.get("URL") or ""),
        started_at=parse_time(data.get("StartedAt")),
        ended_at=parse_time(data.get("EndedAt")),
        reason=str(data.get("Reason") or ""),
        size=int(data.get("Bytes") or 0),
        kind=str(data.get("Kind") or ""),
        data_url=str(data.get("DataURL") or ""),
    )


def recording_result(reply: Reply) -> RecordingResult:
    """Read an answer with one recording."""
    found = parse_recording(reply.data) if reply.success else None
    if reply.success and found is None:
        return RecordingResult(reply.request_id, error_message="the bay's answer holds no recording")
    return RecordingResult(reply.request_id, reply.success, found, reply.error)


def recording_list(reply: Reply) -> RecordingListResult:
    """Read a list of recordings."""
    rows = reply.data if reply.success and isinstance(reply.data, list) else []
    found = [r for r in map(parse_recording, rows) if r is not None]
    return RecordingListResult(reply.request_id, reply.success, found, reply.error)


def _duration(nanoseconds: Any) -> timedelta:
    return timedelta(microseconds=int(nanoseconds or 0) / 1000)


def parse_help(data: Mapping[str, Any]) -> Help:
    """Read a request for help."""
    return Help(
        id=str(data.get("ID") or ""),
        message=str(data.get("Message") or ""),
        state=str(data.get("State") or ""),
        note=str(data.get("Note") or ""),
        asked_at=parse_time(data.get("AskedAt")),
        kind=str(data.get("Kind") or ""),
        wait=_duration(data.get("Wait")) or None,
    )


def _objects(data: Any) -> list[Mapping[str, Any]]:
    return [d for d in data if isinstance(d, Mapping)] if isinstance(data, list) else []


def control_result(reply: Reply) -> ControlResult:
    """Read who is at a screen."""
    if not reply.success or not isinstance(reply.data, Mapping):
        return ControlResult(
            reply.request_id, error_message=reply.error or "the bay's answer says nothing of control"
        )
    data = reply.data
    events = [
        ControlEvent(
            at=parse_time(e.get("At")),
            kind=str(e.get("Kind") or ""),
            address=str(e.get("Address") or ""),
            note=str(e.get("Note") or ""),
            held=_duration(e.get("Held")),
        )
        for e in _objects(data.get("History"))
    ]
    control = Control(
        viewers=int(data.get("Viewers") or 0),
        held=bool(data.get("Held")),
        since=parse_time(data.get("Since")),
        help=[parse_help(h) for h in _objects(data.get("Help"))],
        history=events,
    )
    return ControlResult(reply.request_id, True, control)
