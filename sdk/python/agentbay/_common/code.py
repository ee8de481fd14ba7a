"""Results of running code, and the JSON they are read from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .results import ApiResponse, McpToolResult

_LANGUAGES = {
    "python": "python",
    "py": "python",
    "python3": "python",
    "javascript": "javascript",
    "js": "javascript",
    "node": "javascript",
    "nodejs": "javascript",
    "r": "r",
    "java": "java",
}

_MIME = {
    "text": "text/plain",
    "html": "text/html",
    "markdown": "text/markdown",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "svg": "image/svg+xml",
    "latex": "text/latex",
    "json": "application/json",
}
_CHARTS = (
    "application/vnd.vegalite.v5+json",
    "application/vnd.vegalite.v4+json",
    "application/vnd.vega.v5+json",
)


def language_of(name: str) -> str | None:
    """The name a bay knows a language by; None if it is not one of the four."""
    return _LANGUAGES.get(name.strip().lower())


@dataclass
class ExecutionResult:
    """One value a piece of code showed, in every format it has; images are base64."""

    text: str | None = None
    html: str | None = None
    markdown: str | None = None
    png: str | None = None
    jpeg: str | None = None
    svg: str | None = None
    latex: str | None = None
    json: Any = None
    chart: Any = None
    is_main_result: bool = False

    def formats(self) -> list[str]:
        """Names of the formats there are."""
        names = (f.name for f in fields(self) if f.name != "is_main_result")
        return [name for name in names if getattr(self, name) is not None]


@dataclass
class ExecutionLogs:
    """What a piece of code printed, in the chunks it came in."""

    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)


@dataclass
class ExecutionError:
    """The exception a piece of code ended with."""

    name: str = ""
    value: str = ""
    traceback: str = ""


@dataclass
class EnhancedCodeExecutionResult(ApiResponse):
    """What a piece of code did."""

    execution_count: int | None = None
    execution_time: float = 0.0
    logs: ExecutionLogs = field(default_factory=ExecutionLogs)
    results: list[ExecutionResult] = field(default_factory=list)
    error: ExecutionError | None = None
    error_message: str = ""
    success: bool = True

    @property
    def result(self) -> str:
        """The main value's text, else the first value's, else what was printed."""
        main = next((r.text for r in self.results if r.is_main_result and r.text), None)
        return main or next((r.text for r in self.results if r.text), None) or "".join(self.logs.stdout)


@dataclass
class CodeExecutionResult(ApiResponse):
    """The older, plain form of EnhancedCodeExecutionResult."""

    success: bool = False
    result: str = ""
    error_message: str = ""


def parse_code_result(answer: McpToolResult) -> EnhancedCodeExecutionResult:
    """Read the answer of run_code; a failed run answers in the same JSON."""
    text = answer.data if answer.success else answer.error_message
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        error = "" if answer.success else text
        logs = ExecutionLogs(stdout=[text]) if answer.success and text else ExecutionLogs()
        return EnhancedCodeExecutionResult(
            answer.request_id, logs=logs, error_message=error, success=answer.success
        )
    result = EnhancedCodeExecutionResult(
        answer.request_id,
        logs=ExecutionLogs(_strings(body.get("stdout")), _strings(body.get("stderr"))),
        results=[r for r in map(parse_value, body.get("result") or []) if r],
    )
    return finish(result, body, failed=not answer.success)


def finish(
    result: EnhancedCodeExecutionResult, body: Mapping[str, Any], failed: bool = False
) -> EnhancedCodeExecutionResult:
    """Take over how a run ended: its number, its time and, if it failed, why."""
    result.execution_count = body.get("execution_count", body.get("executionCount"))
    result.execution_time = float(body.get("execution_time", body.get("executionTime")) or 0.0)
    message = str(body.get("executionError") or "")
    result.success = not (failed or message)
    if not result.success:
        result.error = _error(message, body)
        result.error_message = message or "the code failed without saying why"
    return result


def _error(message: str, body: Mapping[str, Any]) -> ExecutionError:
    name, colon, value = message.partition(": ")
    if not colon or not name.replace(".", "").replace("_", "").isalnum():
        name, value = "ExecutionError", message
    return ExecutionError(
        name=str(body.get("errorName") or name),
        value=value or message,
        traceback=str(body.get("traceback") or ""),
    )


def parse_value(value: Any) -> ExecutionResult | None:
    """Read one value: an object of MIME types, or JSON text of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return ExecutionResult(text=value)
    if not isinstance(value, dict):
        return None
    types = value["mime"] if isinstance(value.get("mime"), dict) else value
    return ExecutionResult(
        **{name: types.get(mime) for name, mime in _MIME.items()},
        chart=next((types[c] for c in _CHARTS if c in types), None),
        is_main_result=bool(value.get("isMainResult")),
    )


def _strings(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else []
