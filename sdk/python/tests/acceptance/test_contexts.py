"""Contexts: what they keep, who sees it, and when."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator

import httpx
import pytest

from acceptance.conftest import NewContext, NewSession
from agentbay import (
    AgentBay,
    AgentBayError,
    BWList,
    Context,
    ContextListParams,
    ContextSync,
    ContextSyncResult,
    CreateSessionParams,
    DeletePolicy,
    DownloadPolicy,
    ExtractPolicy,
    Lifecycle,
    MappingPolicy,
    RecyclePolicy,
    Session,
    SyncPolicy,
    UploadMode,
    UploadPolicy,
    WhiteList,
)
from agentbay._common.config import tls_context

# Every kind of name and file: bytes that are no text, links that lead nowhere or
# out, holes, empty directories, bits of modes, times to the nanosecond.
VARIETY = r"""set -e
mkdir -p a/b/c empty 'sp ace/ünï' .hidden; printf 1 > a/one; printf 22 > a/b/two; : > a/b/c/nothing
printf x > "$(printf 'new\nline')"; printf y > "$(printf 'no-text-\377')"; printf z > 'sp ace/ünï/-rf *'
ln -s one a/link; ln -s /etc/passwd out; ln -s ../../../.. up; ln -s nowhere dangling; ln a/one a/twin
printf '#!/bin/sh\necho hi\n' > run; chmod 755 run; chmod 400 a/b/two; chmod 700 empty
truncate -s 50M hole; printf end >> hole; head -c 3000000 /dev/urandom > random
touch -d '2001-02-03 04:05:06.123456789' a/one run"""
LOOK = r"""find . -mindepth 1 -type d -printf 'd %p %m\n' -o -type l -printf 'l %p %l\n' \
-o -printf 'f %p %m %s %T@\n' | LC_ALL=C sort; find . -type f -exec sha256sum {} + | LC_ALL=C sort"""


def run(session: Session, command: str, cwd: str | None = None) -> str:
    result = session.command.run(command, timeout_ms=60_000, cwd=cwd)
    assert result.success, (command, result.stderr, result.error_message)
    return result.stdout


def write(session: Session, **files: str) -> None:
    for path, text in files.items():
        result = session.file_system.write_file(path, text)
        assert result.success, result.error_message


def read(session: Session, path: str) -> str | None:
    result = session.file_system.read_file(path)
    return result.content if result.success else None


def delete(session: Session, sync_context: bool = False) -> None:
    result = session.delete(sync_context)
    assert result.success and not result.error_message, result


def web() -> httpx.Client:
    """Plain HTTP without a key."""
    return httpx.Client(verify=tls_context(), timeout=120)


def put(agent_bay: AgentBay, context: Context, path: str, content: bytes) -> None:
    place = agent_bay.context.get_file_upload_url(context.id, path)
    assert place.success, place.error_message
    with web() as client:
        answer = client.put(place.url, content=content)
    assert answer.status_code in (200, 204) and answer.headers.get("ETag"), answer.text


def get(agent_bay: AgentBay, context: Context, path: str) -> bytes | None:
    place = agent_bay.context.get_file_download_url(context.id, path)
    if not place.success:
        return None
    with web() as client:
        answer = client.get(place.url)
    return answer.content if answer.status_code == 200 else None


def names(agent_bay: AgentBay, context: Context, folder: str) -> list[str]:
    found = agent_bay.context.list_files(context.id, folder, page_size=1000)
    assert found.success, found.error_message
    return [entry.file_name for entry in found.entries]


# contexts themselves


def test_a_context_is_made_once_and_found_by_name_and_id(agent_bay: AgentBay, context: Context) -> None:
    assert re.fullmatch(r"SdkCtx-\w+", context.id) and context.created_at and context.last_used_at
    for same in (
        agent_bay.context.get(context.name),
        agent_bay.context.get(context.name, create=True),
        agent_bay.context.get(context_id=context.id),
    ):
        assert same.success and same.context_id == context.id and same.request_id
        assert same.context and same.context.name == context.name


@pytest.mark.parametrize("name", ["no-such-context", "x" * 10_000, "a\0b", "' OR 1=1 --"])
def test_a_context_that_is_not_there_is_a_failure(agent_bay: AgentBay, name: str) -> None:
    for result in (agent_bay.context.get(name), agent_bay.context.get(context_id=name)):
        assert not result.success and result.context is None and result.error_message and result.request_id


def test_a_context_is_renamed_and_names_are_unique(
    agent_bay: AgentBay, context: Context, new_context: NewContext
) -> None:
    other, old = new_context(), context.name
    context.name = other.name
    assert not agent_bay.context.update(context).success
    context.name = old + "-renamed ü"
    assert agent_bay.context.update(context).success
    assert agent_bay.context.get(context.name).context_id == context.id
    assert not agent_bay.context.get(old).success


def test_a_deleted_context_is_gone_with_its_files(agent_bay: AgentBay, context: Context) -> None:
    put(agent_bay, context, "/tmp/f", b"1")
    assert agent_bay.context.delete(context).success
    assert not agent_bay.context.get(context_id=context.id).success
    assert not agent_bay.context.list_files(context.id, "/tmp").success
    assert not agent_bay.context.delete(context).success
    again = agent_bay.context.create(context.name)
    assert again.success and again.context and again.context_id != context.id
    assert names(agent_bay, again.context, "/tmp") == []
    assert agent_bay.context.delete(again.context).success


def test_contexts_are_listed_in_pages_newest_first(agent_bay: AgentBay, new_context: NewContext) -> None:
    made = [new_context().id for _ in range(12)]
    first = agent_bay.context.list()
    assert len(first.contexts) == 10 and first.max_results == 10 and first.next_token
    assert [c.id for c in first.contexts] == made[:1:-1]
    assert first.total_count is not None and first.total_count >= 12
    second = agent_bay.context.list(ContextListParams(max_results=10, next_token=first.next_token))
    assert [c.id for c in second.contexts][:2] == made[1::-1]
    seen, token = [c.id for c in first.contexts], first.next_token
    while token:
        page = agent_bay.context.list(ContextListParams(max_results=3, next_token=token))
        seen, token = seen + [c.id for c in page.contexts], page.next_token
    assert len(seen) == len(set(seen)) and set(made) <= set(seen)


def test_the_contexts_of_a_session_are_listed(
    agent_bay: AgentBay, new_context: NewContext, new_session: NewSession
) -> None:
    mounted = new_context()
    new_context()
    session = new_session(context_syncs=[ContextSync.new(mounted.id, "/tmp/data")])
    found = agent_bay.context.list(ContextListParams(session_id=session.session_id))
    assert [c.id for c in found.contexts] == [mounted.id]


def test_what_another_key_made_does_not_exist(agent_bay: AgentBay, context: Context) -> None:
    key = os.environ.get("AGENTBAY_SECOND_API_KEY")
    if not key:
        pytest.skip("no second key: AGENTBAY_SECOND_API_KEY is not set")
    put(agent_bay, context, "/tmp/f", b"secret")
    with AgentBay(key) as stranger:
        contexts = stranger.context
        for result in (
            contexts.get(context.name),
            contexts.get(context_id=context.id),
            contexts.list_files(context.id, "/tmp"),
            contexts.get_file_download_url(context.id, "/tmp/f"),
            contexts.get_file_upload_url(context.id, "/tmp/f"),
            contexts.delete_file(context.id, "/tmp/f"),
            contexts.history(context.id),
            contexts.update(Context(context.id, "taken")),
            contexts.delete(context),
            stranger.create(CreateSessionParams(context_syncs=[ContextSync.new(context.id, "/tmp/data")])),
        ):
            assert not result.success and result.request_id, result
            assert "not found" in result.error_message.lower(), result
        assert context.id not in {c.id for c in contexts.list(ContextListParams(max_results=100)).contexts}
        with pytest.raises(AgentBayError, match="not found"):
            contexts.clear(context.id)
        own = contexts.create(context.name)  # the same name is another context to another key
        assert own.success and own.context and own.context_id != context.id
        assert names(stranger, own.context, "/tmp") == []
        assert contexts.delete(own.context).success
    assert get(agent_bay, context, "/tmp/f") == b"secret"


# files by URL


@pytest.mark.parametrize("path", ["/tmp/a.txt", "/data/ünï çödé/世 界.txt", "/q?x=1&y#z%20", "/ /+"])
def test_a_file_is_put_and_got_by_url(agent_bay: AgentBay, context: Context, path: str) -> None:
    content = bytes(range(256)) * 5
    put(agent_bay, context, path, content)
    place = agent_bay.context.get_file_download_url(context.id, path)
    assert place.success and place.expire_time and 3000 < place.expire_time - time.time() <= 3660
    with web() as client:
        whole = client.get(place.url)
        assert (whole.status_code, whole.content) == (200, content)
        assert whole.headers["Content-Length"] == str(len(content))
        for span, want in (("0-0", content[:1]), ("100-199", content[100:200]), ("-7", content[-7:])):
            part = client.get(place.url, headers={"Range": f"bytes={span}"})
            assert (part.status_code, part.content) == (206, want), span
        assert client.get(place.url, headers={"Range": "bytes=9999-"}).status_code == 416
        assert client.put(place.url, content=b"x").status_code in (403, 405)
    assert get(agent_bay, context, path) == content


def test_a_url_is_good_for_its_file_only(agent_bay: AgentBay, context: Context) -> None:
    put(agent_bay, context, "/tmp/a", b"1")
    put(agent_bay, context, "/tmp/b", b"2")
    url = agent_bay.context.get_file_download_url(context.id, "/tmp/a").url
    with web() as client:
        for i in range(len(url) - 1, url.index("://") + 3, -7):
            forged = url[:i] + ("A" if url[i] != "A" else "B") + url[i + 1 :]
            try:
                answer = client.get(forged)
            except (httpx.HTTPError, httpx.InvalidURL):
                continue  # another host
            assert answer.status_code != 200 or answer.content == b"1", forged


def test_a_put_that_is_cut_short_changes_nothing(agent_bay: AgentBay, context: Context) -> None:
    put(agent_bay, context, "/tmp/f", b"whole")
    url = agent_bay.context.get_file_upload_url(context.id, "/tmp/f").url

    def cut() -> Iterator[bytes]:
        yield b"x" * 1000
        raise ConnectionError("the cable is pulled")

    with web() as client, pytest.raises(ConnectionError):
        client.put(url, content=cut(), headers={"Content-Length": "5000"})
    assert get(agent_bay, context, "/tmp/f") == b"whole"


def test_any_content_type_and_chunks_are_fine(agent_bay: AgentBay, context: Context) -> None:
    url = agent_bay.context.get_file_upload_url(context.id, "/tmp/f").url
    with web() as client:
        for kind in ("text/html", "application/json; charset=utf-8"):
            assert client.put(url, content=kind.encode(), headers={"Content-Type": kind}).status_code == 200
            assert get(agent_bay, context, "/tmp/f") == kind.encode()
        assert client.put(url, content=iter([b"one ", b"two"])).status_code == 200
    assert get(agent_bay, context, "/tmp/f") == b"one two"


def test_directories_are_listed_in_pages(agent_bay: AgentBay, context: Context) -> None:
    for i in range(7):
        put(agent_bay, context, f"/tmp/data/{i}.txt", b"x" * i)
    put(agent_bay, context, "/tmp/data/sub/deep/f", b"1")
    pages = [agent_bay.context.list_files(context.id, "/tmp/data", n, 3) for n in (1, 2, 3, 4)]
    assert [p.count for p in pages] == [8] * 4 and [len(p.entries) for p in pages] == [3, 3, 2, 0]
    entries = {e.file_name: e for page in pages for e in page.entries}
    assert sorted(entries) == [f"{i}.txt" for i in range(7)] + ["sub"]
    assert entries["3.txt"].size == 3 and entries["3.txt"].file_path == "/tmp/data/3.txt"
    assert entries["3.txt"].file_type != "FOLDER" and entries["sub"].file_type == "FOLDER"
    assert entries["3.txt"].file_id and entries["3.txt"].gmt_modified and entries["3.txt"].gmt_create
    assert names(agent_bay, context, "/") == ["tmp"] and names(agent_bay, context, "/tmp/data/") == names(
        agent_bay, context, "/tmp/data"
    )
    assert names(agent_bay, context, "/nowhere") == []
    assert agent_bay.context.delete_file(context.id, "/tmp/data/3.txt").success
    assert agent_bay.context.delete_file(context.id, "/tmp/data/sub").success
    assert not agent_bay.context.delete_file(context.id, "/tmp/data/3.txt").success
    assert names(agent_bay, context, "/tmp/data") == [f"{i}.txt" for i in range(7) if i != 3]


def test_files_put_by_url_are_in_the_next_session(
    agent_bay: AgentBay, context: Context, new_session: NewSession
) -> None:
    put(agent_bay, context, "/tmp/data/in", b"hello")
    put(agent_bay, context, "/tmp/elsewhere", b"not mounted")
    session = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/data")])
    assert run(session, "ls -A /tmp/data; cat in", "/tmp/data") == "in\nhello"
    assert read(session, "/tmp/elsewhere") is None
    write(session, **{"/tmp/data/out": "world"})
    delete(session)
    assert get(agent_bay, context, "/tmp/data/out") == b"world"


# mounts


@pytest.mark.parametrize("image", ["linux_latest", "code_latest"])
def test_everything_a_session_wrote_is_in_the_next(
    context: Context, new_session: NewSession, image: str
) -> None:
    mount = ContextSync.new(context.id, "/tmp/data")
    session = new_session(image_id=image, context_syncs=[mount])
    run(session, VARIETY, "/tmp/data")
    before = run(session, LOOK, "/tmp/data")
    delete(session)
    session = new_session(image_id=image, context_syncs=[mount])
    assert run(session, LOOK, "/tmp/data") == before
    assert run(session, "./run; cat a/link", "/tmp/data") == "hi\n1"
    assert run(session, "stat -c %U . a/one", "/tmp/data") == 2 * run(session, "id -un")


def test_what_changes_is_what_is_kept(context: Context, new_session: NewSession) -> None:
    mount = ContextSync.new(context.id, "/home/wuying/work/")
    session = new_session(context_syncs=[mount])
    steps = [
        "mkdir -p d/e f; echo 1 > d/e/x; echo 2 > d/y; echo 3 > f/z; echo 4 > k",
        "rm -r d; echo new > d; mv f g; echo more >> k; ln -s k l",
        "rm d l; mkdir d; echo 5 > d/only; chmod 600 k; mv g/z g/zz; mkdir g/empty",
        "rm -r d g; mkdir d; touch d/back; mv k K",
    ]
    for step in steps:
        run(session, step, "/home/wuying/work")
        before = run(session, LOOK, "/home/wuying/work")
        delete(session)
        session = new_session(context_syncs=[mount])
        assert run(session, LOOK, "/home/wuying/work") == before, step


def test_creation_does_not_wait_where_it_should_not(new_context: NewContext, new_session: NewSession) -> None:
    contexts = [new_context() for _ in range(3)]
    syncs = [
        ContextSync.new(c.id, f"/tmp/data/{i}", beta_wait_for_completion=i > 0)
        for i, c in enumerate(contexts)
    ]
    session = new_session(context_syncs=syncs)
    tasks = session.context.info().context_status_data
    assert sorted(t.context_id for t in tasks) == sorted(c.id for c in contexts)
    assert {t.status for t in tasks if t.context_id != contexts[0].id} == {"Success"}, tasks
    assert {t.task_type for t in tasks} == {"download"}


@pytest.mark.parametrize(
    "path", ["/home/wuying/下载", "/home/wuying", "/test/recycle/path", "/tmp/with space", "/var/tmp/a/b/c/d"]
)
def test_a_context_can_be_mounted_anywhere(context: Context, new_session: NewSession, path: str) -> None:
    mount = ContextSync.new(context.id, path)
    session = new_session(context_syncs=[mount])
    write(session, **{f"{path}/f": "1"})
    assert run(session, "pwd; whoami; ls f", path) == f"{path}\nwuying\nf\n"
    delete(session)
    assert read(new_session(context_syncs=[mount]), f"{path}/f") == "1"


@pytest.mark.parametrize("path", ["/proc/x", "/etc/passwd"])
def test_a_mount_that_cannot_be_made_is_told(context: Context, new_session: NewSession, path: str) -> None:
    session = new_session(context_syncs=[ContextSync.new(context.id, path)])
    (task,) = session.context.info(context_id=context.id).context_status_data
    assert (task.status, task.path, task.task_type) == ("Failed", path, "download") and task.error_message


@pytest.mark.parametrize("path", ["relative", "/", "", "/tmp/../etc", "/tmp/a\0b", "/tmp/" + "x" * 5000])
def test_a_path_that_is_none_is_refused(agent_bay: AgentBay, context: Context, path: str) -> None:
    result = agent_bay.create(CreateSessionParams(context_syncs=[ContextSync.new(context.id, path)]))
    if result.session:
        result.session.delete()
    assert not result.success and result.error_message and result.request_id


def test_the_same_data_is_not_at_another_path(context: Context, new_session: NewSession) -> None:
    with new_session(context_syncs=[ContextSync.new(context.id, "/tmp/one")]) as session:
        write(session, **{"/tmp/one/f": "1"})
    session = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/two")])
    assert run(session, "ls -A /tmp/two") == ""


def test_contexts_are_bound_to_a_running_session(new_context: NewContext, new_session: NewSession) -> None:
    first, second, third = new_context(), new_context(), new_context()
    session = new_session(context_syncs=[ContextSync.new(first.id, "/tmp/first")])
    bound = session.context.bind(
        ContextSync.new(second.id, "/tmp/second"), ContextSync.new(third.id, "/tmp/3")
    )
    assert bound.success and bound.request_id, bound.error_message
    run(session, "echo 2 > /tmp/second/f; echo 3 > /tmp/3/f")
    bindings = session.context.list_bindings()
    assert bindings.success
    told = [(b.context_id, b.context_name, b.path) for b in bindings.bindings]
    assert told[0] == (first.id, first.name, "/tmp/first")
    assert set(told[1:]) == {(second.id, second.name, "/tmp/second"), (third.id, third.name, "/tmp/3")}
    assert all(b.bind_time and json.loads(b.policy) for b in bindings.bindings)
    for path in ("/tmp/second", "/tmp/second/"):
        again = session.context.bind(ContextSync.new(third.id, path))
        assert not again.success and "PathAlreadyBound" in again.error_message
    delete(session)
    late = new_session()
    assert late.context.bind(ContextSync.new(second.id, "/tmp/second")).success
    assert read(late, "/tmp/second/f") == "2\n"


def test_contexts_are_mounted_inside_others(new_context: NewContext, new_session: NewSession) -> None:
    outer, inner = new_context(), new_context()
    mounts = [ContextSync.new(inner.id, "/tmp/data/in/side"), ContextSync.new(outer.id, "/tmp/data")]
    session = new_session(context_syncs=mounts)
    write(session, **{"/tmp/data/f": "outer", "/tmp/data/in/side/f": "inner"})
    delete(session)
    session = new_session(context_syncs=mounts)
    assert run(session, "cat f in/side/f", "/tmp/data") == "outerinner"
    delete(session)
    session = new_session(context_syncs=[ContextSync.new(outer.id, "/tmp/data")])
    assert read(session, "/tmp/data/f") == "outer" and read(session, "/tmp/data/in/side/f") is None


def test_a_session_found_by_id_has_the_same_contexts(
    agent_bay: AgentBay, context: Context, new_session: NewSession
) -> None:
    session = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/data")])
    found = agent_bay.get(session.session_id).session
    assert found is not None and [b.path for b in found.context.list_bindings().bindings] == ["/tmp/data"]
    write(found, **{"/tmp/data/f": "1"})
    assert found.context.sync().success and get(agent_bay, context, "/tmp/data/f") == b"1"


# syncs


def test_files_move_between_sessions_that_run(
    agent_bay: AgentBay, context: Context, new_session: NewSession
) -> None:
    mount = ContextSync.new(context.id, "/tmp/data")
    one, two = (new_session(context_syncs=[mount]) for _ in range(2))
    write(one, **{"/tmp/data/a": "1", "/tmp/data/deep/b": "2"})
    assert read(two, "/tmp/data/a") is None
    up = one.context.sync(mode="upload")
    assert up.success and up.request_id, up.error_message
    assert names(agent_bay, context, "/tmp/data") == ["a", "deep"]
    write(two, **{"/tmp/data/own": "kept"})
    assert two.context.sync(context.id, "/tmp/data", mode="download").success
    assert (read(two, "/tmp/data/a"), read(two, "/tmp/data/deep/b")) == ("1", "2")
    assert read(two, "/tmp/data/own") == "kept"
    tasks = two.context.info(context.id, "/tmp/data", "download").context_status_data
    assert [(t.status, t.error_message) for t in tasks] == [("Success", "")]
    assert tasks[0].finish_time >= tasks[0].start_time > 1_600_000_000


def test_the_last_to_save_a_file_wins_and_the_others_stay(context: Context, new_session: NewSession) -> None:
    mount = ContextSync.new(context.id, "/tmp/data")
    one, two = (new_session(context_syncs=[mount]) for _ in range(2))
    write(one, **{"/tmp/data/shared": "one", "/tmp/data/one": "1"})
    write(two, **{"/tmp/data/shared": "two", "/tmp/data/two": "2"})
    delete(two)
    delete(one)
    session = new_session(context_syncs=[mount])
    assert run(session, "ls; cat shared", "/tmp/data") == "one\nshared\ntwo\none"


def test_a_callback_is_called_when_the_files_are_there(
    agent_bay: AgentBay, context: Context, new_session: NewSession
) -> None:
    session = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/data")])
    write(session, **{"/tmp/data/f": "1"})
    done, outcome = threading.Event(), []

    def callback(result: ContextSyncResult) -> None:
        outcome.append(result.success)
        done.set()

    assert session.context.sync(context.id, "/tmp/data", callback=callback).success
    assert done.wait(60) and outcome == [True] and get(agent_bay, context, "/tmp/data/f") == b"1"


def test_one_of_two_mounts_is_synced(
    agent_bay: AgentBay, new_context: NewContext, new_session: NewSession
) -> None:
    one, two = new_context(), new_context()
    session = new_session(
        context_syncs=[ContextSync.new(one.id, "/tmp/1"), ContextSync.new(two.id, "/tmp/2")]
    )
    write(session, **{"/tmp/1/f": "1", "/tmp/2/f": "2"})
    assert session.context.sync(one.id, "/tmp/1").success
    assert get(agent_bay, one, "/tmp/1/f") == b"1" and get(agent_bay, two, "/tmp/2/f") is None
    assert session.context.sync().success and get(agent_bay, two, "/tmp/2/f") == b"2"


def test_a_sync_of_what_is_not_there_says_so(agent_bay: AgentBay, new_session: NewSession) -> None:
    session = new_session()
    unknown = session.context.sync("SdkCtx-unknown", "/tmp/data")
    assert not unknown.success and unknown.error_message
    bad = session.context.sync(mode="sideways")
    assert not bad.success and "sideways" in bad.error_message
    assert session.context.sync().success  # nothing is mounted, so nothing is to be done


def test_every_way_to_end_a_session_saves_it(
    agent_bay: AgentBay, context: Context, new_session: NewSession
) -> None:
    mount = ContextSync.new(context.id, "/tmp/data")
    for i, how in enumerate((lambda s: delete(s), lambda s: delete(s, True), lambda s: s.__exit__())):
        session = new_session(context_syncs=[mount])
        write(session, **{f"/tmp/data/{i}": "x"})
        how(session)
        assert names(agent_bay, context, "/tmp/data") == [str(n) for n in range(i + 1)]


def test_a_session_that_dies_is_saved(agent_bay: AgentBay, context: Context, new_session: NewSession) -> None:
    session = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/data")])
    write(session, **{"/tmp/data/f": "1"})
    session.command.run("kill -9 -1; kill -9 1", timeout_ms=5000)
    delete_result = session.delete()
    assert delete_result.success or "not found" in delete_result.error_message.lower(), delete_result
    eventually(lambda: get(agent_bay, context, "/tmp/data/f") == b"1")


def eventually(condition: Callable[[], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.1)


# policies


def policy(**members: object) -> SyncPolicy:
    return SyncPolicy(**members)  # type: ignore[arg-type]


def test_without_auto_upload_only_a_sync_saves(
    agent_bay: AgentBay, context: Context, new_session: NewSession
) -> None:
    mount = ContextSync.new(context.id, "/tmp/data", policy(upload_policy=UploadPolicy(auto_upload=False)))
    session = new_session(context_syncs=[mount])
    write(session, **{"/tmp/data/a": "1"})
    delete(session)
    assert names(agent_bay, context, "/tmp/data") == []
    session = new_session(context_syncs=[mount])
    write(session, **{"/tmp/data/b": "2"})
    delete(session, sync_context=True)
    assert names(agent_bay, context, "/tmp/data") == ["b"]


def test_without_auto_download_only_a_sync_shows(
    agent_bay: AgentBay, context: Context, new_session: NewSession
) -> None:
    put(agent_bay, context, "/tmp/data/a", b"1")
    manual = policy(download_policy=DownloadPolicy(auto_download=False))
    session = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/data", manual)])
    assert run(session, "ls -A /tmp/data") == ""
    write(session, **{"/tmp/data/b": "2"})
    assert session.context.sync(mode="download").success
    assert run(session, "ls -A /tmp/data") == "a\nb\n"
    delete(session)
    assert names(agent_bay, context, "/tmp/data") == ["a", "b"]


@pytest.mark.parametrize("follow", [True, False])
def test_what_is_deleted_follows_the_policy(
    agent_bay: AgentBay, context: Context, new_session: NewSession, follow: bool
) -> None:
    for path in ("a", "d/b", "stays"):
        put(agent_bay, context, f"/tmp/data/{path}", b"1")
    mount = ContextSync.new(context.id, "/tmp/data", policy(delete_policy=DeletePolicy(follow)))
    session = new_session(context_syncs=[mount])
    run(session, "rm -r a d", "/tmp/data")
    delete(session)
    assert names(agent_bay, context, "/tmp/data") == (["stays"] if follow else ["a", "d", "stays"])


def test_an_archive_is_one_file_and_comes_back_as_a_tree(
    agent_bay: AgentBay, context: Context, new_session: NewSession
) -> None:
    archive = policy(upload_policy=UploadPolicy(upload_mode=UploadMode.ARCHIVE))
    mount = ContextSync.new(context.id, "/tmp/data", archive)
    session = new_session(context_syncs=[mount])
    run(session, VARIETY.replace("ln a/one a/twin", "true"), "/tmp/data")
    before = run(session, LOOK, "/tmp/data")
    delete(session)
    (name,) = names(agent_bay, context, "/tmp/data")
    content = get(agent_bay, context, f"/tmp/data/{name}")
    assert content is not None and name.endswith(".tar.gz")
    with tarfile.open(fileobj=io.BytesIO(content)) as packed:
        assert "a/b/two" in {name.removeprefix("./") for name in packed.getnames()}
    session = new_session(context_syncs=[mount])
    assert run(session, LOOK, "/tmp/data") == before
    run(session, "rm -r a; echo new > n", "/tmp/data")
    delete(session)
    assert run(new_session(context_syncs=[mount]), "ls -d a n 2>&- || true", "/tmp/data") == "n\n"


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def tarred(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("extract", "want"),
    [
        (ExtractPolicy(), ["./pack/in", "./pack/sub/x"]),
        (ExtractPolicy(delete_src_file=False), ["./{}", "./pack/in", "./pack/sub/x"]),
        (ExtractPolicy(extract_current_folder=True), ["./in", "./sub/x"]),
        (ExtractPolicy(delete_src_file=False, extract_current_folder=True), ["./in", "./{}", "./sub/x"]),
        (ExtractPolicy(extract=False), ["./{}"]),
    ],
)
@pytest.mark.parametrize("name", ["pack.zip", "pack.tar.gz"])
def test_archives_that_were_put_are_unpacked_as_asked(
    agent_bay: AgentBay,
    context: Context,
    new_session: NewSession,
    name: str,
    extract: ExtractPolicy,
    want: list[str],
) -> None:
    pack = zipped if name.endswith(".zip") else tarred
    put(agent_bay, context, f"/tmp/data/{name}", pack(**{"in": "1", "sub/x": "2"}))
    mount = ContextSync.new(context.id, "/tmp/data", policy(extract_policy=extract))
    session = new_session(context_syncs=[mount])
    found = run(session, "find . -type f | LC_ALL=C sort", "/tmp/data").splitlines()
    assert found == sorted(path.format(name) for path in want)


def test_an_archive_that_a_session_wrote_is_a_file(context: Context, new_session: NewSession) -> None:
    mount = ContextSync.new(context.id, "/tmp/data")
    session = new_session(context_syncs=[mount])
    run(session, "echo 1 > f; tar czf own.tar.gz f; rm f", "/tmp/data")
    delete(session)
    assert run(new_session(context_syncs=[mount]), "ls", "/tmp/data") == "own.tar.gz\n"


@pytest.mark.parametrize("evil", ["../../tmp/escaped", "/tmp/escaped", "a/../../escaped"])
def test_an_archive_cannot_write_elsewhere(
    agent_bay: AgentBay, context: Context, new_session: NewSession, evil: str
) -> None:
    put(agent_bay, context, "/tmp/data/evil.zip", zipped(**{evil: "x", "good": "1"}))
    put(agent_bay, context, "/tmp/data/broken.tar.gz", b"\x1f\x8bno archive")
    session = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/data")])
    assert read(session, "/tmp/escaped") is None and not os.path.exists("/tmp/escaped")
    assert read(session, "/tmp/data/broken.tar.gz") is not None


def test_only_what_is_listed_is_moved(agent_bay: AgentBay, context: Context, new_session: NewSession) -> None:
    for path in ("src/a", "src/skip/b", "other/c", "docs/d"):
        put(agent_bay, context, f"/tmp/data/{path}", b"old")
    lists = BWList([WhiteList("src", ["skip", "deep/er"]), WhiteList("/docs/d")])
    mount = ContextSync.new(context.id, "/tmp/data", policy(bw_list=lists))
    session = new_session(context_syncs=[mount])
    assert run(session, "find . -type f | sort", "/tmp/data") == "./docs/d\n./src/a\n"
    places = "src src/deep src/deep/er src/skip other docs top ."
    change = f"mkdir -p {places}; for d in {places}; do echo new > $d/new; done; echo new > docs/d"
    run(session, change, "/tmp/data")
    delete(session)
    everything = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/data")])
    assert run(everything, "find . -type f | sort", "/tmp/data").split() == [
        *("./docs/d", "./other/c", "./src/a", "./src/deep/new", "./src/new", "./src/skip/b"),
    ]
    assert read(everything, "/tmp/data/docs/d") == "new\n"


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (BWList([WhiteList("/tmp/data/src")]), "/tmp/data/src"),
        (BWList([WhiteList("../out")]), "../out"),
        (BWList([WhiteList("src", ["../.."])]), "../.."),
    ],
)
def test_a_list_that_would_select_nothing_is_refused_by_name(
    agent_bay: AgentBay, context: Context, new_session: NewSession, bad: BWList, named: str
) -> None:
    mount = ContextSync.new(context.id, "/tmp/data", policy(bw_list=bad))
    created = agent_bay.create(CreateSessionParams(context_syncs=[mount]))
    bound = new_session().context.bind(mount)
    for result in (created, bound):
        assert not result.success and named in result.error_message, result


def test_a_policy_is_told_as_it_was_asked(context: Context, new_session: NewSession) -> None:
    asked = SyncPolicy(
        UploadPolicy(auto_upload=False),
        DownloadPolicy(),
        DeletePolicy(sync_local_file=False),
        ExtractPolicy(True, False, True),
        RecyclePolicy(Lifecycle.LIFECYCLE_5DAYS, ["logs"]),
        BWList([WhiteList("src", ["skip"])]),
        MappingPolicy("/tmp/original"),
    )
    session = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/data", asked)])
    (binding,) = session.context.list_bindings().bindings
    assert json.loads(binding.policy) == asked.to_wire()


@pytest.mark.parametrize("lifecycle", list(Lifecycle))
def test_every_lifecycle_is_accepted(context: Context, new_session: NewSession, lifecycle: Lifecycle) -> None:
    recycle = policy(recycle_policy=RecyclePolicy(lifecycle, ["", "logs"]))
    bound = new_session().context.bind(ContextSync.new(context.id, "/tmp/data", recycle))
    assert bound.success, bound.error_message


def test_files_of_windows_are_mapped_and_mapped_back(
    agent_bay: AgentBay, context: Context, new_session: NewSession
) -> None:
    original = "C:\\Users\\Administrator\\Downloads"
    put(agent_bay, context, original + "\\here.txt", b"from Windows")
    mapped = policy(mapping_policy=MappingPolicy(original))
    session = new_session(context_syncs=[ContextSync.new(context.id, "/home/wuying/下载", mapped)])
    assert read(session, "/home/wuying/下载/here.txt") == "from Windows"
    write(session, **{"/home/wuying/下载/sub/back.txt": "from Linux"})
    (task,) = session.context.info().context_status_data
    assert task.path == "/home/wuying/下载"
    delete(session)
    assert get(agent_bay, context, "c:/Users/Administrator/Downloads/sub/back.txt") == b"from Linux"
    assert names(agent_bay, context, "/home") == []


# undo


def test_clearing_keeps_the_context_and_not_its_files(
    agent_bay: AgentBay, context: Context, new_session: NewSession
) -> None:
    put(agent_bay, context, "/tmp/data/f", b"1")
    cleared = agent_bay.context.clear(context.id, timeout=60)
    assert cleared.success and cleared.status == "available" and cleared.context_id == context.id
    assert (
        names(agent_bay, context, "/") == [] and agent_bay.context.get(context.name).context_id == context.id
    )
    assert agent_bay.context.get_clear_status(context.id).status == "available"
    session = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/data")])
    assert run(session, "ls -A /tmp/data") == ""
    for clear in (agent_bay.context.clear, agent_bay.context.clear_async):
        with pytest.raises(AgentBayError):
            clear("SdkCtx-unknown")  # type: ignore[operator]


def test_every_state_of_a_context_comes_back(
    agent_bay: AgentBay, context: Context, new_session: NewSession
) -> None:
    mount = ContextSync.new(context.id, "/tmp/data")
    with new_session(context_syncs=[mount]) as session:
        write(session, **{"/tmp/data/report": "first", "/tmp/data/other": "x"})
    with new_session(context_syncs=[mount]) as session:
        run(session, "rm other; echo spoilt > report", "/tmp/data")
    assert agent_bay.context.delete_file(context.id, "/tmp/data/report").success
    history = agent_bay.context.history(context)
    assert history.success and [s.current for s in history.snapshots[:3]] == [True, False, False]
    assert [s.reason for s in history.snapshots[:3]] == ["delete", "session", "session"]
    assert history.snapshots[1].session_id == session.session_id and history.snapshots[0].created_at
    assert [s.files for s in history.snapshots[:3]] == [0, 1, 2] and history.snapshots[2].size == 6
    restored = agent_bay.context.restore(context, history.snapshots[2])
    assert restored.success, restored.error_message
    session = new_session(context_syncs=[mount])
    assert run(session, "cat report other", "/tmp/data") == "firstx"
    assert agent_bay.context.restore(context, history.snapshots[0]).success
    assert names(agent_bay, context, "/tmp/data") == []
    assert not agent_bay.context.restore(context, "unknown").success


def test_a_watch_sees_a_mounted_context(context: Context, new_session: NewSession) -> None:
    session = new_session(context_syncs=[ContextSync.new(context.id, "/tmp/data")])
    seen, enough = [], threading.Event()

    def callback(events: list[object]) -> None:
        seen.extend(events)
        if len(seen) >= 2:
            enough.set()

    watch = session.file_system.watch_directory("/tmp/data", callback)
    watch.start()
    assert watch.ready_event.wait(30)
    write(session, **{"/tmp/data/f": "1"})
    assert enough.wait(20), seen
    watch.stop_event.set()
    watch.join(20)
    assert [(e.event_type, e.path) for e in seen] == [("create", "/tmp/data/f"), ("modify", "/tmp/data/f")]  # type: ignore[attr-defined]
