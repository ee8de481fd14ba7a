"""Files between this computer and a session, byte for byte, at every size."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.conftest import NewSession
from agentbay import AgentBay, Context, ContextSync, Session

MB = 1 << 20


def make(path: Path, size: int) -> str:
    """Make a file of random bytes; returns their hash."""
    sha = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, MB):
            piece = os.urandom(min(MB, size - start))
            sha.update(piece)
            file.write(piece)
    return sha.hexdigest()


def sha256(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(MB):
            sha.update(piece)
    return sha.hexdigest()


def sha256_there(session: Session, path: str) -> str:
    return session.command.run(f"sha256sum < '{path}'", timeout_ms=120_000).stdout.split()[0]


@pytest.mark.parametrize("size", [0, 1, 10 * MB, 200 * MB])
def test_a_file_goes_there_and_back(session: Session, folder: str, tmp_path: Path, size: int) -> None:
    local, back, remote = tmp_path / "local", tmp_path / "back", f"{folder}/made for it/ü 1.bin"
    want = make(local, size)
    sent: list[int] = []
    up = session.file_system.upload_file(str(local), remote, progress_cb=sent.append)
    assert up.success, up
    assert up.bytes_sent == size and up.http_status in (200, 204) and up.etag and up.path == remote
    assert up.request_id_upload_url and up.request_id_sync
    assert sha256_there(session, remote) == want
    got: list[int] = []
    down = session.file_system.download_file(remote, str(back), progress_cb=got.append)
    assert down.success, down
    assert down.bytes_received == size and down.http_status == 200 and sha256(back) == want
    for counts in (sent, got):
        assert counts[-1] == size and counts == sorted(set(counts)) and len(counts) >= size // (64 * MB)
    assert session.file_system.delete_file(remote).success


@pytest.mark.parametrize(
    "remote",
    ["/home/wuying/x", "/var/tmp/a/b/c/x", "/tmp/file-transfer/x", "/tmp/*?[x]", "/tmp/-rf x'\"$(id)"],
)
def test_any_path_that_the_user_may_write_is_fine(session: Session, tmp_path: Path, remote: str) -> None:
    (tmp_path / "local").write_text("content")
    up = session.file_system.upload_file(str(tmp_path / "local"), remote)
    assert up.success, up
    assert session.file_system.read_file(remote).content == "content"
    user = session.command.run("id -un").stdout.strip()
    assert session.file_system.get_file_info(remote).file_info["owner"] == user
    down = session.file_system.download_file(remote, str(tmp_path / "back"))
    assert down.success and (tmp_path / "back").read_text() == "content"
    assert session.file_system.delete_file(remote).success


@pytest.mark.parametrize("remote", ["/etc/shadow", "/root/x", "/proc/sysrq-trigger", "/tmp", "/tmp/a\0b", ""])
def test_a_path_that_the_user_may_not_write_is_a_failure(
    linux_session: Session, tmp_path: Path, remote: str
) -> None:
    (tmp_path / "local").write_text("content")
    up = linux_session.file_system.upload_file(str(tmp_path / "local"), remote)
    assert not up.success and up.error_message, up


@pytest.mark.parametrize("remote", ["/no/such/file", "/etc/shadow", "/root/.bashrc", ""])
def test_a_file_that_cannot_be_read_is_a_failure(linux_session: Session, tmp_path: Path, remote: str) -> None:
    down = linux_session.file_system.download_file(remote, str(tmp_path / "back"))
    assert not down.success and down.error_message and list(tmp_path.iterdir()) == [], down


def test_a_second_upload_replaces_the_first(session: Session, folder: str, tmp_path: Path) -> None:
    for text in ("first and longer", "second", ""):
        (tmp_path / "local").write_text(text)
        assert session.file_system.upload_file(str(tmp_path / "local"), f"{folder}/f").success
        assert session.file_system.read_file(f"{folder}/f").content == text


def test_a_download_replaces_only_on_demand(session: Session, folder: str, tmp_path: Path) -> None:
    back = tmp_path / "back"
    for text in ("one", "two"):
        assert session.file_system.write_file(f"{folder}/f", text).success
        assert session.file_system.download_file(f"{folder}/f", str(back)).success
        assert back.read_text() == text
    assert session.file_system.write_file(f"{folder}/f", "three").success
    assert not session.file_system.download_file(f"{folder}/f", str(back), overwrite=False).success
    assert back.read_text() == "two"


def test_the_path_for_transfers_is_a_directory(session: Session) -> None:
    path = session.file_system.get_file_transfer_context_path()
    assert path and session.file_system.get_file_info(path).is_directory


def test_transfers_show_in_no_listing(agent_bay: AgentBay, session: Session, tmp_path: Path) -> None:
    before = agent_bay.context.list().total_count
    (tmp_path / "local").write_text("x")
    assert session.file_system.upload_file(str(tmp_path / "local"), "/tmp/x").success
    assert agent_bay.context.list().total_count == before
    assert session.context.list_bindings().bindings == []


def test_a_session_found_by_id_transfers_too(
    agent_bay: AgentBay, session: Session, folder: str, tmp_path: Path
) -> None:
    (tmp_path / "local").write_text("x")
    assert session.file_system.upload_file(str(tmp_path / "local"), f"{folder}/x").success
    found = agent_bay.get(session.session_id).session
    assert found is not None
    assert found.file_system.download_file(f"{folder}/x", str(tmp_path / "back")).success


def test_what_is_uploaded_into_a_mount_is_kept(
    context: Context, new_session: NewSession, tmp_path: Path
) -> None:
    mount = ContextSync.new(context.id, "/tmp/data")
    want = make(tmp_path / "local", 3 * MB)
    with new_session(context_syncs=[mount]) as session:
        assert session.file_system.upload_file(str(tmp_path / "local"), "/tmp/data/deep/f").success
    session = new_session(context_syncs=[mount])
    down = session.file_system.download_file("/tmp/data/deep/f", str(tmp_path / "back"))
    assert down.success and sha256(tmp_path / "back") == want


def test_a_failed_transfer_does_not_fail_a_later_sync(
    context: Context, new_session: NewSession, tmp_path: Path
) -> None:
    session = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/data")])
    assert not session.file_system.download_file("/no/such/file", str(tmp_path / "back")).success
    assert session.context.sync().success
    assert session.delete(sync_context=True).error_message == ""


MEASURE = """
import resource, sys
from agentbay import AgentBay
session = AgentBay().get(sys.argv[1]).session
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert session.file_system.upload_file(sys.argv[2], sys.argv[3]).success
assert session.file_system.download_file(sys.argv[3], sys.argv[2]).success
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_file(code_session: Session, tmp_path: Path) -> None:
    want = make(tmp_path / "big", 200 * MB)
    args = [sys.executable, "-c", MEASURE, code_session.session_id, str(tmp_path / "big"), "/tmp/big"]
    done = subprocess.run(args, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 * 1024, f"{done.stdout} KB more for a file of 200 MB"
    assert sha256(tmp_path / "big") == want
    assert code_session.file_system.delete_file("/tmp/big").success
