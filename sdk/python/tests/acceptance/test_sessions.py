"""Sessions: their life, their lists, and what is asked of them."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
import uuid
from collections.abc import Callable

import httpx
import pytest

from acceptance.conftest import NewSession
from agentbay import AgentBay, AsyncAgentBay, Config, CreateSessionParams, Session, SessionError

REQUEST_ID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")


def eventually(what: str, condition: Callable[[], bool], timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.1)


def test_a_session_can_be_used_at_once_and_is_gone_after_delete(agent_bay: AgentBay) -> None:
    result = agent_bay.create()
    assert result.success and result.session and REQUEST_ID.fullmatch(result.request_id), result
    session = result.session
    assert session.session_id and session.ws_url and session.token and "resourceId=" in session.resource_url
    assert session.command.run("echo ready").stdout == "ready\n"
    assert session.get_status().status == "RUNNING"
    deleted = agent_bay.delete(session)
    assert deleted.success and REQUEST_ID.fullmatch(deleted.request_id), deleted
    after = session.get_status()
    assert after.success and after.status == "FINISH", after
    assert session.session_id not in agent_bay.list(limit=100).session_ids
    for failed in (session.command.run("true"), session.delete(), session.keep_alive(), session.info()):
        assert not failed.success and failed.error_message and failed.request_id, failed
    session.link_url = ""
    assert "not found" in session.command.run("true").error_message.lower()


def test_default_image_is_linux_latest_and_its_user_is_wuying(new_session: NewSession) -> None:
    session = new_session()
    assert session.command.run("whoami; pwd; echo $HOME").stdout == "wuying\n/home/wuying\n/home/wuying\n"
    for path in ("/home/wuying/x", "/tmp/x", "/var/tmp/x"):
        assert session.file_system.write_file(path, "x").success, path
    for path in ("/workspace/x", "/opt/x"):
        assert not session.file_system.write_file(path, "x").success, path


def test_code_latest_works_in_workspace(new_session: NewSession) -> None:
    assert new_session(image_id="code_latest").command.run("pwd").stdout == "/workspace\n"


@pytest.mark.parametrize("image", ["no_such_image", "windows_latest", "../linux_latest", "x" * 5000, "a\0b"])
def test_an_image_the_bay_does_not_have_is_refused(agent_bay: AgentBay, image: str) -> None:
    result = agent_bay.create(CreateSessionParams(image_id=image))
    assert not result.success and result.session is None
    assert result.error_message and REQUEST_ID.fullmatch(result.request_id), result


def test_a_session_found_by_id_is_as_good(agent_bay: AgentBay, new_session: NewSession) -> None:
    session = new_session()
    found = agent_bay.get(session.session_id)
    assert found.success and found.session, found.error_message
    assert found.session.file_system.write_file("/tmp/a", "1").success
    assert session.file_system.read_file("/tmp/a").content == "1"
    assert found.session.ws_url and found.session.token == session.token


@pytest.mark.parametrize(
    "session_id", ["session-unknown", "../../etc/passwd", "x" * 10_000, "a\0b", "' OR 1=1 --"]
)
def test_an_unknown_id_is_not_found(agent_bay: AgentBay, session_id: str) -> None:
    result = agent_bay.get(session_id)
    assert not result.success and "Failed to get session" in result.error_message
    assert "InvalidMcpSession.NotFound" in result.error_message and REQUEST_ID.fullmatch(result.request_id)
    stranger = Session(agent_bay, session_id)
    for failed in (
        stranger.get_status(),
        stranger.delete(),
        stranger.command.run("true"),
        stranger.get_labels(),
    ):
        assert not failed.success and "not found" in failed.error_message.lower(), failed


def test_sessions_are_listed_by_label_and_page(agent_bay: AgentBay, new_session: NewSession) -> None:
    mark = uuid.uuid4().hex
    ids = [new_session(labels={"mark": mark, "n": str(n)}).session_id for n in range(3)]
    listed = agent_bay.list(labels={"mark": mark})
    assert listed.success and listed.session_ids == ids[::-1] and listed.total_count == 3, listed
    assert agent_bay.list(labels={"mark": mark, "n": "1"}).session_ids == [ids[1]]
    assert agent_bay.list(labels={"mark": mark.upper()}).session_ids == []
    pages = [agent_bay.list(labels={"mark": mark}, page=n, limit=2) for n in (1, 2, 3)]
    assert [p.session_ids for p in pages] == [ids[:0:-1], ids[:1], []]
    assert pages[0].next_token and pages[1].next_token == "" and pages[2].success
    assert agent_bay.list(labels={"mark": mark}, status="RUNNING").session_ids == ids[::-1]
    assert agent_bay.list(labels={"mark": mark}, status="PAUSED").session_ids == []


def test_labels_are_replaced_whole(agent_bay: AgentBay, new_session: NewSession) -> None:
    mark = uuid.uuid4().hex
    session = new_session(labels={"old": mark})
    labels = {"new": mark, "käse": "ü 😀 \"'\\ \n"}
    assert session.set_labels(labels).success
    assert session.get_labels().data == labels
    assert agent_bay.list(labels={"new": mark}).session_ids == [session.session_id]
    assert agent_bay.list(labels={"old": mark}).session_ids == []


@pytest.mark.parametrize(
    "labels",
    [
        {str(n): "x" for n in range(10_000)},
        {"x": "y" * 1_000_000},
        {"k" * 100_000: "v"},
        {"a\0": "b"},
        {"a": "b\0"},
    ],
    ids=["many", "long value", "long key", "NUL in key", "NUL in value"],
)
def test_labels_out_of_bounds_are_refused(
    agent_bay: AgentBay, session: Session, labels: dict[str, str]
) -> None:
    before = session.get_labels().data
    refused = session.set_labels(labels)
    assert not refused.success and refused.error_message and refused.request_id
    assert session.get_labels().data == before
    assert not agent_bay.create(CreateSessionParams(labels=labels)).success


def test_info_says_how_the_session_is_reached(session: Session) -> None:
    info = session.info()
    assert info.success and info.data.session_id == session.session_id and info.data.resource_url, info


def test_an_idle_session_is_released_and_a_kept_one_is_not(new_session: NewSession) -> None:
    idle, kept = new_session(idle_release_timeout=4), new_session(idle_release_timeout=4)

    def gone() -> bool:
        assert kept.keep_alive().success
        return idle.get_status().status != "RUNNING"

    eventually("the idle session is released", gone, timeout=60)
    assert kept.get_status().status == "RUNNING"
    assert not idle.command.run("true").success


def test_sessions_cannot_be_told_to_last_a_negative_time(agent_bay: AgentBay) -> None:
    result = agent_bay.create(CreateSessionParams(idle_release_timeout=-5))
    assert not result.success and result.error_message and result.request_id


def test_sessions_do_not_see_each_other(new_session: NewSession) -> None:
    one, two = new_session(), new_session()
    assert one.file_system.write_file("/tmp/secret", "x").success
    assert not two.file_system.read_file("/tmp/secret").success
    assert one.command.run("sleep 100 >/dev/null 2>&1 & echo $!").success
    assert "sleep 100" not in two.command.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    addresses = two.command.run("hostname -I 2>/dev/null || ip -4 -o addr").stdout
    assert (
        one.command.run("hostname -I 2>/dev/null || ip -4 -o addr").stdout != addresses
        or addresses.strip() == ""
    )


def test_links_to_bad_ports_are_refused(session: Session) -> None:
    for port in (0, -1, 70_000):
        with pytest.raises(SessionError):
            session.get_link(protocol_type="https", port=port)
    with pytest.raises(SessionError):
        session.get_link(protocol_type="http", port=30100)


def test_metrics_are_numbers_of_the_right_size(way: Session) -> None:
    result = way.get_metrics()
    assert result.success and result.metrics and result.raw, result.error_message
    m = result.metrics
    assert m.cpu_count >= 1 and 0 <= m.cpu_used_pct <= 100
    assert m.mem_total > 64 << 20 and 0 < m.mem_used <= m.mem_total
    assert m.disk_total > 0 and 0 <= m.disk_used <= m.disk_total
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)", m.timestamp), m.timestamp


def test_tools_are_listed_with_schemas(agent_bay: AgentBay, session: Session) -> None:
    listed = session.list_mcp_tools()
    assert listed.success and REQUEST_ID.fullmatch(listed.request_id)
    tools = {t.name: t for t in listed.tools}
    files = (
        "create_directory delete_file edit_file get_file_info list_directory move_file read_file write_file"
    )
    assert {"shell", "get_metrics", "search_files", "get_file_change", *files.split()} <= set(tools)
    shell = tools["shell"]
    assert shell.description and shell.server and shell.tool
    assert shell.input_schema["type"] == "object" and "command" in shell.input_schema["required"]
    assert "run_code" in {t.name for t in session.list_mcp_tools("code_latest").tools}
    refused = session.list_mcp_tools("no_such_image")
    assert not refused.success or refused.tools == []


def test_tools_are_called_by_name(way: Session) -> None:
    good = way.call_mcp_tool("shell", {"command": "echo hi", "timeout_ms": 5000})
    assert good.success and '"stdout":"hi\\n"' in good.data.replace(": ", ":") and good.request_id
    failed = way.call_mcp_tool("shell", {"command": "no_such_command_here", "timeout_ms": 5000})
    assert not failed.success and "127" in failed.error_message
    late = way.call_mcp_tool("shell", {"command": "sleep 5"})  # the tool's own default is 1 s
    assert not late.success and "[timeout]" in late.error_message


@pytest.mark.parametrize(
    ("tool", "args"),
    [
        ("no_such_tool", {}),
        ("", {}),
        ("../shell", {}),
        ("shell", {"command": 5}),
        ("shell", {"command": ["true"]}),
        ("shell", {"command": "true", "timeout_ms": "soon"}),
        ("shell", {"command": "true", "timeout_ms": -1}),
        ("read_file", {"path": 1}),
        ("read_file", {}),
        ("read_file", {"path": "relative"}),
        ("read_file", {"path": "/etc/hostname", "offset": -1}),
        ("write_file", {"path": "/tmp/x", "content": {}}),
        ("write_file", {"path": "/tmp/x", "content": "x", "mode": "sideways"}),
        ("edit_file", {"path": "/tmp/x", "edits": "all"}),
    ],
)
def test_bad_calls_are_failures_with_a_request_id(way: Session, tool: str, args: dict[str, object]) -> None:
    result = way.call_mcp_tool(tool, args)
    assert not result.success and result.error_message and result.request_id, result
    assert way.command.run("echo alive").stdout == "alive\n"


@pytest.mark.parametrize("key", ["akm-wrong", "x" * 10_000, "a b\n", "' OR 1=1 --"])
def test_a_wrong_key_is_not_logged_in(key: str) -> None:
    stranger = AgentBay(key)
    for result in (stranger.create(), stranger.get("session-x"), stranger.list()):
        assert not result.success and "NOT_LOGIN" in result.error_message and result.request_id, result


def test_a_wrong_token_opens_neither_link_nor_socket(new_session: NewSession) -> None:
    session = new_session()
    session.token = "wrong"
    assert not session.link_url or not session.command.run("true").success
    streamed = session.code.run_code("1", "python", stream_beta=True)
    assert not streamed.success and streamed.error_message


def test_what_the_bay_does_not_offer_is_a_clear_failure(agent_bay: AgentBay) -> None:
    result = agent_bay.context.list()
    assert result.success or (result.error_message and result.request_id)


def test_sessions_made_at_once_are_different() -> None:
    async def main() -> list[str]:
        async with AsyncAgentBay() as client:
            results = await asyncio.gather(*(client.create() for _ in range(3)))
            sessions = [r.session for r in results if r.session]
            try:
                names = await asyncio.gather(*(s.command.run(f"echo {n}") for n, s in enumerate(sessions)))
                assert [r.stdout for r in names] == ["0\n", "1\n", "2\n"]
            finally:
                await asyncio.gather(*(s.delete() for s in sessions))
            return [s.session_id for s in sessions]

    assert len(set(asyncio.run(main()))) == 3


def test_an_endpoint_nobody_listens_on_is_a_failure() -> None:
    result = AgentBay("k", Config("127.0.0.1:1", timeout_ms=3000)).create()
    assert not result.success and "cannot be reached" in result.error_message


def test_link_leads_to_a_port(new_session: NewSession) -> None:
    session = new_session(image_id="code_latest")
    serve = "echo inside > /tmp/page; nohup python3 -m http.server 30150 --directory /tmp >/dev/null 2>&1 &"
    assert session.command.execute_command(serve).success
    wait = "for i in $(seq 100); do curl -sf localhost:30150/page && exit; sleep 0.1; done; exit 1"
    assert session.command.execute_command(wait, timeout_ms=30000).success
    link = session.get_link(protocol_type="https", port=30150)
    assert link.success and "/30150/" in link.data
    trust = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    assert httpx.get(link.data + "page", verify=trust, timeout=30).text == "inside\n"
    refused = httpx.get(link.data.replace("/30150/", "/30151/"), verify=trust, timeout=30)
    assert refused.status_code == 403
