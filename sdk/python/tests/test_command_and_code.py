"""Commands and code: what is sent, and how answers are read."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest
from bay import KEY, TestBay, reply
from websockets.sync.server import ServerConnection

from agentbay import AgentBay, AsyncAgentBay, Config, Session, WsCancelledError


def test_a_command_that_succeeds(bay: TestBay, session: Session) -> None:
    result = session.command.execute_command("echo hi", cwd="/tmp", envs={"A": "$x; '\""})
    assert (result.success, result.output, result.stdout, result.exit_code) == (True, "hi\n", "hi\n", 0)
    assert result.error_message == "" and result.trace_id == "" and result.request_id
    _, tool, args = bay.tool_calls[-1]
    assert tool == "shell"
    assert args == {"command": "echo hi", "timeout_ms": 50000, "cwd": "/tmp", "envs": {"A": "$x; '\""}}


def test_a_command_that_fails(session: Session) -> None:
    result = session.command.run("exit 3")
    assert (result.success, result.exit_code, result.stderr) == (False, 3, "it failed\n")
    assert (
        result.error_message == "it failed\n" and result.output == "it failed\n" and result.trace_id == "t-1"
    )


def test_a_command_that_times_out(session: Session) -> None:
    result = session.command.exec("sleep 5", timeout_ms=50)
    assert not result.success and result.output == "" and "[timeout]" in result.error_message
    assert result.exit_code == -1


@pytest.mark.parametrize("envs", [{"A": 1}, {1: "A"}, {"A": None}])
def test_environment_variables_must_be_strings(bay: TestBay, session: Session, envs: Any) -> None:
    with pytest.raises(ValueError, match="strings"):
        session.command.run("true", envs=envs)
    assert bay.tool_calls == []


def test_code_that_succeeds(bay: TestBay, session: Session) -> None:
    result = session.code.run_code("1+1", " Python3 ", timeout_s=5)
    assert result.success and result.result == "2" and result.logs.stdout == ["out\n"]
    assert result.execution_count == 1 and result.execution_time == 0.1 and result.error is None
    assert result.results[0].is_main_result and result.results[0].formats() == ["text"]
    assert bay.tool_calls[-1][2] == {"code": "1+1", "language": "python", "timeout_s": 5}


def test_code_that_fails(session: Session) -> None:
    result = session.code.run("1/0", "python")
    assert not result.success and result.error is not None
    assert result.error_message == "ZeroDivisionError: division by zero"
    assert (result.error.name, result.error.value) == ("ZeroDivisionError", "division by zero")
    assert result.error.traceback and result.logs.stdout == ["out\n"]


def test_an_unknown_language_is_refused_here(bay: TestBay, session: Session) -> None:
    result = session.code.execute("1", "cobol")
    assert not result.success and "Unsupported language: cobol" in result.error_message
    assert bay.tool_calls == []


RICH = {
    "isMainResult": False,
    "text/html": "<b>",
    "text/markdown": "*",
    "image/png": "iVBOR",
    "image/jpeg": "/9j/",
    "image/svg+xml": "<svg/>",
    "text/latex": "$x$",
    "application/json": {"a": 1},
    "application/vnd.vegalite.v5+json": {"mark": "bar"},
}


def test_rich_results_have_every_format(bay: TestBay, session: Session) -> None:
    plain = json.dumps({"isMainResult": False, "text/plain": "first"})
    bay.tools["run_code"] = lambda _: (
        json.dumps({"result": [json.dumps(RICH), plain], "stdout": ["x"]}),
        False,
    )
    result = session.code.run_code("x", "r")
    assert result.result == "first"
    rich = result.results[0]
    assert rich.formats() == ["html", "markdown", "png", "jpeg", "svg", "latex", "json", "chart"]
    assert rich.json == {"a": 1} and rich.chart == {"mark": "bar"} and rich.png == "iVBOR"


def test_without_values_the_result_is_what_was_printed(bay: TestBay, session: Session) -> None:
    bay.tools["run_code"] = lambda _: (json.dumps({"result": [], "stdout": ["a\n", "b\n"]}), False)
    assert session.code.run_code("x", "js").result == "a\nb\n"


def stream_events(ws: ServerConnection, frame: dict[str, Any]) -> None:
    assert frame["source"] == "SDK" and frame["data"]["mode"] == "stream"
    ws.send("no JSON at all")
    ws.send(json.dumps({"invocationId": "of somebody else", "target": "SDK", "data": {"phase": "end"}}))
    reply(ws, frame, phase="event", eventType="stdout", chunk="one\n")
    reply(ws, frame, phase="event", eventType="stderr", chunk="oops\n")
    value = {"isMainResult": True, "text/plain": "2", "mime": {"text/plain": "2"}}
    reply(ws, frame, phase="event", eventType="result", result=value)
    reply(ws, frame, phase="end", executionCount=7, executionTime=0.5, status="finished")


def test_a_stream_gives_chunks_and_the_whole_result(bay: TestBay, session: Session) -> None:
    bay.stream = stream_events
    out: list[str] = []
    err: list[str] = []
    result = session.code.run_code("x", "python", 5, True, out.append, err.append)
    assert (out, err) == (["one\n"], ["oops\n"])
    assert result.success and result.result == "2" and result.execution_count == 7
    assert result.logs.stdout == out and result.logs.stderr == err and result.request_id
    params = {"language": "python", "timeoutS": 5, "code": "x"}
    assert bay.frames[0]["data"] == {"method": "run_code", "mode": "stream", "params": params}


def test_chunks_arrive_while_the_code_runs(bay: TestBay, session: Session) -> None:
    seen = threading.Event()

    def stream(ws: ServerConnection, frame: dict[str, Any]) -> None:
        reply(ws, frame, phase="event", eventType="stdout", chunk="first")
        arrived = seen.wait(5)
        reply(ws, frame, phase="event", eventType="stdout", chunk=str(arrived))
        reply(ws, frame, phase="end", status="finished")

    bay.stream = stream
    result = session.code.run_code("x", "python", 10, True, on_stdout=lambda _: seen.set())
    assert result.logs.stdout == ["first", "True"]


def test_an_error_event_fails_the_run(bay: TestBay, session: Session) -> None:
    def stream(ws: ServerConnection, frame: dict[str, Any]) -> None:
        error = {
            "code": "ZeroDivisionError",
            "message": "ZeroDivisionError: division by zero",
            "traceId": "t",
        }
        reply(ws, frame, phase="event", eventType="error", error=error)
        reply(ws, frame, phase="end", status="failed")

    bay.stream = stream
    errors: list[Any] = []
    result = session.code.run_code("1/0", "python", 5, True, on_error=errors.append)
    assert not result.success and "division by zero" in result.error_message and len(errors) == 1
    assert result.error and result.error.name == "ZeroDivisionError"


@pytest.mark.parametrize("how", ["refusal", "server", "closed", "phase"])
def test_a_stream_that_breaks_is_a_failed_result(bay: TestBay, session: Session, how: str) -> None:
    def stream(ws: ServerConnection, frame: dict[str, Any]) -> None:
        if how == "refusal":
            reply(ws, frame, phase="event", error="no such target")
        elif how == "server":
            answer = {"invocationId": frame["invocationId"], "source": "WEBSOCKET_SERVER", "target": "SDK"}
            ws.send(json.dumps({**answer, "error": "no such target", "data": {}}))
        elif how == "phase":
            reply(ws, frame, phase="interlude")
        else:
            ws.close()

    bay.stream = stream
    errors: list[Any] = []
    result = session.code.run_code("x", "python", 5, True, on_error=errors.append)
    assert not result.success and result.error_message and len(errors) == 1


def test_a_callback_that_raises_cancels_the_run(bay: TestBay, session: Session) -> None:
    closed = threading.Event()

    def stream(ws: ServerConnection, frame: dict[str, Any]) -> None:
        reply(ws, frame, phase="event", eventType="stdout", chunk="x")
        try:
            ws.recv(timeout=5)
        except Exception:
            closed.set()

    def stop(_: str) -> None:
        raise WsCancelledError

    bay.stream = stream
    with pytest.raises(WsCancelledError):
        session.code.run_code("x", "python", 10, True, on_stdout=stop)
    assert closed.wait(5), "the server did not see the end of the connection"


def test_cancelling_the_task_cancels_an_asynchronous_run(bay: TestBay) -> None:
    asked = threading.Event()
    bay.stream = lambda ws, frame: asked.set()

    async def main() -> None:
        async with AsyncAgentBay(KEY, Config(endpoint=bay.endpoint)) as client:
            session = (await client.create()).session
            assert session is not None
            task = asyncio.create_task(session.code.run_code("x", "python", 60, stream_beta=True))
            await asyncio.to_thread(asked.wait, 5)
            start = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - start < 30

    asyncio.run(main())


def test_a_session_without_a_socket_says_so(client: AgentBay, session: Session) -> None:
    session.ws_url = ""
    result = session.code.run_code("x", "python", stream_beta=True)
    assert not result.success and "WebSocket" in result.error_message
