"""People at a session's screen, and recordings: what is sent, and how answers are read."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from bay import Call, TestBay

from agentbay import AgentBay, CreateSessionParams, RecordingSpec, Session

RECORDING = {
    "Name": "recording-1.mp4",
    "Kind": "screen",
    "DataURL": "https://bay/objects/x",
    "URL": "https://bay/objects/x",
    "StartedAt": "2026-01-02T03:04:05.123456789Z",
    "EndedAt": "0001-01-01T00:00:00Z",
    "Reason": "",
    "Bytes": 7,
}
HELP = {
    "ID": "help-1",
    "Message": "the code?",
    "State": "open",
    "Note": "",
    "AskedAt": "2026-01-02T03:04:05Z",
}


def answering(bay: TestBay, action: str, *data: Any) -> None:
    """Answer an action with data, each once and the last for ever."""
    left = list(data)

    def answer(_: Call) -> dict[str, Any]:
        return {"Data": left.pop(0) if len(left) > 1 else left[0]}

    setattr(bay, "do_" + action, answer)


def refusing(bay: TestBay, action: str) -> None:
    def refuse(_: Call) -> dict[str, Any]:
        raise bay.refused(400, "InvalidState", "not now")

    setattr(bay, "do_" + action, refuse)


def test_links_to_the_page(bay: TestBay, session: Session) -> None:
    answering(bay, "CreateViewLink", {"Url": "https://bay/view/1"})
    assert session.view_link().data == "https://bay/view/1" and bay.calls[-1]["WatchOnly"] == "false"
    assert session.view_link(watch_only=True).success and bay.calls[-1]["WatchOnly"] == "true"
    answering(bay, "RevokeViewLinks", None)
    assert session.revoke_views().success
    refusing(bay, "RevokeViewLinks")
    assert "not now" in session.revoke_views().error_message


def test_who_is_in_control(bay: TestBay, session: Session) -> None:
    event = {
        "At": "2026-01-02T03:04:05Z",
        "Kind": "taken",
        "Address": "10.0.0.9",
        "Note": "",
        "Held": 1500000000,
    }
    answering(
        bay,
        "DescribeControl",
        {
            "Viewers": 2,
            "Held": True,
            "Since": "2026-01-02T03:04:05+01:00",
            "Help": [HELP],
            "History": [event],
        },
    )
    control = session.control().control
    assert control is not None and (control.viewers, control.held) == (2, True)
    assert control.since == datetime(2026, 1, 2, 2, 4, 5, tzinfo=timezone.utc)
    assert control.history[0].held == timedelta(seconds=1.5) and control.history[0].address == "10.0.0.9"
    assert control.help[0].message == "the code?"
    answering(bay, "DescribeControl", "nonsense")
    assert not session.control().success


def test_help_is_waited_for(bay: TestBay, session: Session) -> None:
    answering(bay, "RequestHelp", HELP)
    done = {**HELP, "State": "done", "Note": "1234"}
    answering(
        bay, "DescribeControl", {"Help": [HELP]}, {"Help": [{**HELP, "State": "taken"}]}, {"Help": [done]}
    )
    result = session.request_help("the code?")
    assert result.success and result.help is not None and result.help.note == "1234"
    answering(bay, "DescribeControl", {"Help": [HELP]})
    late = session.request_help("the code?", timeout=0.05)
    assert (
        not late.success
        and late.help is not None
        and late.help.state == "open"
        and "within" in late.error_message
    )
    asked = session.request_help("the code?", timeout=0)
    assert asked.success and asked.help is not None and asked.help.state == "open"
    refusing(bay, "RequestHelp")
    assert not session.request_help("").success


def test_recordings(bay: TestBay, session: Session) -> None:
    answering(bay, "StartRecording", RECORDING)
    result = session.start_recording(frame_rate=5, max_bytes=1 << 20)
    assert (bay.calls[-1]["FrameRate"], bay.calls[-1]["MaxBytes"]) == ("5", "1048576")
    assert result.recording is not None and result.recording.url == "https://bay/objects/x"
    assert result.recording.ended_at is None and result.recording.size == 7
    assert result.recording.started_at == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=timezone.utc)
    answering(bay, "StopRecording", {**RECORDING, "EndedAt": "2026-01-02T03:05:00Z", "Reason": "stopped"})
    stopped = session.stop_recording().recording
    assert stopped is not None and stopped.ended_at is not None and stopped.reason == "stopped"
    answering(bay, "ListRecordings", [RECORDING, "nonsense", RECORDING])
    assert len(session.recordings().recordings) == 2
    refusing(bay, "StopRecording")
    assert "not now" in session.stop_recording().error_message
    answering(bay, "StartRecording", "nonsense")
    assert not session.start_recording().success


@pytest.mark.parametrize(
    ("record", "sent"),
    [
        (True, {"FrameRate": 0, "MaxBytes": 0}),
        (RecordingSpec(5, 1 << 20), {"FrameRate": 5, "MaxBytes": 1 << 20}),
        (False, None),
        (None, None),
    ],
)
def test_sessions_are_made_so(
    bay: TestBay, client: AgentBay, record: RecordingSpec | bool | None, sent: dict[str, int] | None
) -> None:
    assert client.create(CreateSessionParams(record=record, on_take_over="wait")).success
    call = next(c for c in reversed(bay.calls) if c["Action"] == "CreateMcpSession")
    assert call["OnTakeOver"] == "wait" and json.loads(call.get("Record", "null")) == sent
