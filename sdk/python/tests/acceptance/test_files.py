"""Files: byte for byte, at every size, both ways tools are called."""

from __future__ import annotations

import hashlib
import threading

import pytest

from agentbay import AsyncAgentBay, FileChangeEvent, Session

SMALL = [0, 1, 50 * 1024, 51 * 1024 + 1, 63 * 1024, 1_000_003]


def text_of(size: int) -> str:
    """Text of exactly size bytes whose characters have 1 to 4 bytes, so that windows cut through some."""
    unit = "aé世😀\n"
    text = unit * (size // len(unit.encode()))
    return text + "x" * (size - len(text.encode()))


def sha256(session: Session, path: str) -> str:
    return session.command.run(f"sha256sum < '{path}'", timeout_ms=120_000).stdout.split()[0]


@pytest.mark.parametrize("size", SMALL)
def test_text_is_kept_byte_for_byte(way: Session, folder: str, size: int) -> None:
    text = text_of(size)
    assert way.file_system.write_file(f"{folder}/t", text).success
    assert sha256(way, f"{folder}/t") == hashlib.sha256(text.encode()).hexdigest()
    back = way.file_system.read_file(f"{folder}/t")
    assert back.success and back.content == text
    assert way.file_system.get_file_info(f"{folder}/t").size == size


@pytest.mark.parametrize("size", SMALL)
def test_bytes_are_kept_byte_for_byte(way: Session, folder: str, size: int) -> None:
    made = way.command.run(f"head -c {size} /dev/urandom > {folder}/b")
    assert made.success
    back = way.file_system.read_file(f"{folder}/b", format="bytes")
    assert back.success and back.size == size == len(back.content)
    assert hashlib.sha256(back.content).hexdigest() == sha256(way, f"{folder}/b")


@pytest.mark.parametrize("size", [10_000_000, 100_000_000])
def test_large_files_are_kept_byte_for_byte(session: Session, folder: str, size: int) -> None:
    text = text_of(size)
    wrote = session.file_system.write_file(f"{folder}/big", text)
    assert wrote.success, wrote.error_message
    assert sha256(session, f"{folder}/big") == hashlib.sha256(text.encode()).hexdigest()
    assert session.file_system.read_file(f"{folder}/big").content == text
    back = session.file_system.read_file(f"{folder}/big", format="bytes")
    assert back.content == text.encode(), back.error_message
    assert session.file_system.delete_file(f"{folder}/big").success


def test_large_files_are_kept_through_the_endpoint(session: Session, folder: str) -> None:
    link, session.link_url = session.link_url, ""
    try:
        text = text_of(3_000_000)
        assert session.file_system.write_file(f"{folder}/big", text).success
        assert session.file_system.read_file(f"{folder}/big").content == text
        assert session.file_system.read_file(f"{folder}/big", format="bytes").content == text.encode()
    finally:
        session.link_url = link


def test_windows_that_meet_join_to_the_file(way: Session, folder: str) -> None:
    text = text_of(1000)
    assert way.file_system.write_file(f"{folder}/w", text).success
    for size in (1, 2, 3, 7, 999):
        pieces = []
        for offset in range(0, 1000, size):
            window = {"path": f"{folder}/w", "offset": offset, "length": size}
            pieces.append(way.call_mcp_tool("read_file", window).data)
            if size == 1 and offset == 60:
                break
        joined = "".join(pieces)
        assert text.startswith(joined) and (size == 1 or joined == text), size


def test_parents_are_made_and_appends_appended(way: Session, folder: str) -> None:
    path = f"{folder}/a/b c/ü/f.txt"
    assert way.file_system.write_file(path, "one").success
    assert way.file_system.write_file(path, "\ntwo", mode="append").success
    assert way.file_system.read_file(path).content == "one\ntwo"
    assert way.file_system.write_file(path, "three").success
    assert way.file_system.read_file(path).content == "three"


def test_create_new_does_not_overwrite(way: Session, folder: str) -> None:
    assert way.file_system.write_file(f"{folder}/n", "1", mode="create_new").success
    assert not way.file_system.write_file(f"{folder}/n", "2", mode="create_new").success
    assert way.file_system.read_file(f"{folder}/n").content == "1"


def test_directories_are_made_listed_moved_and_deleted(way: Session, folder: str) -> None:
    fs = way.file_system
    assert fs.create_directory(f"{folder}/x/y/z").success and fs.create_directory(f"{folder}/x/y/z").success
    assert fs.write_file(f"{folder}/x/f", "1").success
    assert sorted((e.name, e.is_directory) for e in fs.list_directory(f"{folder}/x").entries) == [
        ("f", False),
        ("y", True),
    ]
    empty = fs.list(f"{folder}/x/y/z")
    assert empty.success and empty.entries == []
    assert fs.move_file(f"{folder}/x", f"{folder}/moved").success
    assert fs.read(f"{folder}/moved/f").content == "1"
    assert not fs.list_directory(f"{folder}/x").success
    assert fs.delete_file(f"{folder}/moved").success
    assert fs.ls(folder).entries == []


def test_info_describes_files_and_directories(way: Session, folder: str) -> None:
    assert way.file_system.write_file(f"{folder}/f", "12345").success
    info = way.file_system.get_file_info(f"{folder}/f")
    assert info.success and info.size == 5 and info.is_file and not info.is_directory
    keys = "name path size isDirectory isFile permissions created modified accessed modTime mode owner group"
    assert set(keys.split()) <= set(info.file_info), info.file_info
    assert info.file_info["name"] == "f" and info.file_info["path"] == f"{folder}/f"
    assert way.file_system.get_file_info(folder).is_directory


def test_edits_replace_the_first_occurrence_and_all_or_nothing(way: Session, folder: str) -> None:
    path = f"{folder}/e"
    fs = way.file_system
    assert fs.write_file(path, "a b a b").success
    assert fs.edit_file(path, [{"oldText": "a", "newText": "1"}], dry_run=True).success
    assert fs.read_file(path).content == "a b a b"
    assert fs.edit_file(path, [{"oldText": "a", "newText": "1"}, {"oldText": "b", "newText": "2"}]).success
    assert fs.read_file(path).content == "1 2 a b"
    failed = fs.edit_file(path, [{"oldText": "a", "newText": "3"}, {"oldText": "zzz", "newText": "4"}])
    assert not failed.success and failed.error_message
    assert fs.read_file(path).content == "1 2 a b"


def test_several_files_are_read_at_once(way: Session, folder: str) -> None:
    want = {f"{folder}/a": "1\n2", f"{folder}/b": "---\nx", f"{folder}/c": ""}
    for path, text in want.items():
        assert way.file_system.write_file(path, text).success
    result = way.file_system.read_multiple_files(list(want))
    assert result.success and result.contents == want


def test_searches_match_names_recursively(way: Session, folder: str) -> None:
    for name in ("a.py", "x/b.py", "x/c.txt", "skip/d.py", "x/A.PY"):
        assert way.file_system.write_file(f"{folder}/{name}", "").success
    search = way.file_system.search_files
    assert sorted(search(folder, "*.py").matches) == [
        f"{folder}/{n}" for n in ("a.py", "skip/d.py", "x/b.py")
    ]
    assert search(folder, "?.txt").matches == [f"{folder}/x/c.txt"]
    assert sorted(search(folder, "*.py", ["skip"]).matches) == [f"{folder}/a.py", f"{folder}/x/b.py"]
    none = search(folder, "*.none")
    assert none.success and none.matches == []


@pytest.mark.parametrize(
    "path", ["/no/such/file", "/proc/1/../../no", "/tmp/a\0b", "", "relative", "/tmp/" + "x" * 300]
)
def test_paths_that_lead_nowhere_are_failures(way: Session, path: str) -> None:
    fs = way.file_system
    for result in (
        fs.read_file(path),
        fs.read_file(path, format="bytes"),
        fs.get_file_info(path),
        fs.list_directory(path),
        fs.delete_file(path),
        fs.move_file(path, "/tmp/elsewhere"),
    ):
        assert not result.success and result.error_message and result.request_id, (path, result)


def test_a_missing_file_says_so(way: Session) -> None:
    assert "No such file or directory" in way.file_system.read_file("/no/such/file").error_message


def test_directories_cannot_be_read_and_files_not_listed(way: Session, folder: str) -> None:
    assert way.file_system.write_file(f"{folder}/f", "x").success
    assert not way.file_system.read_file(folder).success
    assert not way.file_system.list_directory(f"{folder}/f").success
    assert not way.file_system.write_file(folder, "x").success


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
            self._changed.wait_for(lambda: len(self.events) >= count, timeout=20)
            return [f"{e.event_type} {e.path}" for e in self.events]


@pytest.mark.parametrize("how", ["push", "poll", "async"])
def test_a_watch_counts_every_change_once(session: Session, folder: str, how: str) -> None:
    seen, watched = Seen(), session
    if how == "async":
        watched = twin_of(session)
    ws, watched.ws_url = watched.ws_url, watched.ws_url if how != "poll" else ""
    assert session.file_system.write_file(f"{folder}/before", "x").success
    watch = watched.file_system.watch_directory(folder, seen, interval=0.1)
    watch.start()
    assert watch.ready_event.wait(30)
    a, b = f"{folder}/a", f"{folder}/b"
    for path, count in ((a, 2), (a, 3), (b, 5)):
        assert session.file_system.write_file(path, "hello").success
        assert len(seen.wait_for(count)) == count, seen.events
    assert [f"{e.event_type} {e.path}" for e in seen.events] == [
        f"create {a}",
        f"modify {a}",
        f"modify {a}",
        f"create {b}",
        f"modify {b}",
    ]
    assert session.file_system.delete_file(a).success
    assert seen.wait_for(6)[5] == f"delete {a}"
    assert {e.path_type for e in seen.events} == {"file"}
    watch.stop_event.set()
    watch.join(20)
    assert not watch.is_alive()
    watched.ws_url = ws


def twin_of(session: Session) -> Session:
    """The session as an asynchronous client has it."""
    import asyncio

    async def get() -> object:
        async with AsyncAgentBay() as client:
            return (await client.get(session.session_id)).session

    return asyncio.run(get())  # type: ignore[return-value]


def test_changes_can_be_asked_for(way: Session, folder: str) -> None:
    first = way.file_system.get_file_change(folder)
    assert first.success and first.events == [] and first.raw_data == "[]"
    assert way.command.run(f"mkdir {folder}/d && echo x > {folder}/d/f").success
    paths: set[str] = set()
    for _ in range(100):
        paths |= {e.path for e in way.file_system.get_file_change(folder).events}
        if f"{folder}/d/f" in paths:
            break
    assert {f"{folder}/d", f"{folder}/d/f"} <= paths
    assert way.file_system.get_file_change(folder).events == []
    assert not way.file_system.get_file_change(folder + "/missing").success
