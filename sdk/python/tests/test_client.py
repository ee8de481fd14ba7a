"""Clients and sessions over the wire."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import Iterator

import pytest
import trustme
from bay import KEY, TestBay

from agentbay import (
    AgentBay,
    AsyncAgentBay,
    Config,
    ContextSync,
    CreateSessionParams,
    Session,
    SessionError,
    SyncPolicy,
)

REQUEST_ID = re.compile(r"[0-9A-F]{8}-([0-9A-F]{4}-){3}[0-9A-F]{12}")


def test_a_session_lives_from_create_to_delete(bay: TestBay, client: AgentBay) -> None:
    result = client.create(CreateSessionParams(image_id="code_latest", labels={"a": "b"}))
    assert result.success and result.session and REQUEST_ID.fullmatch(result.request_id)
    session = result.session
    assert session.get_status().status == "RUNNING"
    assert session.image_id == "code_latest" and session.ws_url and session.mcp_tools
    assert session.fs is session.file_system is session.files is session.filesystem
    bay.details_until_finish = 3
    deleted = client.delete(session)
    assert deleted.success, deleted.error_message
    assert session.get_status().status == "FINISH"


def test_what_is_sent_is_what_the_wire_says(bay: TestBay, client: AgentBay) -> None:
    sync = ContextSync.new(bay.add_context("c")["Id"], "/data", SyncPolicy.default())
    client.create(
        CreateSessionParams(
            labels={"k": "v 1"}, idle_release_timeout=600, framework="x", context_syncs=[sync]
        )
    )
    call = bay.calls[0]
    assert call.query == {"Action": "CreateMcpSession", "Format": "json", "Version": "2025-05-06"}
    assert call.form["Authorization"] == f"Bearer {KEY}"
    assert call.headers["host"] == bay.authority
    assert json.loads(call["Labels"]) == {"k": "v 1"} and call["Timeout"] == "600"
    assert "ImageId" not in call and json.loads(call["SdkStats"])["framework"] == "x"
    (mount,) = json.loads(call["PersistenceDataList"])
    policy = json.loads(mount["Policy"])
    assert policy["uploadPolicy"]["uploadStrategy"] == "UploadBeforeResourceRelease"
    assert policy["extractPolicy"]["extractToCurrentFolder"] is False
    assert policy["bwList"] == {"whiteLists": [{"path": "", "excludePaths": []}]}


def test_a_refusal_is_a_result_with_code_message_and_request_id(bay: TestBay, client: AgentBay) -> None:
    refused = client.create(CreateSessionParams(image_id="windows_latest"))
    assert not refused.success and refused.session is None and refused.request_id
    assert refused.error_message == "[InvalidImage] no authorized app: this bay has no such image"
    stranger = AgentBay("akm-wrong", Config(endpoint=bay.endpoint)).create()
    assert not stranger.success and "NOT_LOGIN" in stranger.error_message and stranger.request_id


def test_a_session_is_found_by_id(bay: TestBay, client: AgentBay, session: Session) -> None:
    found = client.get(session.session_id)
    assert found.success and found.session
    assert found.session.command.run("echo hi").stdout == "hi\n"
    assert (found.session.token, found.session.link_url) == (session.token, session.link_url)
    unknown = client.get("session-no")
    assert not unknown.success and unknown.request_id
    assert "Failed to get session session-no" in unknown.error_message
    assert "InvalidMcpSession.NotFound" in unknown.error_message
    for empty in ("", "  "):
        assert client.get(empty).error_message == "session_id is required"


def test_listing_pages_and_filters(client: AgentBay) -> None:
    ids = [client.create(CreateSessionParams(labels={"n": str(i % 2)})).session.session_id for i in range(5)]  # type: ignore[union-attr]
    first = client.list(limit=2)
    assert first.success and first.session_ids == [ids[4], ids[3]]
    assert first.total_count == 5 and first.max_results == 2 and first.next_token
    assert client.list(page=3, limit=2).session_ids == [ids[0]]
    beyond = client.list(page=9, limit=2)
    assert beyond.success and beyond.session_ids == [] and beyond.next_token == ""
    assert client.list(labels={"n": "1"}).session_ids == [ids[3], ids[1]]
    assert client.list(status="PAUSED").session_ids == []
    for bad in (
        client.list(page=0),
        client.list(page=-1),
        client.list(status="SLEEPING"),
        client.list(limit=-1),
    ):
        assert not bad.success and bad.error_message


def test_labels_are_set_and_bad_ones_refused_here(bay: TestBay, session: Session) -> None:
    assert session.set_labels({"a": "1", "ü": "2"}).success
    assert session.get_labels().data == {"a": "1", "ü": "2"}
    sent = len(bay.calls)
    for bad in (None, {}, {"": "x"}, {"x": ""}, {" ": "x"}, {"x": 1}, ["x"]):
        result = session.set_labels(bad)  # type: ignore[arg-type]
        assert not result.success and result.error_message and result.request_id == "", bad
    assert len(bay.calls) == sent
    assert "empty" in session.set_labels({}).error_message.lower()
    assert "null" in session.set_labels(None).error_message.lower()  # type: ignore[arg-type]


def test_info_links_metrics_and_tools(session: Session) -> None:
    info = session.info()
    assert info.success and info.data.resource_id == "p-1" and info.data.session_id == session.session_id
    assert session.keep_alive().success
    assert session.get_link(port=30150).data == "wss://bay/30150"
    with pytest.raises(SessionError, match="PARAM_ERROR"):
        session.get_link(port=80)
    metrics = session.get_metrics()
    assert metrics.success and metrics.metrics and metrics.raw
    assert metrics.metrics.cpu_count == 2 and isinstance(metrics.metrics.cpu_count, int)
    assert metrics.metrics.rx_rate_kbps == metrics.metrics.rx_rate_kbyte_per_s == 0.5
    tools = session.list_mcp_tools()
    assert tools.success and {"shell", "read_file"} <= {t.name for t in tools.tools}
    assert all(t.server and t.input_schema for t in tools.tools)


def test_tools_go_over_the_link_when_there_is_one(bay: TestBay, session: Session) -> None:
    answer = session.call_mcp_tool("shell", {"command": "echo hi", "timeout_ms": 1000})
    assert answer.success and json.loads(answer.data)["stdout"] == "hi\n"
    assert REQUEST_ID.fullmatch(answer.request_id)
    unlisted = session.call_mcp_tool("no_such_tool", {})
    assert not unlisted.success and unlisted.error_message == "tool not found: no_such_tool"
    ways = [way for way, _, _ in bay.tool_calls]
    assert ways == ["link" if bay.link else "rpc", "rpc"]


def test_calls_on_a_deleted_session_fail(client: AgentBay, session: Session) -> None:
    assert session.delete().success
    gone = session.command.run("true")
    assert not gone.success and "not found" in gone.error_message
    again = session.delete()
    assert not again.success and "InvalidMcpSession.NotFound" in again.error_message


def test_the_context_manager_deletes(bay: TestBay, client: AgentBay) -> None:
    with client.create().session as session:  # type: ignore[union-attr]
        assert bay.sessions[session.session_id]["Status"] == "RUNNING"
    assert bay.sessions[session.session_id]["Status"] == "FINISH"


def test_an_action_the_bay_does_not_have_is_a_clear_failure(session: Session) -> None:
    result = session.beta_pause()
    assert not result.success and result.request_id
    assert "InvalidAction.NotFound" in result.error_message


def test_a_bay_that_is_not_there_is_a_failure_not_an_exception() -> None:
    result = AgentBay(KEY, Config(endpoint="http://127.0.0.1:9", timeout_ms=2000)).create()
    assert not result.success and "127.0.0.1:9 cannot be reached" in result.error_message


def test_an_answer_that_comes_too_late_is_a_failure(bay: TestBay) -> None:
    client = AgentBay(KEY, Config(endpoint=bay.endpoint, timeout_ms=30_000))
    session = client.create().session
    assert session is not None
    late = session.call_mcp_tool("shell", {"command": "sleep 5", "timeout_ms": 3000}, read_timeout=100)
    assert not late.success and "timed out" in late.error_message


def test_the_wait_for_a_command_is_longer_than_the_command(bay: TestBay) -> None:
    session = AgentBay(KEY, Config(endpoint=bay.endpoint, timeout_ms=200)).create().session
    assert session is not None
    assert session.command.run("sleep 0.5", timeout_ms=2000).success


@pytest.fixture
def tls_bay(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestBay]:  # type: ignore[no-untyped-def]
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    running = TestBay(tls=context)
    yield running
    running.close()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "AGENTBAY_CA_FILE"])
def test_a_private_ca_is_trusted_when_named(tls_bay: TestBay, tmp_path, monkeypatch, variable: str) -> None:  # type: ignore[no-untyped-def]
    for name in ("SSL_CERT_FILE", "AGENTBAY_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    distrusted = AgentBay(KEY, Config(endpoint=tls_bay.endpoint)).create()
    assert not distrusted.success and "certificate" in distrusted.error_message.lower()
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    trusted = AgentBay(KEY, Config(endpoint=tls_bay.endpoint)).create()
    assert trusted.success, trusted.error_message
    assert trusted.session and trusted.session.command.run("echo hi").stdout == "hi\n"


def test_awaited_calls_overlap(bay: TestBay) -> None:
    async def main() -> float:
        async with AsyncAgentBay(KEY, Config(endpoint=bay.endpoint)) as client:
            session = (await client.create()).session
            assert session is not None
            start = time.monotonic()
            results = await asyncio.gather(*(session.command.run("sleep 0.5") for _ in range(6)))
            assert all(r.success for r in results)
            took = time.monotonic() - start
            assert (await session.delete()).success
            return took

    assert asyncio.run(main()) < 6 * 0.5 / 2


def test_one_async_client_serves_several_event_loops(bay: TestBay) -> None:
    client = AsyncAgentBay(KEY, Config(endpoint=bay.endpoint))

    async def once() -> bool:
        result = await client.create()
        await client.close()
        return result.success

    assert asyncio.run(once()) and asyncio.run(once())
