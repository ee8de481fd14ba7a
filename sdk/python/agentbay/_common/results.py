"""What calls return. Every result has a request_id; success False comes with an error_message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

SessionT = TypeVar("SessionT")


@dataclass
class ApiResponse:
    """What every result has: the request ID that names the call in the server's log."""

    request_id: str = ""

    def get_request_id(self) -> str:
        """The request ID."""
        return self.request_id


Response = ApiResponse


@dataclass
class BaseResult(ApiResponse):
    """A result that says no more than whether the call succeeded."""

    success: bool = False
    error_message: str = ""


@dataclass
class OperationResult(ApiResponse):
    """A result with data of a kind the method says."""

    success: bool = False
    data: Any = None
    error_message: str = ""
    code: str = ""
    message: str = ""
    http_status_code: int = 0


@dataclass
class BoolResult(ApiResponse):
    """The result of doing something; data is True once it is done."""

    success: bool = False
    data: bool | None = None
    error_message: str = ""


@dataclass
class DeleteResult(ApiResponse):
    """The result of a deletion."""

    success: bool = False
    error_message: str = ""
    code: str = ""
    message: str = ""
    http_status_code: int = 0


@dataclass
class SessionResult(ApiResponse, Generic[SessionT]):
    """A session, if success."""

    success: bool = False
    error_message: str = ""
    session: SessionT | None = None


@dataclass
class SessionListResult(ApiResponse):
    """One page of session IDs, newest first; next_token is empty on the last page."""

    success: bool = False
    error_message: str = ""
    session_ids: list[str] = field(default_factory=list)
    next_token: str = ""
    max_results: int = 0
    total_count: int = 0


@dataclass
class SessionStatusResult(ApiResponse):
    """A session's status: RUNNING, PAUSING, PAUSED, RESUMING, DELETING or FINISH."""

    http_status_code: int = 0
    code: str = ""
    success: bool = False
    status: str = ""
    error_message: str = ""


@dataclass
class SessionPauseResult(ApiResponse):
    """The result of pausing; status is the last one seen."""

    success: bool = False
    error_message: str = ""
    code: str = ""
    message: str = ""
    http_status_code: int = 0
    status: str | None = None


@dataclass
class SessionResumeResult(SessionPauseResult):
    """The result of resuming; status is the last one seen."""


@dataclass
class SessionInfo:
    """How people and other software reach a session."""

    session_id: str = ""
    resource_url: str = ""
    app_id: str = ""
    auth_code: str = ""
    connection_properties: str = ""
    resource_id: str = ""
    resource_type: str = ""
    ticket: str = ""


@dataclass
class GetSessionData:
    """What the bay knows of a session."""

    app_instance_id: str = ""
    resource_id: str = ""
    session_id: str = ""
    success: bool = False
    http_port: str = ""
    network_interface_ip: str = ""
    token: str = ""
    link_url: str = ""
    ws_url: str = ""
    vpc_resource: bool = False
    resource_url: str = ""
    status: str = ""
    tool_list: str = ""
    contexts: list[dict[str, str]] | None = None


@dataclass
class GetSessionResult(ApiResponse):
    """What the bay knows of a session, if success."""

    http_status_code: int = 0
    code: str = ""
    success: bool = False
    data: GetSessionData | None = None
    error_message: str = ""


@dataclass
class McpTool:
    """A tool that can be called in a session."""

    name: str = ""
    description: str = ""
    input_schema: dict[str, Any] = field(default_factory=dict)
    server: str = ""
    tool: str = ""

    def get_name(self) -> str:
        """The tool's name."""
        return self.name

    def get_server(self) -> str:
        """The name of the server that has the tool."""
        return self.server


@dataclass
class McpToolsResult(ApiResponse):
    """The tools of an image."""

    tools: list[McpTool] = field(default_factory=list)
    success: bool = True
    error_message: str = ""


@dataclass
class McpToolResult(ApiResponse):
    """A tool's answer: data is its text, error_message its text if it failed."""

    success: bool = False
    data: str = ""
    error_message: str = ""


@dataclass
class CommandResult(ApiResponse):
    """What a command did. success means exit code 0; output is stdout, then stderr."""

    success: bool = False
    output: str = ""
    error_message: str = ""
    exit_code: int = 0
    stdout: str = ""
    stderr: str = ""
    trace_id: str = ""


@dataclass
class SessionMetrics:
    """What a session uses. Memory and disk are in bytes, percentages from 0 to 100."""

    cpu_count: int = 0
    cpu_used_pct: float = 0.0
    disk_total: int = 0
    disk_used: int = 0
    mem_total: int = 0
    mem_used: int = 0
    rx_rate_kbyte_per_s: float = 0.0
    tx_rate_kbyte_per_s: float = 0.0
    rx_used_kbyte: float = 0.0
    tx_used_kbyte: float = 0.0
    timestamp: str = ""

    @property
    def rx_rate_kbps(self) -> float:
        """An older name of rx_rate_kbyte_per_s."""
        return self.rx_rate_kbyte_per_s

    @property
    def tx_rate_kbps(self) -> float:
        """An older name of tx_rate_kbyte_per_s."""
        return self.tx_rate_kbyte_per_s

    @property
    def rx_used_kb(self) -> float:
        """An older name of rx_used_kbyte."""
        return self.rx_used_kbyte

    @property
    def tx_used_kb(self) -> float:
        """An older name of tx_used_kbyte."""
        return self.tx_used_kbyte


@dataclass
class SessionMetricsResult(ApiResponse):
    """Metrics of a session; raw is the bay's own JSON."""

    success: bool = False
    metrics: SessionMetrics | None = None
    error_message: str = ""
    raw: dict[str, Any] | None = None


@dataclass
class AdbUrlResult(ApiResponse):
    """A line that connects adb to a session."""

    success: bool = False
    error_message: str = ""
    data: str | None = None
