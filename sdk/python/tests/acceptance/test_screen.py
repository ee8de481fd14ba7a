"""A person at the screen of linux_latest, who here is a program, and recordings."""

from __future__ import annotations

import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from websockets.sync.client import ClientConnection, connect

from acceptance.conftest import NewSession
from agentbay import Session


@contextmanager
def person(session: Session) -> Iterator[ClientConnection]:
    """Somebody who has opened the session's page."""
    page = urlsplit(session.view_link().data)
    address = urlunsplit(("wss", page.netloc, page.path.rstrip("/") + "/control", "viewer=" + "a" * 48, ""))
    with connect(address, ssl=ssl.create_default_context()) as socket:
        socket.recv(timeout=20)
        yield socket


def until(socket: ClientConnection, **want: object) -> None:
    """Wait for the page to be told something."""
    while True:
        told = json.loads(socket.recv(timeout=20))
        if all(told[name] == value for name, value in want.items()):
            return


def test_a_person_helps(linux_session: Session) -> None:
    with person(linux_session) as socket:
        results = []
        asking = threading.Thread(
            target=lambda: results.append(linux_session.request_help("the code from the letter?", timeout=60))
        )
        asking.start()
        while not json.loads(socket.recv(timeout=20))["help"]:
            pass
        socket.send(json.dumps({"do": "take"}))
        until(socket, control="you")
        refused = linux_session.computer.input_text("x")
        assert not refused.success and "a person is in control" in refused.error_message
        assert linux_session.computer.screenshot().success
        control = linux_session.control().control
        assert control is not None and control.held and control.since and control.help[0].state == "taken"
        socket.send(json.dumps({"do": "hand back", "note": "1234"}))
        asking.join(60)
    assert results[0].success and results[0].help.note == "1234", results[0]
    assert linux_session.computer.move_mouse(5, 5).success
    control = linux_session.control().control
    assert control is not None and [e.kind for e in control.history] == ["taken", "handed back"]


def test_links_are_revoked(linux_session: Session) -> None:
    with person(linux_session) as socket:
        assert linux_session.revoke_views().success
        while not json.loads(socket.recv(timeout=20)).get("over"):
            pass


def test_a_recording_outlives_its_session(new_session: NewSession) -> None:
    session = new_session(record=True, on_take_over="wait")
    first = session.recordings().recordings
    assert len(first) == 1 and first[0].started_at and first[0].ended_at is None
    assert not session.start_recording().success
    stopped = session.stop_recording()
    assert stopped.recording and stopped.recording.reason == "stopped", stopped.error_message
    second = session.start_recording(frame_rate=5)
    assert second.success, second.error_message
    assert session.delete().success
    ended = session.recordings().recordings
    assert [r.reason for r in ended] == ["stopped", "the session ended"]
    for recording in ended:
        with urllib.request.urlopen(recording.url) as answer:
            video = answer.read()
        assert answer.headers["Content-Type"] == "video/mp4" and len(video) == recording.size
        assert video[4:8] == b"ftyp" and b"moov" in video[-(1 << 16) :]
