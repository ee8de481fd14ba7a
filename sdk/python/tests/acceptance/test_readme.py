"""The README's examples, as they stand there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


def examples(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", examples("README.md", "python"))
def test_python_example_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == "Hello World\n\n45\n"


@pytest.mark.parametrize("code", [c for c in examples("README.md", "sh") if "session exec" in c])
def test_command_line_example_runs(code: str) -> None:
    if not (ROOT / "bin/agentbay").exists():
        pytest.skip("lacks bin/agentbay: run scripts/build")
    run = subprocess.run(["bash", "-euc", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0 and "Hello World" in run.stdout, run
