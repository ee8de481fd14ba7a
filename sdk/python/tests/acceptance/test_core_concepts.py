"""The examples of the Core Concepts document, run as they stand there."""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agentbay

DOCUMENT = Path(
    os.environ.get("AGENTBAY_CORE_CONCEPTS")
    or Path(__file__).resolve().parents[4] / "docs" / "core-concepts.txt"
)


def example(first: str, last: str) -> str:
    """The lines of the document from the one that is first to the next that is last."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    start = lines.index(first)
    return "\n".join(lines[start : lines.index(last, start) + 1])


DELETE = "agent_bay.delete(session)"
IMPORT = "from agentbay.session_params import CreateSessionParams"
CODE_SANDBOX = ("# Create development environment and execute code", DELETE)


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """What the examples take for granted: the client class, and a client."""
    client = agentbay.AgentBay()
    yield {"AgentBay": agentbay.AgentBay, "agent_bay": client}
    client.close()


def run(names: dict[str, Any], *examples: str) -> None:
    for code in examples:
        exec(compile(code, str(DOCUMENT), "exec"), names)


def status_of(names: dict[str, Any]) -> str:
    status: str = names["session"].get_status().status
    return status


def test_basic_usage_of_the_client(names: dict[str, Any]) -> None:
    run(names, example("# 1. Initialize client", DELETE))
    assert status_of(names) == "FINISH"


def test_basic_usage_of_a_session(names: dict[str, Any]) -> None:
    run(names, example("# Create a session", DELETE))
    assert status_of(names) == "FINISH"


def test_manual_release(names: dict[str, Any]) -> None:
    names["session"] = names["agent_bay"].create().session
    run(names, example("# Explicitly delete when done", DELETE))
    assert status_of(names) == "FINISH"


def test_the_code_sandbox(names: dict[str, Any]) -> None:
    run(names, example(IMPORT, IMPORT), example(*CODE_SANDBOX))
    assert names["result"].success and names["result"].result.strip() == "Hello from CodeSpace!"
    assert status_of(names) == "FINISH"


def test_the_browser(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(names, example(IMPORT, IMPORT), example("# Create browser environment", DELETE))
    assert capsys.readouterr().out == "Web navigation successful\n"
    assert status_of(names) == "FINISH"


def test_temporary_data_is_gone_with_its_session(names: dict[str, Any]) -> None:
    write = 'session.file_system.write_file("/tmp/temp_data.txt", "This will disappear")'
    with names["agent_bay"].create().session as session:
        names["session"] = session
        run(names, example(write, write))
        assert session.file_system.read_file("/tmp/temp_data.txt").content == "This will disappear"
    with names["agent_bay"].create().session as session:
        assert not session.file_system.read_file("/tmp/temp_data.txt").success


PERSISTENT = (
    "from agentbay import ContextSync",
    'session.file_system.write_file("/tmp/persistent/important.txt", "This will persist")',
)


def test_persistent_data_is_there_in_the_next_session(names: dict[str, Any]) -> None:
    agent_bay = names["agent_bay"]
    names["CreateSessionParams"] = agentbay.CreateSessionParams
    try:
        run(names, example(*PERSISTENT))
        assert names["context"].name == "my-project"
        assert agent_bay.delete(names["session"]).success
        params = agentbay.CreateSessionParams(context_syncs=[names["context_sync"]])
        with agent_bay.create(params).session as session:
            kept = session.file_system.read_file("/tmp/persistent/important.txt")
            assert kept.content == "This will persist", kept
    finally:
        agent_bay.context.delete(agent_bay.context.get("my-project").context)


def test_troubleshooting(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    first = """result = session.code.run_code("print('hello')", "python")"""
    code = example(first, "    # Share this Request ID with support for faster help")
    names["session"] = names["agent_bay"].create(agentbay.CreateSessionParams(image_id="code_latest")).session
    run(names, code)
    assert names["result"].success and capsys.readouterr().out == ""
    names["session"].delete()
    run(names, code)
    assert capsys.readouterr().out == f"Code execution failed! Request ID: {names['result'].request_id}\n"
    assert names["result"].request_id


def test_request_ids_look_as_the_document_says(names: dict[str, Any]) -> None:
    looks = re.search(r'It looks like "([^"]+)"', DOCUMENT.read_text(encoding="utf-8"))
    assert looks is not None
    pattern = re.sub(r"[A-Z0-9]", "[0-9A-Z]", looks[1])
    for result in (names["agent_bay"].list(), names["agent_bay"].get("session-unknown")):
        assert re.fullmatch(pattern, result.request_id), result.request_id


def test_results_of_calls(names: dict[str, Any]) -> None:
    with names["agent_bay"].create().session as session:
        names["session"] = session
        last = "print(screenshot.request_id)  # Request ID for troubleshooting"
        run(names, example("# Example API call", last))
        shot = names["screenshot"]
        assert shot.success, shot.error_message
        with urllib.request.urlopen(shot.data) as answer:
            assert answer.read(8) == b"\x89PNG\r\n\x1a\n"
        assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", shot.request_id)
