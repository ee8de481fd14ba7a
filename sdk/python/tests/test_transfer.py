"""Files between this computer and a session."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from bay import KEY, TestBay

from agentbay import AgentBay, AsyncAgentBay, Config, Session
from agentbay._common.transfer import PIECE

SIZES = [0, 1, PIECE, 3 * PIECE + 17]


def content(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_goes_there_and_back(bay: TestBay, session: Session, tmp_path: Path, size: int) -> None:
    local, back, data = tmp_path / "local", tmp_path / "made" / "back", content(size)
    local.write_bytes(data)
    sent: list[int] = []
    up = session.file_system.upload_file(
        str(local), "/any/ü 1", content_type="text/x", progress_cb=sent.append
    )
    assert up.success, up.error_message
    assert (up.bytes_sent, up.http_status, up.etag, up.path) == (size, 200, '"tag"', "/any/ü 1")
    assert up.request_id_upload_url and up.request_id_sync and up.error_message is None
    assert bay.files["/any/ü 1"] == data
    assert bay.puts[-1]["content-length"] == str(size) and bay.puts[-1]["content-type"] == "text/x"
    got: list[int] = []
    down = session.file_system.download_file("/any/ü 1", str(back), progress_cb=got.append)
    assert down.success, down.error_message
    assert (down.bytes_received, down.http_status, down.path) == (size, 200, "/any/ü 1")
    assert down.local_path == str(back) and down.request_id_download_url and down.request_id_sync
    assert back.read_bytes() == data
    for counts in (sent, got):
        assert (
            counts[-1] == size and counts == sorted(set(counts)) and len(counts) == max(1, -(-size // PIECE))
        )


def test_nothing_stays_in_between(bay: TestBay, session: Session, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    session.file_system.upload_file(str(tmp_path / "f"), "/f")
    session.file_system.download_file("/f", str(tmp_path / "g"))
    bay.faults["/readonly/f"] = "read-only file system"
    session.file_system.upload_file(str(tmp_path / "f"), "/readonly/f")
    (hidden,) = bay.contexts
    assert bay.kept[hidden] == {}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f", "g"]


def test_the_path_for_transfers_is_told(bay: TestBay, client: AgentBay, session: Session) -> None:
    assert session.file_system.get_file_transfer_context_path() == "/tmp/file-transfer"
    assert client.context.list().contexts == []
    bay.do_GetAndLoadInternalContext = lambda call: {"Data": []}  # type: ignore[method-assign]
    found = client.get(session.session_id).session
    assert found is not None and found.file_system.get_file_transfer_context_path() is None


def test_what_cannot_be_read_here_is_not_sent(bay: TestBay, session: Session, tmp_path: Path) -> None:
    calls = len(bay.calls)
    missing = session.file_system.upload_file(str(tmp_path / "no"), "/f")
    assert not missing.success and missing.error_message == f"Local file not found: {tmp_path / 'no'}"
    folder = session.file_system.upload_file(str(tmp_path), "/f")
    assert not folder.success and "is not a file" in str(folder.error_message)
    assert len(bay.calls) == calls


def test_a_file_that_is_not_there_is_not_downloaded(bay: TestBay, session: Session, tmp_path: Path) -> None:
    bay.faults["/no"] = "No such file or directory"
    down = session.file_system.download_file("/no", str(tmp_path / "deep" / "f"))
    assert not down.success and "/no: No such file or directory" in str(down.error_message)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_on_demand(bay: TestBay, session: Session, tmp_path: Path) -> None:
    bay.files["/f"] = b"new"
    local = tmp_path / "f"
    local.write_bytes(b"old")
    local.chmod(0o640)
    kept = session.file_system.download_file("/f", str(local), overwrite=False)
    assert not kept.success and "exists already" in str(kept.error_message) and local.read_bytes() == b"old"
    assert session.file_system.download_file("/f", str(local)).success
    assert local.read_bytes() == b"new" and local.stat().st_mode & 0o777 == 0o640
    link = tmp_path / "link"
    link.symlink_to(local)
    bay.files["/f"] = b"newer"
    assert session.file_system.download_file("/f", str(link)).success
    assert link.is_symlink() and local.read_bytes() == b"newer"
    for place in (tmp_path, Path(os.devnull)):
        refused = session.file_system.download_file("/f", str(place))
        assert not refused.success and "is not a file" in str(refused.error_message)


@pytest.mark.parametrize("status", [403, 404, 507])
def test_a_refused_url_leaves_the_local_file_alone(
    bay: TestBay, session: Session, tmp_path: Path, status: int
) -> None:
    local = tmp_path / "f"
    local.write_bytes(b"old")
    bay.object_status, bay.files["/f"] = status, b"new"
    up = session.file_system.upload_file(str(local), "/f")
    down = session.file_system.download_file("/f", str(local))
    for result in (up, down):
        assert not result.success and result.http_status == status
        assert f"HTTP status {status}: the ticket has expired" in str(result.error_message)
    assert local.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["f"]


def test_the_session_has_some_time_to_write_a_file(bay: TestBay, session: Session, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    bay.looks_until_done = 1000
    up = session.file_system.upload_file(str(tmp_path / "f"), "/f", wait_timeout=0.05, poll_interval=0.01)
    assert not up.success and "/f is Running" in str(up.error_message) and up.http_status == 200
    down = session.file_system.download_file("/f", str(tmp_path / "g"), wait_timeout=0.05)
    assert not down.success and "/f is Running" in str(down.error_message)
    assert session.file_system.upload_file(str(tmp_path / "f"), "/f", wait=False).success


def test_a_callback_that_raises_ends_the_transfer(bay: TestBay, session: Session, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content(3 * PIECE))
    bay.files["/f"] = content(3 * PIECE)

    def stop(count: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        session.file_system.upload_file(str(tmp_path / "f"), "/g", progress_cb=stop)
    with pytest.raises(RuntimeError, match="enough"):
        session.file_system.download_file("/f", str(tmp_path / "g"), progress_cb=stop)
    assert "/g" not in bay.files and [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_file_that_grows_is_sent_as_it_was(bay: TestBay, session: Session, tmp_path: Path) -> None:
    local = tmp_path / "log"
    local.write_bytes(content(2 * PIECE))

    def grow(count: int) -> None:
        with local.open("ab") as log:
            log.write(b"more")

    assert session.file_system.upload_file(str(local), "/log", progress_cb=grow).success
    assert bay.files["/log"] == content(2 * PIECE)


def test_a_file_that_shrinks_is_not_sent(bay: TestBay, session: Session, tmp_path: Path) -> None:
    local = tmp_path / "log"
    local.write_bytes(content(4 * PIECE))
    up = session.file_system.upload_file(
        str(local), "/log", progress_cb=lambda count: os.truncate(local, PIECE)
    )
    assert not up.success and "became shorter" in str(up.error_message) and "/log" not in bay.files


def test_awaited_transfers_run_side_by_side(bay: TestBay, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncAgentBay(KEY, Config(endpoint=bay.endpoint)) as client:
            session = (await client.create()).session
            assert session is not None
            files = session.file_system
            for i in range(4):
                (tmp_path / f"{i}").write_bytes(content(PIECE + i))
            ups = await asyncio.gather(
                *(files.upload_file(str(tmp_path / f"{i}"), f"/{i}") for i in range(4))
            )
            assert all(up.success for up in ups), ups
            downs = (files.download_file(f"/{i}", str(tmp_path / f"back{i}")) for i in range(4))
            assert all(down.success for down in await asyncio.gather(*downs))

    asyncio.run(main())
    for i in range(4):
        assert bay.files[f"/{i}"] == (tmp_path / f"back{i}").read_bytes() == content(PIECE + i)


def test_transfers_of_several_threads_do_not_mix(bay: TestBay, session: Session, tmp_path: Path) -> None:
    def move(i: int) -> None:
        (tmp_path / f"{i}").write_bytes(content(1000 + i))
        session.file_system.upload_file(str(tmp_path / f"{i}"), f"/{i}")

    threads = [threading.Thread(target=move, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {p: len(b) for p, b in bay.files.items()} == {f"/{i}": 1000 + i for i in range(4)}
