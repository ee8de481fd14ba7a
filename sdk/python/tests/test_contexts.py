"""Contexts over the wire: what is asked for, waited for and told."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest
from bay import KEY, TestBay

from agentbay import (
    AgentBay,
    AgentBayError,
    AsyncAgentBay,
    BWList,
    ClearanceTimeoutError,
    Config,
    Context,
    ContextListParams,
    ContextSync,
    ContextSyncResult,
    CreateSessionParams,
    DeletePolicy,
    DownloadPolicy,
    DownloadStrategy,
    ExtractPolicy,
    Lifecycle,
    MappingPolicy,
    RecyclePolicy,
    Session,
    SyncPolicy,
    UploadMode,
    UploadPolicy,
    UploadStrategy,
    WhiteList,
)
from agentbay._common.contexts import parse_status


def made(client: AgentBay, name: str = "c") -> Context:
    result = client.context.get(name, create=True)
    assert result.success and result.context, result.error_message
    return result.context


def test_a_context_is_made_found_renamed_and_deleted(client: AgentBay) -> None:
    missing = client.context.get("my-project")
    assert not missing.success and missing.context is None and "ContextNotFound" in missing.error_message
    result = client.context.get("my-project", create=True)
    context = result.context
    assert context and result.context_id == context.id and context.name == "my-project"
    assert context.created_at and context.last_used_at
    assert client.context.create("my-project").context_id == context.id
    assert client.context.get(context_id=context.id).context == context
    context.name = "renamed"
    assert client.context.update(context).success
    assert client.context.get("renamed").context_id == context.id
    made(client, "other")
    context.name = "other"
    refused = client.context.update(context)
    assert not refused.success and refused.code == "Conflict" and refused.request_id
    assert client.context.delete(context).success and not client.context.delete(context).success


def test_a_context_is_asked_for_by_one_of_name_and_id(client: AgentBay) -> None:
    with pytest.raises(AgentBayError, match="name or context_id"):
        client.context.get()
    with pytest.raises(AgentBayError, match="create"):
        client.context.get(context_id="SdkCtx-1", create=True)


def test_contexts_are_listed_in_pages_newest_first(client: AgentBay) -> None:
    ids = [made(client, f"c{i}").id for i in range(12)][::-1]
    first = client.context.list()
    assert [c.id for c in first.contexts] == ids[:10]
    assert (first.total_count, first.max_results) == (12, 10) and first.next_token
    rest = client.context.list(ContextListParams(max_results=10, next_token=first.next_token))
    assert [c.id for c in rest.contexts] == ids[10:] and not rest.next_token
    session = client.create(CreateSessionParams(context_syncs=[ContextSync.new(ids[3], "/data")])).session
    assert session is not None
    mounted = client.context.list(ContextListParams(session_id=session.session_id))
    assert [c.id for c in mounted.contexts] == [ids[3]]


def test_files_are_put_and_got_by_url(bay: TestBay, client: AgentBay) -> None:
    context = made(client)
    up = client.context.get_file_upload_url(context.id, "/tmp/data/ü ber.txt")
    assert up.success and up.url.startswith("http") and up.expire_time == 1 << 33
    assert httpx.put(up.url, content=b"hello").status_code == 200
    down = client.context.get_file_download_url(context, "/tmp/data/ü ber.txt")
    assert httpx.get(down.url).content == b"hello"
    missing = client.context.get_file_download_url(context.id, "/no")
    assert not missing.success and missing.url == "" and "NotFound" in missing.error_message
    assert client.context.delete_file(context.id, "/tmp/data/ü ber.txt").success
    assert not client.context.delete_file(context.id, "/tmp/data/ü ber.txt").success
    assert not client.context.get_file_upload_url("SdkCtx-no", "/x").success


def test_directories_of_a_context_are_listed_in_pages(bay: TestBay, client: AgentBay) -> None:
    context = made(client)
    bay.kept[context.id] = {f"/d/{i}": b"12" for i in range(5)} | {"/d/sub/x": b""}
    page = client.context.list_files(context.id, "/d", page_number=2, page_size=4)
    assert page.success and page.count == 6
    assert [(e.file_name, e.file_type, e.size) for e in page.entries] == [
        ("4", "FILE", 2),
        ("sub", "FOLDER", 0),
    ]
    assert page.entries[0].file_path == "/d/4" and page.entries[0].gmt_modified
    unknown = client.context.list_files(context.id, "/nowhere")
    assert unknown.success and unknown.entries == [] and unknown.count == 0
    assert not client.context.list_files("SdkCtx-no", "/").success


def test_clearing_is_waited_for(bay: TestBay, client: AgentBay) -> None:
    context = made(client)
    bay.kept[context.id] = {"/a": b"1"}
    bay.looks_until_done = 3
    started = client.context.clear_async(context.id)
    assert (started.success, started.status, started.context_id) == (True, "clearing", context.id)
    assert client.context.get_clear_status(context.id).status == "clearing"
    cleared = client.context.clear(context.id, poll_interval=0.01)
    assert cleared.success and cleared.status == "available" and bay.kept[context.id] == {}
    assert client.context.start_clear(context).status == "clearing"


def test_clearing_that_is_refused_or_takes_long_raises(bay: TestBay, client: AgentBay) -> None:
    for call in (client.context.clear, client.context.clear_async):
        with pytest.raises(AgentBayError, match="SdkCtx-no"):
            call("SdkCtx-no")  # type: ignore[operator]
    bay.looks_until_done = 1000
    with pytest.raises(ClearanceTimeoutError, match="still being cleared"):
        client.context.clear(made(client).id, timeout=0)


def test_a_state_of_the_past_comes_back(bay: TestBay, client: AgentBay) -> None:
    context = made(client)
    for content in (b"one", b"other"):
        httpx.put(client.context.get_file_upload_url(context, "/f").url, content=content)
    history = client.context.history(context)
    assert history.success and [s.current for s in history.snapshots] == [True, False, False]
    assert [(s.files, s.size) for s in history.snapshots] == [(1, 5), (1, 3), (0, 0)]
    assert client.context.restore(context, history.snapshots[1]).success
    assert bay.kept[context.id] == {"/f": b"one"}
    assert client.context.restore(context.id, client.context.history(context.id).snapshots[1].id).success
    assert bay.kept[context.id] == {"/f": b"other"}
    assert not client.context.restore(context, "no").success


def mounting(client: AgentBay, *syncs: ContextSync) -> Session:
    result = client.create(CreateSessionParams(context_syncs=list(syncs)))
    assert result.success and result.session, result.error_message
    return result.session


def infos(bay: TestBay) -> int:
    return sum(call["Action"] == "GetContextInfo" for call in bay.calls)


def test_creation_waits_for_downloads(bay: TestBay, client: AgentBay) -> None:
    context = made(client)
    bay.kept[context.id] = {"/data/a": b"1", "/elsewhere": b"2"}
    bay.looks_until_done = 4
    session = mounting(client, ContextSync.new(context.id, "/data/"))
    assert infos(bay) == 4
    assert session.file_system.read_file("/data/a").content == "1" and "/elsewhere" not in bay.files


def test_creation_does_not_wait_if_told_so(bay: TestBay, client: AgentBay) -> None:
    slow, quick = made(client, "slow"), made(client, "quick")
    mounting(client, ContextSync.new(slow.id, "/slow", beta_wait_for_completion=False))
    assert infos(bay) == 0
    mounting(
        client,
        ContextSync.new(slow.id, "/slow", beta_wait_for_completion=False),
        ContextSync(context_id=quick.id, path="/quick"),
    )
    assert infos(bay) == 1
    client.create()
    assert infos(bay) == 1


def test_a_download_that_fails_is_told_by_info(bay: TestBay, client: AgentBay) -> None:
    context = made(client)
    bay.faults["/proc/x"] = "no directory can be made there"
    session = mounting(client, ContextSync.new(context.id, "/proc/x"))
    (status,) = session.context.info().context_status_data
    assert (status.status, status.error_message) == ("Failed", "no directory can be made there")
    assert (status.context_id, status.path, status.task_type) == (context.id, "/proc/x", "download")
    assert status.ended and status.finish_time >= status.start_time > 0


def test_info_selects(client: AgentBay) -> None:
    one, two = made(client, "one"), made(client, "two")
    session = mounting(client, ContextSync.new(one.id, "/1"), ContextSync.new(two.id, "/2"))
    assert [s.path for s in session.context.info(context_id=two.id).context_status_data] == ["/2"]
    assert [s.path for s in session.context.info(path="/1").context_status_data] == ["/1"]
    assert session.context.info(task_type="upload").context_status_data == []


@pytest.mark.parametrize("text", ["", "[]", '[{"type":"data","data":"[]"}]', '[{"type":"other"}]'])
def test_no_status_is_an_empty_one(text: str) -> None:
    assert parse_status(text) == []


@pytest.mark.parametrize(
    "text", ["{}", "x", '["x"]', '[{"type":"data","data":"{"}]', '[{"type":"data","data":[1]}]']
)
def test_a_status_that_is_none_is_a_failure(bay: TestBay, session: Session, text: str) -> None:
    bay.do_GetContextInfo = lambda call: {"Data": {"ContextStatus": text}}  # type: ignore[method-assign]
    info = session.context.info()
    assert not info.success and "Invalid context status" in info.error_message


def test_bound_contexts_are_listed_and_downloaded(bay: TestBay, client: AgentBay, session: Session) -> None:
    one, two = made(client, "one"), made(client, "two")
    bay.kept[one.id] = {"/1/a": b"1"}
    bay.looks_until_done = 2
    policy = SyncPolicy(upload_policy=UploadPolicy(auto_upload=False))
    bound = session.context.bind(ContextSync.new(one.id, "/1", policy), ContextSync.new(two.id, "/2"))
    assert bound.success and bay.files == {"/1/a": b"1"}
    bindings = session.context.list_bindings().bindings
    assert [(b.context_id, b.context_name, b.path) for b in bindings] == [
        (one.id, "one", "/1"),
        (two.id, "two", "/2"),
    ]
    assert json.loads(bindings[0].policy) == policy.to_wire() and bindings[0].bind_time
    again = session.context.bind(ContextSync.new(two.id, "/1"))
    assert not again.success and "PathAlreadyBound" in again.error_message
    assert session.context.bind().error_message == "No contexts provided"


def test_binding_does_not_wait_if_told_so(bay: TestBay, client: AgentBay, session: Session) -> None:
    assert session.context.bind(ContextSync.new(made(client).id, "/1"), wait_for_completion=False).success
    assert bay.calls[-1]["Action"] == "BindContexts"


def test_a_bound_context_whose_files_cannot_be_shown_is_a_failure(
    bay: TestBay, client: AgentBay, session: Session
) -> None:
    bay.faults["/proc/x"] = "no directory can be made there"
    bound = session.context.bind(ContextSync.new(made(client).id, "/proc/x"))
    assert bound.error_message == "/proc/x: no directory can be made there" and not bound.success


def test_a_sync_moves_files_up_and_down(bay: TestBay, client: AgentBay) -> None:
    context = made(client)
    session = mounting(client, ContextSync.new(context.id, "/data"))
    bay.looks_until_done = 3
    session.file_system.write_file("/data/a", "1")
    assert session.context.sync().success and bay.kept[context.id] == {"/data/a": b"1"}
    bay.change(context.id, {"/data/b": b"2"})
    assert session.context.sync(context.id, "/data", mode="download").success
    assert session.file_system.read_file("/data/b").content == "2"
    sent = next(call for call in bay.calls[::-1] if call["Action"] == "SyncContext")
    assert (sent["ContextId"], sent["Path"], sent["Mode"]) == (context.id, "/data", "download")


def test_a_sync_that_fails_says_why(bay: TestBay, client: AgentBay) -> None:
    context = made(client)
    session = mounting(client, ContextSync.new(context.id, "/data"))
    bay.faults["/data"] = "the quota is used up"
    failed = session.context.sync()
    assert not failed.success and failed.error_message == "/data: the quota is used up" and failed.request_id


def test_a_sync_of_everything_is_not_judged_by_older_ones(bay: TestBay, client: AgentBay) -> None:
    context = made(client)
    session = mounting(client, ContextSync.new(context.id, "/data/"))
    bay.faults["/data/no"] = "there is no such file"
    assert not session.context.sync(context.id, "/data/no").success
    assert session.context.sync().success


def test_a_sync_is_not_waited_for_forever(bay: TestBay, client: AgentBay) -> None:
    session = mounting(client, ContextSync.new(made(client).id, "/data"))
    bay.looks_until_done = 1000
    late = session.context.sync(max_retries=2, retry_interval=20)
    assert not late.success and "/data is Running" in late.error_message


def test_a_refusal_ends_the_wait(bay: TestBay, client: AgentBay) -> None:
    session = mounting(client, ContextSync.new(made(client).id, "/data"))
    bay.do_GetContextInfo = bay.do_GetLink  # type: ignore[method-assign]
    refused = session.context.sync()
    assert not refused.success and "PARAM_ERROR" in refused.error_message
    unknown = AgentBay(KEY, Config(endpoint="http://127.0.0.1:9", timeout_ms=2000))
    session.agent_bay = unknown
    assert "cannot be reached" in session.context.sync().error_message


def test_a_callback_gets_the_outcome(bay: TestBay, client: AgentBay) -> None:
    session = mounting(client, ContextSync.new(made(client).id, "/data"))
    told, outcomes = threading.Event(), []

    def callback(result: ContextSyncResult) -> None:
        outcomes.append(result)
        told.set()

    bay.faults["/data"] = "no"
    bay.looks_until_done = 3
    begun = session.context.sync(callback=callback)
    assert begun.success and told.wait(10)
    assert [o.error_message for o in outcomes] == ["/data: no"]


@pytest.mark.parametrize("coroutine", [False, True])
def test_an_awaited_sync_calls_back(bay: TestBay, coroutine: bool) -> None:
    async def main() -> None:
        async with AsyncAgentBay(KEY, Config(endpoint=bay.endpoint)) as client:
            context = (await client.context.create("c")).context
            assert context is not None
            sync = ContextSync.new(context.id, "/data")
            session = (await client.create(CreateSessionParams(context_syncs=[sync]))).session
            assert session is not None
            told: asyncio.Future[ContextSyncResult] = asyncio.get_running_loop().create_future()

            async def callback(result: ContextSyncResult) -> None:
                told.set_result(result)

            answer: Any = callback if coroutine else told.set_result
            assert (await session.context.sync(callback=answer)).success
            assert (await asyncio.wait_for(told, 10)).success

    asyncio.run(main())


def test_a_session_is_deleted_with_its_contexts_saved(bay: TestBay, client: AgentBay) -> None:
    context = made(client)
    session = mounting(client, ContextSync.new(context.id, "/data"))
    session.file_system.write_file("/data/a", "1")
    bay.looks_until_done = 3
    assert client.delete(session, sync_context=True).success
    assert bay.kept[context.id] == {"/data/a": b"1"}
    actions = [call["Action"] for call in bay.calls]
    assert actions.index("SyncContext") < actions.index("DeleteSessionAsync")
    assert "GetContextInfo" not in actions[actions.index("DeleteSessionAsync") :]


def test_what_was_not_saved_is_told_by_the_deletion(bay: TestBay, client: AgentBay) -> None:
    session = mounting(client, ContextSync.new(made(client).id, "/data"))
    bay.faults["/data"] = "the quota is used up"
    deleted = session.delete(sync_context=True)
    assert deleted.success and session.get_status().status == "FINISH"
    assert deleted.error_message == "not all contexts were saved: /data: the quota is used up"


def test_a_policy_is_what_the_wire_says() -> None:
    policy = SyncPolicy(
        UploadPolicy(False, upload_mode=UploadMode.ARCHIVE),
        DownloadPolicy(auto_download=False),
        DeletePolicy(sync_local_file=False),
        ExtractPolicy(False, False, True),
        RecyclePolicy(Lifecycle.LIFECYCLE_5DAYS, ["logs"]),
        BWList([WhiteList("src", ["node_modules"])]),
        MappingPolicy("C:\\Users\\Administrator\\Downloads"),
    )
    assert policy.to_wire() == {
        "uploadPolicy": {
            "autoUpload": False,
            "uploadStrategy": "UploadBeforeResourceRelease",
            "uploadMode": "Archive",
        },
        "downloadPolicy": {"autoDownload": False, "downloadStrategy": "DownloadAsync"},
        "deletePolicy": {"syncLocalFile": False},
        "extractPolicy": {"extract": False, "deleteSrcFile": False, "extractToCurrentFolder": True},
        "recyclePolicy": {"lifecycle": "Lifecycle_5Days", "paths": ["logs"]},
        "bwList": {"whiteLists": [{"path": "src", "excludePaths": ["node_modules"]}]},
        "mappingPolicy": {"path": "C:\\Users\\Administrator\\Downloads"},
    }
    assert SyncPolicy().to_wire() == {}


def test_the_default_policy_is_spelled_out() -> None:
    assert SyncPolicy.default().to_wire() == {
        "uploadPolicy": {
            "autoUpload": True,
            "uploadStrategy": "UploadBeforeResourceRelease",
            "uploadMode": "File",
        },
        "downloadPolicy": {"autoDownload": True, "downloadStrategy": "DownloadAsync"},
        "deletePolicy": {"syncLocalFile": True},
        "extractPolicy": {"extract": True, "deleteSrcFile": True, "extractToCurrentFolder": False},
        "recyclePolicy": {"lifecycle": "Lifecycle_Forever", "paths": [""]},
        "bwList": {"whiteLists": [{"path": "", "excludePaths": []}]},
    }


def test_the_other_names_of_policies_work() -> None:
    other = SyncPolicy(
        upload=UploadPolicy(upload_strategy=UploadStrategy.BEFORE_RESOURCE_RELEASE),
        download=DownloadPolicy(download_strategy=DownloadStrategy.ASYNC),
        delete=DeletePolicy(),
        extract=ExtractPolicy(extract_to_current_folder=True),
        recycle=RecyclePolicy(),
        mapping=MappingPolicy("/a"),
    )
    assert other == SyncPolicy(
        upload_policy=UploadPolicy(),
        download_policy=DownloadPolicy(),
        delete_policy=DeletePolicy(),
        extract_policy=ExtractPolicy(extract_current_folder=True),
        recycle_policy=RecyclePolicy(),
        mapping_policy=MappingPolicy("/a"),
    )
    days = (1, 3, 5, 10, 15, 30, 90, 180, 360)
    words = {f"Lifecycle_{n}Day{'s' if n > 1 else ''}" for n in days} | {"Lifecycle_Forever"}
    assert {lifecycle.value for lifecycle in Lifecycle} == words


@pytest.mark.parametrize("path", ["*.txt", "a/?", "[ab]"])
def test_wildcards_are_refused_by_name(path: str) -> None:
    for make in (
        lambda: RecyclePolicy(paths=["ok", path]),
        lambda: WhiteList(path),
        lambda: WhiteList("ok", [path]),
    ):
        with pytest.raises(ValueError) as refused:
            make()
        assert repr(path) in str(refused.value)
