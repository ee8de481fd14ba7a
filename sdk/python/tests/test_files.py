"""Files: windows, formats, and watching."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from bay import KEY, TestBay, reply
from websockets.sync.server import ServerConnection

from agentbay import AgentBay, AsyncAgentBay, Config, FileChangeEvent, Session
from agentbay._common.files import parse_directory, parse_file_info, parse_files, parse_matches, windows

SIZES = [0, 1, 50 * 1024, 51 * 1024 + 1, 63 * 1024, 300_000]


@pytest.mark.parametrize("size", SIZES)
def test_bytes_are_read_exactly(bay: TestBay, session: Session, size: int) -> None:
    bay.files["/f.png"] = (bytes(range(256)) * (size // 256 + 1))[:size]
    result = session.file_system.read_file("/f.png", format="bytes")
    assert result.success and result.content == bay.files["/f.png"] and result.size == size
    assert result.content_type == "image/png"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("letter", ["a", "é", "世", "😀"])
def test_text_is_written_and_read_exactly(bay: TestBay, session: Session, size: int, letter: str) -> None:
    text = "x" * (size % 3) + letter * (size // len(letter.encode()))
    assert session.file_system.write_file("/t", text).success
    assert bay.files["/t"] == text.encode()
    result = session.file_system.read("/t")
    assert result.success and result.content == text
    sizes = [len(args["content"].encode()) for _, tool, args in bay.tool_calls if tool == "write_file"]
    assert len(sizes) == 1 if bay.link else max(sizes) <= 51 * 1024


def test_append_adds_to_the_end(bay: TestBay, session: Session) -> None:
    session.file_system.write("/t", "one")
    assert session.file_system.write("/t", " two", mode="append").data is True
    assert bay.files["/t"] == b"one two"


def test_bad_arguments_are_refused_here(bay: TestBay, session: Session) -> None:
    for result in (
        session.file_system.write_file("/t", b"bytes"),  # type: ignore[arg-type]
        session.file_system.write_file("/t", "x", mode="prepend"),
        session.file_system.read_file("/t", format="yaml"),  # type: ignore[call-overload]
    ):
        assert not result.success and "Invalid" in result.error_message
    assert bay.tool_calls == []


def test_a_file_that_is_not_there(session: Session) -> None:
    for result in (
        session.file_system.read_file("/no"),
        session.file_system.read_file("/no", format="bytes"),
        session.file_system.get_file_info("/no"),
    ):
        assert (
            not result.success and "No such file or directory" in result.error_message and result.request_id
        )


def test_base64_that_is_none_is_a_failure(bay: TestBay, session: Session) -> None:
    bay.files["/f"] = b"x"
    bay.tools["read_file"] = lambda _: ("%%%", False)
    result = session.file_system.read_file("/f", format="bytes")
    assert not result.success and "base64" in result.error_message


def test_infos_lists_and_searches_are_read(bay: TestBay, session: Session) -> None:
    bay.files.update({"/a.txt": b"1", "/b.txt": b"2\n---\n3"})
    info = session.file_system.get_file_info("/a.txt")
    assert info.file_info == {
        "name": "42",
        "size": 1,
        "isDirectory": False,
        "isFile": True,
        "mode": "0644",
        "modTime": "2025-01-01T00:00:00Z",
    }
    assert info.size == 1 and info.is_file and not info.is_directory
    entries = session.file_system.ls("/").entries
    assert entries == [
        {"name": "a dir", "isDirectory": True},
        {"name": " spaced name.txt", "isDirectory": False},
    ]
    assert entries[0].name == "a dir" and entries[0].is_directory
    assert session.file_system.search_files("/", "*.txt").matches == ["/a.txt", "/b.txt"]
    none = session.file_system.search_files("/", "*.md", exclude_patterns=["x"])
    assert none.success and none.matches == []
    assert bay.tool_calls[-1][2]["excludePatterns"] == ["x"]
    many = session.file_system.read_multiple_files(["/a.txt", "/b.txt"])
    assert many.contents == {"/a.txt": "1", "/b.txt": "2\n---\n3"}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", {}),
        ("/a:\n", {"/a": ""}),
        ("/a:\n\n---\n/b:\nx\n", {"/a": "", "/b": "x"}),
        ("/a:\n---\n/b:\nx", {"/a": "", "/b": "x"}),
        ("/a:\none\ntwo\n\n---\n/b:\n---\n", {"/a": "one\ntwo", "/b": "---"}),
        ("/a: no such file", {}),
    ],
)
def test_sections_of_files_are_told_apart(text: str, want: dict[str, str]) -> None:
    assert parse_files(text, ["/a", "/b"]) == want


def test_malformed_answers_are_not_fatal() -> None:
    for text in ("", "\n", ":", "[DIR]", "[FILE]\n[DIR] ", "key", "\x00", "No matches found", "é: ü"):
        parse_directory(text), parse_file_info(text), parse_matches(text), parse_files(text, [""])


def test_windows_join_to_the_text() -> None:
    text = "aé世😀" * 100
    for size in range(4, 40):
        pieces = list(windows(text, size))
        assert "".join(pieces) == text and all(len(p.encode()) <= size for p in pieces), size


class Seen:
    """A callback that can be waited for."""

    def __init__(self) -> None:
        self.events: list[FileChangeEvent] = []
        self._changed = threading.Condition()

    def __call__(self, events: list[FileChangeEvent]) -> None:
        with self._changed:
            self.events += events
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[str]:
        with self._changed:
            self._changed.wait_for(lambda: len(self.events) >= count, timeout=10)
            return [f"{e.event_type} {e.path} {e.path_type}" for e in self.events]


def push(ws: ServerConnection, path: str, *kinds: str) -> None:
    events = [{"eventType": k, "path": path + "/f", "pathType": "file"} for k in kinds]
    data = {"eventType": "file_change", "path": path, "events": events}
    ws.send(json.dumps({"invocationId": "fresh", "source": "wuying_shell", "target": "SDK", "data": data}))


def subscriber(bay: TestBay, unsubscribed: threading.Event) -> Any:
    def stream(ws: ServerConnection, frame: dict[str, Any]) -> None:
        if frame["data"]["method"] == "unsubscribe_file_change":
            unsubscribed.set()
            return
        bay.changes.append({"eventType": "create", "path": "/w/early", "pathType": "file"})
        reply(ws, frame, phase="end")
        push(ws, "/elsewhere", "delete")
        push(ws, "/w", "create", "modify")

    return stream


@pytest.mark.parametrize("kind", [AgentBay, AsyncAgentBay])
def test_changes_are_pushed_and_none_is_lost(bay: TestBay, session: Session, kind: type) -> None:
    unsubscribed = threading.Event()
    bay.stream = subscriber(bay, unsubscribed)
    bay.changes.append({"eventType": "create", "path": "/w/before", "pathType": "file"})
    if kind is AsyncAgentBay:
        session = as_async(bay, session)
    seen = Seen()
    watch = session.file_system.watch_directory("/w", seen)
    assert not watch.ready_event.is_set()
    watch.start()
    assert watch.ready_event.wait(10)
    assert seen.wait_for(3) == ["create /w/early file", "create /w/f file", "modify /w/f file"]
    watch.stop_event.set()
    watch.join(10)
    assert not watch.is_alive() and unsubscribed.wait(5)


def as_async(bay: TestBay, session: Session) -> Any:
    """The session seen through an asynchronous client; a watch of it runs in its own event loop."""
    from agentbay import AsyncSession

    twin = AsyncSession(AsyncAgentBay(KEY, Config(endpoint=bay.endpoint)), session.session_id)
    for name in ("token", "link_url", "ws_url", "mcp_tools"):
        setattr(twin, name, getattr(session, name))
    return twin


def test_changes_are_asked_for_where_they_are_not_pushed(bay: TestBay, session: Session) -> None:
    bay.stream = lambda ws, frame: reply(ws, frame, phase="event", error="not here")
    stop = threading.Event()
    seen = Seen()
    watch = session.file_system.watch_directory("/w", seen, interval=0.02, stop_event=stop)
    watch.start()
    assert watch.ready_event.wait(10)
    session.file_system.write_file("/w/f", "x")
    assert seen.wait_for(2) == ["create /w/f file", "modify /w/f file"]
    session.file_system.write_file("/w/f", "y")
    assert seen.wait_for(3)[2:] == ["modify /w/f file"]
    stop.set()
    watch.join(10)
    assert not watch.is_alive()


def test_changes_pushed_before_the_subscription_is_confirmed_count(bay: TestBay, session: Session) -> None:
    def stream(ws: ServerConnection, frame: dict[str, Any]) -> None:
        push(ws, "/w", "create")
        reply(ws, frame, phase="end")

    bay.stream = stream
    seen = Seen()
    watch = session.file_system.watch_directory("/w", seen)
    watch.start()
    assert seen.wait_for(1) == ["create /w/f file"]
    watch.stop_event.set()
    watch.join(10)


@pytest.mark.parametrize("how", ["told", "cut"])
def test_changes_are_asked_for_when_the_push_ends(bay: TestBay, session: Session, how: str) -> None:
    def stream(ws: ServerConnection, frame: dict[str, Any]) -> None:
        reply(ws, frame, phase="end")
        push(ws, "/w", "create")
        if how == "told":
            reply(ws, frame, phase="end", error="the watch has ended")
        else:
            ws.close()

    bay.stream = stream
    seen = Seen()
    watch = session.file_system.watch_directory("/w", seen, interval=0.02)
    watch.start()
    assert seen.wait_for(1) == ["create /w/f file"]
    session.file_system.write_file("/w/g", "x")
    assert seen.wait_for(3)[1:] == ["create /w/g file", "modify /w/g file"]
    watch.stop_event.set()
    watch.join(10)


def test_a_watch_is_ready_when_its_mark_is_set(bay: TestBay, session: Session) -> None:
    asked, mark = threading.Semaphore(0), bay.tools["get_file_change"]
    session.ws_url = ""

    def refuse(args: dict[str, Any]) -> tuple[str, bool]:
        asked.release()
        return "No such file or directory", True

    bay.tools["get_file_change"] = refuse
    watch = session.file_system.watch_directory("/w", print, interval=0.01)
    watch.start()
    assert asked.acquire(timeout=10) and asked.acquire(timeout=10) and not watch.ready_event.is_set()
    bay.tools["get_file_change"] = mark
    assert watch.ready_event.wait(10)
    watch.stop_event.set()
    watch.join(10)


def test_a_watch_ends_with_its_session(bay: TestBay, session: Session) -> None:
    session.ws_url = ""
    watch = session.file_system.watch_directory("/w", print, interval=0.01)
    watch.start()
    assert watch.ready_event.wait(10) and session.delete().success
    watch.join(10)
    assert not watch.is_alive()


def test_a_failing_callback_does_not_end_the_watch(bay: TestBay, session: Session) -> None:
    session.ws_url = ""
    seen = Seen()

    def callback(events: list[FileChangeEvent]) -> None:
        seen(events)
        raise RuntimeError("the callback's own problem")

    watch = session.file_system.watch_directory("/w", callback, interval=0.02)
    watch.start()
    assert watch.ready_event.wait(10)
    session.file_system.write_file("/w/f", "x")
    seen.wait_for(2)
    session.file_system.write_file("/w/g", "x")
    assert len(seen.wait_for(4)) == 4
    watch.stop_event.set()
    watch.join(10)


def test_one_call_gets_the_changes(bay: TestBay, session: Session) -> None:
    session.file_system.write_file("/w/f", "x")
    changes = session.file_system.get_file_change("/w")
    assert changes.success and changes.get_created_files() == ["/w/f"] == changes.get_modified_files()
    bay.tools["get_file_change"] = lambda _: ("{}", False)
    assert not session.file_system.get_file_change("/w").success
