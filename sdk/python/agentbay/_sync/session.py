# Written by tools/make_sync.py from agentbay/_async/session.py; change that file instead.
"""A session: one isolated machine."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._common.exceptions import SessionError
from .._common.log import get_logger
from .._common.results import (
    DeleteResult,
    GetSessionData,
    McpTool,
    McpToolResult,
    McpToolsResult,
    OperationResult,
    SessionInfo,
    SessionMetrics,
    SessionMetricsResult,
    SessionPauseResult,
    SessionResumeResult,
    SessionStatusResult,
)
from .._common.wire import ANSWER_GRACE_MS, LINK_TIMEOUT_MS, Reply, read_tools
from . import _io
from .agent import Agent
from .browser import Browser
from .code import Code
from .command import Command
from .computer import Computer
from .context_manager import ContextManager
from .files import FileSystem
from .git import Git
from .looks import looks
from .screen import Screen
from .socket import Socket, SocketError

if TYPE_CHECKING:
    from .client import AgentBay

_log = get_logger("session")

_DELETE_TIMEOUT = 300.0
_LONGEST_PAUSE = 1.0


class Session(Screen):
    """One isolated machine. As a context manager it is deleted at the end."""

    def __init__(self, agent_bay: AgentBay, session_id: str) -> None:
        self.agent_bay = agent_bay
        self.session_id = session_id
        self.image_id = ""
        self.resource_url = ""
        self.resource_id = ""
        self.app_instance_id = ""
        self.token = ""
        self.link_url = ""
        self.ws_url = ""
        self.enable_browser_replay: bool | None = None
        self.mcp_tools: list[McpTool] = []
        self.context = ContextManager(self)
        self.command = Command(self)
        self.file_system = FileSystem(self)
        self.code = Code(self)
        self.git = Git(self)
        self.computer = Computer(self)
        self.browser = Browser(self)
        self.agent = Agent(self)

    @classmethod
    def _from_wire(
        cls, agent_bay: AgentBay, data: Mapping[str, Any], image_id: str = ""
    ) -> Session:
        session = cls(agent_bay, str(data.get("SessionId") or ""))
        session.image_id = image_id
        session.resource_url = str(data.get("ResourceUrl") or "")
        session.resource_id = str(data.get("ResourceId") or "")
        session.app_instance_id = str(data.get("AppInstanceId") or "")
        session.token = str(data.get("Token") or "")
        session.link_url = str(data.get("ToolUrl") or data.get("LinkUrl") or "")  # ToolUrl is for us
        session.ws_url = str(data.get("WsUrl") or "")
        session.mcp_tools = read_tools(data.get("ToolList"))
        return session

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.session_id}>"

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        result = self.delete()
        if not result.success:
            _log.warning("session %s was not deleted: %s", self.session_id, result.error_message)

    @property
    def fs(self) -> FileSystem:
        """The same as file_system."""
        return self.file_system

    @property
    def filesystem(self) -> FileSystem:
        """The same as file_system."""
        return self.file_system

    @property
    def files(self) -> FileSystem:
        """The same as file_system."""
        return self.file_system

    @property
    def appInstanceId(self) -> str:
        """An older name of app_instance_id."""
        return self.app_instance_id

    @property
    def mcpTools(self) -> list[McpTool]:
        """An older name of mcp_tools."""
        return self.mcp_tools

    def get_token(self) -> str:
        """Deprecated: read token."""
        return self.token

    def get_link_url(self) -> str:
        """Deprecated: read link_url."""
        return self.link_url

    def getToken(self) -> str:
        """Deprecated: read token."""
        return self.token

    def getLinkUrl(self) -> str:
        """Deprecated: read link_url."""
        return self.link_url

    def get_status(self) -> SessionStatusResult:
        """Ask for the session's status. Asking does not keep it alive."""
        reply = self._rpc("GetSessionDetail", {})
        status = str(_object(reply).get("Status") or "")
        return SessionStatusResult(
            reply.request_id, reply.http_status, reply.code, reply.success, status, reply.error
        )

    def keep_alive(self) -> OperationResult:
        """Reset the session's idle timer, as every tool call does."""
        return _operation(self._rpc("RefreshSessionIdleTime", {}))

    def delete(self, sync_context: bool = False) -> DeleteResult:
        """Release the session and wait until it holds nothing any more.

        Mounted contexts are saved as their policies say. With sync_context all
        of them are saved first, whatever the policies say; if that fails the
        session is deleted all the same, and error_message says what was lost.
        """
        unsaved = ""
        self.browser.unregister_callback()
        if sync_context:
            if self.browser.is_initialized():
                self.browser.destroy()  # which writes its cookies
            saved = self.context.sync()
            unsaved = "" if saved.success else f"not all contexts were saved: {saved.error_message}"
        reply = self._rpc("DeleteSessionAsync", {})
        if not reply.success:
            return _deleted(reply, reply.error)
        error = self._wait_until_released()
        return _deleted(reply, error, unsaved)

    def _wait_until_released(self) -> str:
        """Wait for the end of the session; returns what went wrong."""
        for _ in looks(_DELETE_TIMEOUT, _LONGEST_PAUSE):
            reply = self._rpc("GetSessionDetail", {})
            if reply.not_found or _object(reply).get("Status") in ("FINISH", "DELETED"):
                return ""
        return f"the session is still not released after {_DELETE_TIMEOUT:.0f} s: {reply.error}"

    def set_labels(self, labels: dict[str, str]) -> OperationResult:
        """Replace the session's labels."""
        error = _labels_error(labels)
        if error:
            return OperationResult(error_message=error)
        return _operation(self._rpc("SetLabel", {"Labels": labels}))

    def get_labels(self) -> OperationResult:
        """Get the session's labels; data is a dictionary."""
        reply = self._rpc("GetLabel", {})
        try:
            labels = json.loads(_object(reply).get("Labels") or "{}")
        except ValueError:
            labels = {}
        return _operation(reply, labels)

    def info(self) -> OperationResult:
        """Get how people and other software reach the session; data is a SessionInfo."""
        reply = self._rpc("GetMcpResource", {})
        data = _object(reply)
        desktop = data.get("DesktopInfo") or {}
        info = SessionInfo(
            session_id=str(data.get("SessionId") or self.session_id),
            resource_url=str(data.get("ResourceUrl") or ""),
            app_id=str(desktop.get("AppId") or ""),
            auth_code=str(desktop.get("AuthCode") or ""),
            connection_properties=str(desktop.get("ConnectionProperties") or ""),
            resource_id=str(desktop.get("ResourceId") or ""),
            resource_type=str(desktop.get("ResourceType") or ""),
            ticket=str(desktop.get("Ticket") or ""),
        )
        return _operation(reply, info)

    def get_link(
        self, protocol_type: str | None = None, port: int | None = None, options: str | None = None
    ) -> OperationResult:
        """Get a URL that leads to a port of the session; a refusal raises SessionError."""
        params = {"ProtocolType": protocol_type, "Port": port, "Option": options}
        reply = self._rpc("GetLink", params)
        if not reply.success:
            raise SessionError(f"Failed to get link: {reply.error} (request ID {reply.request_id})")
        return _operation(reply, _object(reply).get("Url"))

    def list_mcp_tools(self, image_id: str | None = None) -> McpToolsResult:
        """List the tools of an image, by default the session's."""
        image = image_id or self.image_id or "linux_latest"
        reply = self.agent_bay.transport.rpc("ListMcpTools", {"ImageId": image})
        tools = read_tools(reply.data) if reply.success else []
        if tools and image == self.image_id:
            self.mcp_tools = tools
        return McpToolsResult(reply.request_id, tools, reply.success, reply.error)

    def call_mcp_tool(
        self,
        tool_name: str,
        args: dict[str, Any],
        read_timeout: int | None = None,
        connect_timeout: int | None = None,
        auto_gen_session: bool = False,
    ) -> McpToolResult:
        """Call any tool by name; data is its text. Time limits are in milliseconds."""
        server = self._server_of(tool_name)
        if self._has_link(tool_name):
            call = {"tool": tool_name, "server": server, "args": args}
            return self.agent_bay.transport.link_tool(
                self.link_url, self.token, call, read_timeout, connect_timeout
            )
        params = {
            "SessionId": self.session_id,
            "Name": tool_name,
            "Args": args,
            "Server": server,
            "AutoGenSession": auto_gen_session,
        }
        return self.agent_bay.transport.rpc_tool(params, read_timeout, connect_timeout)

    def _call(self, tool: str, args: dict[str, Any], time_limit_ms: int = 0) -> McpToolResult:
        """Call a tool, and wait longer than the tool may take."""
        if not isinstance(time_limit_ms, (int, float)) or time_limit_ms <= 0:
            return self.call_mcp_tool(tool, args)
        least = LINK_TIMEOUT_MS if self._has_link(tool) else self.agent_bay.transport.settings.timeout_ms
        return self.call_mcp_tool(
            tool, args, read_timeout=max(least, int(time_limit_ms) + ANSWER_GRACE_MS)
        )

    def _server_of(self, tool: str) -> str:
        return next((t.server for t in self.mcp_tools if t.name == tool), "")

    def _has_link(self, tool: str) -> bool:
        """Whether the tool is called over the session's link, which has no message limit."""
        return bool(self.link_url and self.token and self._server_of(tool))

    def _open_socket(self) -> Socket:
        if not self.ws_url:
            raise SocketError("the session has no WebSocket; its image does not stream")
        timeout = self.agent_bay.transport.settings.timeout_ms / 1000
        return Socket.open(self.ws_url, self.token, timeout)

    def get_metrics(
        self, read_timeout: int | None = None, connect_timeout: int | None = None
    ) -> SessionMetricsResult:
        """Get what the session uses. Time limits are in milliseconds."""
        answer = self.call_mcp_tool("get_metrics", {}, read_timeout, connect_timeout)
        if not answer.success:
            return SessionMetricsResult(answer.request_id, error_message=answer.error_message)
        try:
            raw = json.loads(answer.data)
            names = {name: type(value) for name, value in vars(SessionMetrics()).items()}
            metrics = SessionMetrics(**{name: kind(raw[name]) for name, kind in names.items() if name in raw})
        except (ValueError, TypeError) as error:
            return SessionMetricsResult(answer.request_id, error_message=f"Failed to parse metrics: {error}")
        return SessionMetricsResult(answer.request_id, True, metrics, raw=raw)

    def beta_pause(self, timeout: int = 600, poll_interval: float = 2.0) -> SessionPauseResult:
        """Pause the session and wait until it is."""
        wait = _Wait("PauseSessionAsync", "PAUSING", "PAUSED", timeout, poll_interval)
        return SessionPauseResult(**self._change_state(wait))

    def beta_resume(self, timeout: int = 600, poll_interval: float = 2.0) -> SessionResumeResult:
        """Resume the session and wait until it runs."""
        wait = _Wait("ResumeSessionAsync", "RESUMING", "RUNNING", timeout, poll_interval)
        return SessionResumeResult(**self._change_state(wait))

    def _change_state(self, wait: _Wait) -> dict[str, Any]:
        reply = self._rpc(wait.action, {})
        if not reply.success:
            return _state(reply, reply.error, None)
        deadline = time.monotonic() + wait.timeout
        while True:
            seen = self._rpc("GetSession", {})
            status = str(_object(seen).get("Status") or "")
            if not seen.success or status != wait.during:
                error = seen.error or (
                    "" if status == wait.after else f"the session is unexpectedly {status}"
                )
                return _state(seen, error, status)
            if time.monotonic() >= deadline:
                return _state(seen, f"the session is still {status} after {wait.timeout} s", status)
            _io.sleep(wait.poll_interval)

    def _get_session(self) -> tuple[Reply, GetSessionData]:
        reply = self._rpc("GetSession", {})
        data = _object(reply)
        return reply, GetSessionData(
            app_instance_id=str(data.get("AppInstanceId") or ""),
            resource_id=str(data.get("ResourceId") or ""),
            session_id=str(data.get("SessionId") or ""),
            success=bool(data.get("Success", reply.success)),
            http_port=str(data.get("HttpPort") or ""),
            network_interface_ip=str(data.get("NetworkInterfaceIp") or ""),
            token=str(data.get("Token") or ""),
            link_url=str(data.get("ToolUrl") or data.get("LinkUrl") or ""),
            ws_url=str(data.get("WsUrl") or ""),
            vpc_resource=bool(data.get("VpcResource", False)),
            resource_url=str(data.get("ResourceUrl") or ""),
            status=str(data.get("Status") or ""),
            tool_list=str(data.get("ToolList") or ""),
            contexts=data.get("contexts"),
        )

    def _rpc(self, action: str, params: Mapping[str, object]) -> Reply:
        return self.agent_bay.transport.rpc(action, {"SessionId": self.session_id, **params})


