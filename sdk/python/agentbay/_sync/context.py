# Written by tools/make_sync.py from agentbay/_async/context.py; change that file instead.
"""Contexts: persistent directories that sessions mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._common.contexts import Context, ContextListParams, ContextListResult, ContextResult
from .._common.exceptions import AgentBayError
from .._common.results import OperationResult

if TYPE_CHECKING:
    from .client import AgentBay


class ContextService:
    """Finds, makes and removes contexts."""

    def __init__(self, agent_bay: AgentBay) -> None:
        self.agent_bay = agent_bay

    def list(self, params: ContextListParams | None = None) -> ContextListResult:
        """List contexts, newest first."""
        page = params or ContextListParams()
        reply = self.agent_bay.transport.rpc(
            "ListContexts",
            {
                "MaxResults": page.max_results or 10,
                "NextToken": page.next_token,
                "SessionId": page.session_id,
            },
        )
        found = reply.data if reply.success and isinstance(reply.data, list) else []
        return ContextListResult(
            reply.request_id,
            reply.success,
            [Context.from_wire(item) for item in found],
            reply.body.get("NextToken"),
            reply.body.get("MaxResults"),
            reply.body.get("TotalCount"),
            reply.error,
        )

    def get(
        self, name: str | None = None, create: bool = False, context_id: str | None = None
    ) -> ContextResult:
        """Get a context by name or by ID; with create, a name that is new is created."""
        if not name and not context_id:
            raise AgentBayError("Either name or context_id must be provided")
        if create and context_id:
            raise AgentBayError("context_id cannot be used with create; give a name")
        params = {"Name": name, "ContextId": context_id, "AllowCreate": create}
        region = self.agent_bay.transport.settings.region_id
        if create and region:
            params["LoginRegionId"] = region
        reply = self.agent_bay.transport.rpc("GetContext", params)
        data = reply.data if isinstance(reply.data, dict) else {}
        if not reply.success or not data.get("Id"):
            error = reply.error or f"context {name or context_id} not found"
            return ContextResult(reply.request_id, error_message=error)
        context = Context.from_wire({"Name": name, **data})
        return ContextResult(reply.request_id, True, context.id, context)

    def create(self, name: str) -> ContextResult:
        """Create a context, or get the one of that name."""
        return self.get(name, create=True)

    def update(self, context: Context) -> OperationResult:
        """Rename a context to its name member."""
        return self._change("ModifyContext", {"Id": context.id, "Name": context.name})

    def delete(self, context: Context) -> OperationResult:
        """Delete a context and all its data."""
        return self._change("DeleteContext", {"Id": context.id})

    def _change(self, action: str, params: dict[str, object]) -> OperationResult:
        reply = self.agent_bay.transport.rpc(action, params)
        return OperationResult(reply.request_id, reply.success, reply.success, reply.error)
