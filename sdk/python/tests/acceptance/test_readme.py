"""The READMEs' examples, as they stand there.

The examples of a document are run one after the other, each with the names of
those before it. What is printed is checked where a comment says `# prints ...`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentbay import AgentBay, ContextListParams, Session

ROOT = Path(__file__).parents[4]


def examples(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)


def context_ids(agent_bay: AgentBay) -> set[str]:
    return {c.id for c in agent_bay.context.list(ContextListParams(max_results=100)).contexts}


@pytest.fixture
def no_contexts_left(agent_bay: AgentBay) -> Iterator[None]:
    """Deletes the contexts that examples make."""
    before = context_ids(agent_bay)
    yield
    for context_id in context_ids(agent_bay) - before:
        agent_bay.context.delete(agent_bay.context.get(context_id=context_id).context)  # type: ignore[arg-type]


def run(document: str, given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a document's examples, for each of which given is so; returns what they print in all."""
    names: dict[str, Any] = {}
    everything = ""
    for code in examples(document, "python"):
        names.update(given)
        exec(compile(code, document, "exec"), names)
        printed = capsys.readouterr().out
        for said in re.findall(r"# prints (.*)$", code, re.MULTILINE):
            assert said in printed, f"{document} says {said!r}, but {printed!r} is printed by\n{code}"
        everything += printed
    return everything


@pytest.mark.usefixtures("no_contexts_left")
def test_python_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert re.sub(r"https:\S+", "URL", run("README.md", {}, capsys)) == (
        'Hello World\n\n45\ngedit\nTrue\nNavigated to data:text/html,<title>Hello</title>, "Hello"\nstopped URL\nThis will persist\n'
    )


@pytest.mark.usefixtures("no_contexts_left")
def test_the_sdks_examples_run(
    agent_bay: AgentBay,
    code_session: Session,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    run("sdk/python/README.md", {"session": code_session, "agent_bay": agent_bay}, capsys)


@pytest.mark.parametrize("said, code", [(s, c) for c in examples("README.md", "sh") for s in ("Hello World", "from outside") if s in c])
@pytest.mark.usefixtures("no_contexts_left")
def test_command_line_example_runs(said: str, code: str, agent_bay: AgentBay, tmp_path: Path) -> None:
    if not (ROOT / "bin/agentbay").exists():
        pytest.skip("lacks bin/agentbay: run scripts/build")
    agent_bay.context.get("my-project", create=True)  # as the example before has made it
    (tmp_path / "bin").symlink_to(ROOT / "bin")
    run = subprocess.run(["bash", "-euc", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0 and said in run.stdout, run
