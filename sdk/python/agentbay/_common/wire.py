"""The envelopes a bay answers with, read into one shape."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .results import McpTool, McpToolResult

API_VERSION = "2025-05-06"
LINK_TIMEOUT_MS = 900_000
"""How long a tool call over a session's link may take."""

LONGEST_TIMEOUT_MS = 30 * 24 * 3600 * 1000
"""What every longer time limit means; sockets cannot wait for centuries."""

ANSWER_GRACE_MS = 10_000
"""How much longer than a tool's own time limit its answer is waited for."""


@dataclass(frozen=True)
class Reply:
    """A bay's answer to one call, or why there is none."""

    success: bool = False
    request_id: str = ""
    code: str = ""
    message: str = ""
    http_status: int = 0
    data: Any = None
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def error(self) -> str:
        """What went wrong, as ``[Code] message``; empty on success."""
        if self.success:
            return ""
        message = self.message or "the bay refused without saying why"
        return f"[{self.code}] {message}" if self.code else message

    @property
    def refused(self) -> bool:
        """Whether the bay said no, and will say so again: it was reached and works."""
        return not self.success and 0 < self.http_status < 500

    @property
    def not_found(self) -> bool:
        """Whether what the call was about does not exist."""
        return not self.success and "notfound" in f"{self.code} {self.message}".replace(" ", "").lower()


def read_reply(status: int, content: bytes) -> Reply:
    """Read the envelope of an RPC's answer."""
    body = _object(content)
    if body is None:
        return Reply(
            http_status=status, message=f"the endpoint does not answer like a bay (HTTP status {status})"
        )
    return Reply(
        success=status < 400 and body.get("Success", True) is not False,
        request_id=str(body.get("RequestId") or ""),
        code=str(body.get("Code") or ""),
        message=str(body.get("Message") or ""),
        http_status=int(body.get("HttpStatusCode") or status),
        data=body.get("Data"),
        body=body,
    )


def _object(content: bytes | str) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def rpc_tool_result(reply: Reply) -> McpToolResult:
    """Read the answer of CallMcpTool."""
    if not reply.success:
        return McpToolResult(reply.request_id, False, "", reply.error)
    return _tool_result(reply.request_id, reply.data)


def link_tool_result(request_id: str, status: int, content: bytes) -> McpToolResult:
    """Read the answer of a session's link. The request ID is the bay's, if it names one."""
    body = _object(content) or {}
    request_id = str(body.get("requestId") or request_id)
    if not 200 <= status < 300:
        said = Reply(code=str(body.get("code") or ""), message=str(body.get("message") or ""))
        error = said.error if said.message else f"HTTP request failed with code: {status}"
        return McpToolResult(request_id, False, "", error)
    data = body.get("data")
    if isinstance(data, str):
        data = _object(data)
    return _tool_result(request_id, data.get("result") if isinstance(data, dict) else None)


def _tool_result(request_id: str, result: Any) -> McpToolResult:
    if isinstance(result, str):
        result = _object(result)
    if not isinstance(result, dict):
        return McpToolResult(request_id, False, "", "the bay's answer holds no tool result")
    text = _first_content(result.get("content"))
    if result.get("isError"):
        return McpToolResult(request_id, False, "", text or "the tool failed without saying why")
    return McpToolResult(request_id, True, text, "")


def _first_content(content: Any) -> str:
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return ""
    item = content[0]
    return str(next((item[k] for k in ("text", "blob", "data") if item.get(k) is not None), ""))


def read_tools(tools: Any) -> list[McpTool]:
    """Read a tool list, which is an array or JSON text of one."""
    if isinstance(tools, str):
        try:
            tools = json.loads(tools) if tools else []
        except ValueError:
            return []
    if not isinstance(tools, list):
        return []
    return [_tool(item) for item in tools if isinstance(item, dict)]


def _tool(item: Mapping[str, Any]) -> McpTool:
    schema = item.get("inputSchema")
    return McpTool(
        name=str(item.get("name") or item.get("Name") or ""),
        description=str(item.get("description") or ""),
        input_schema=schema if isinstance(schema, dict) else {},
        server=str(item.get("server") or item.get("serverName") or item.get("Server") or ""),
        tool=str(item.get("tool") or ""),
    )


def new_link_request_id() -> str:
    """The request ID of one link call; the link has the caller name it."""
    return f"link-{time.time_ns() // 1_000_000}-{secrets.randbelow(10**9):09d}"


def given(**members: Any) -> dict[str, Any]:
    """The members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def parameters(params: Mapping[str, object]) -> dict[str, str]:
    """Write parameters as a form: None is left out, objects are JSON."""
    return {name: _parameter(value) for name, value in given(**params).items()}


def _parameter(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)
