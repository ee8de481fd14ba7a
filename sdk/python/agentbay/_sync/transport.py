# Written by tools/make_sync.py from agentbay/_async/transport.py; change that file instead.
"""One client's way to its bay: the endpoint, and the links of its sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import httpx

from .._common.config import Settings, tls_context
from .._common.log import log_call
from .._common.results import McpToolResult
from .._common.version import VERSION
from .._common.wire import (
    API_VERSION,
    LINK_TIMEOUT_MS,
    LONGEST_TIMEOUT_MS,
    Reply,
    link_tool_result,
    new_link_request_id,
    parameters,
    read_reply,
    rpc_tool_result,
)
from . import _io

ClientT = TypeVar("ClientT", httpx.Client, httpx.Client)


class Transport:
    """Makes calls. What goes wrong on the way is a reply without success, too."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.http = _io.HTTP(self._make_client)

    @staticmethod
    def _make_client(kind: type[ClientT]) -> ClientT:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
        return kind(verify=tls_context(), limits=limits, headers={"user-agent": f"agentbay-python/{VERSION}"})

    def rpc(
        self,
        action: str,
        params: Mapping[str, object],
        read_timeout: int | None = None,
        connect_timeout: int | None = None,
    ) -> Reply:
        """Perform one action at the endpoint. Time limits are in milliseconds."""
        form = {"Authorization": f"Bearer {self.settings.api_key}", **parameters(params)}
        query = {"Action": action, "Format": "json", "Version": API_VERSION}
        timeout = self._timeout(read_timeout, connect_timeout)
        try:
            answer = self.http.client().post(
                self.settings.url, params=query, data=form, timeout=timeout
            )
            reply = read_reply(answer.status_code, answer.content)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reply = Reply(message=self._unreachable(action, self.settings.url, error))
        log_call(action, reply.request_id, reply.error, _details(params))
        return reply

    def rpc_tool(
        self, params: Mapping[str, object], read_timeout: int | None, connect_timeout: int | None
    ) -> McpToolResult:
        """Call a tool through the endpoint."""
        return rpc_tool_result(self.rpc("CallMcpTool", params, read_timeout, connect_timeout))

    def link_tool(
        self,
        url: str,
        token: str,
        call: Mapping[str, Any],
        read_timeout: int | None,
        connect_timeout: int | None,
    ) -> McpToolResult:
        """Call a tool through a session's link."""
        request_id = new_link_request_id()
        body = {**call, "requestId": request_id, "token": token}
        timeout = self._timeout(read_timeout or LINK_TIMEOUT_MS, connect_timeout)
        target = url.removesuffix("/") + "/callTool"
        try:
            answer = self.http.client().post(
                target, json=body, headers={"X-Access-Token": token}, timeout=timeout
            )
            result = link_tool_result(request_id, answer.status_code, answer.content)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            result = McpToolResult(request_id, False, "", self._unreachable(str(call["tool"]), target, error))
        log_call(str(call["tool"]), result.request_id, result.error_message, {})
        return result

    def _timeout(self, read_ms: int | None, connect_ms: int | None) -> httpx.Timeout:
        default = self.settings.timeout_ms
        read = min(read_ms or default, LONGEST_TIMEOUT_MS) / 1000
        return httpx.Timeout(read, connect=(connect_ms or default) / 1000, pool=None)

    @staticmethod
    def _unreachable(what: str, url: str, error: Exception) -> str:
        host = httpx.URL(url).netloc.decode()
        if isinstance(error, httpx.TimeoutException):
            return f"{what} at {host} timed out ({type(error).__name__}); a longer timeout can be configured"
        return f"the bay at {host} cannot be reached: {error or type(error).__name__}"


_PRIVATE = {"Args", "PersistenceDataList", "BrowserOption", "SdkStats", "Option"}


def _details(params: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in params.items() if value is not None and name not in _PRIVATE}