class _Wait:
    """A change of state: what starts it, and what is seen during and after it."""

    def __init__(self, action: str, during: str, after: str, timeout: float, poll_interval: float) -> None:
        self.action, self.during, self.after = action, during, after
        self.timeout, self.poll_interval = timeout, poll_interval


def _state(reply: Reply, error: str, status: str | None) -> dict[str, Any]:
    return {
        "request_id": reply.request_id,
        "success": not error,
        "error_message": error,
        "code": reply.code,
        "message": reply.message,
        "http_status_code": reply.http_status,
        "status": status,
    }


def _object(reply: Reply) -> dict[str, Any]:
    return reply.data if isinstance(reply.data, dict) else {}


def _operation(reply: Reply, data: Any = None) -> OperationResult:
    return OperationResult(
        reply.request_id,
        reply.success,
        data if reply.success else None,
        reply.error,
        reply.code,
        reply.message,
        reply.http_status,
    )


def _deleted(reply: Reply, error: str, warning: str = "") -> DeleteResult:
    said = "; ".join(text for text in (error, warning) if text)
    return DeleteResult(reply.request_id, not error, said, reply.code, reply.message, reply.http_status)


def _labels_error(labels: Any) -> str:
    """Why labels cannot be set; empty if they can."""
    if labels is None:
        return "Labels cannot be null, undefined, or invalid type. Please provide a valid labels object."
    if not isinstance(labels, dict):
        return f"Labels must be a dictionary of strings, not {type(labels).__name__}."
    if not labels:
        return "Labels cannot be empty. Please provide at least one label."
    for key, value in labels.items():
        if not isinstance(key, str) or not key.strip():
            return f"Label keys cannot be empty and must be strings; {key!r} is not."
        if not isinstance(value, str) or not value.strip():
            return f"Label values cannot be empty and must be strings; that of {key!r} is not."
    return ""
