# Written by tools/make_sync.py from agentbay/_async/context.py; change that file instead.
"""Contexts: persistent directories that sessions mount."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._common.contexts import (
    ClearContextResult,
    Context,
    ContextFileEntry,
    ContextFileListResult,
    ContextHistoryResult,
    ContextListParams,
    ContextListResult,
    ContextResult,
    ContextSnapshot,
    FileUrlResult,
    context_id_of,
)
from .._common.exceptions import AgentBayError, ClearanceTimeoutError
from .._common.results import OperationResult
from .._common.wire import Reply
from .looks import looks

if TYPE_CHECKING:
    from .client import AgentBay


class ContextService:
    """Finds, makes and removes contexts, and their files without a session.

    Where a context's ID is asked for, the context itself will do.
    """

    def __init__(self, agent_bay: AgentBay) -> None:
        self.agent_bay = agent_bay

    def list(self, params: ContextListParams | None = None) -> ContextListResult:
        """List contexts, newest first, by default 10."""
        page = params or ContextListParams()
        reply = self._rpc(
            "ListContexts",
            {
                "MaxResults": page.max_results or 10,
                "NextToken": page.next_token,
                "SessionId": page.session_id,
            },
        )
        return ContextListResult(
            reply.request_id,
            reply.success,
            [Context.from_wire(item) for item in _items(reply)],
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
        reply = self._rpc("GetContext", params)
        data = _object(reply)
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
        return self._change("DeleteContext", {"Id": context_id_of(context)})

    def get_file_upload_url(self, context_id: Context | str, file_path: str) -> FileUrlResult:
        """Get a URL to which one file can be PUT for an hour, without a key."""
        return self._url("GetContextFileUploadUrl", context_id, file_path)

    def get_file_download_url(self, context_id: Context | str, file_path: str) -> FileUrlResult:
        """Get a URL from which one file can be got for an hour, without a key."""
        return self._url("GetContextFileDownloadUrl", context_id, file_path)

    def list_files(
        self,
        context_id: Context | str,
        parent_folder_path: str,
        page_number: int = 1,
        page_size: int = 50,
    ) -> ContextFileListResult:
        """List what a directory of a context holds, not recursively. Pages count from 1."""
        params: dict[str, object] = {
            "ContextId": context_id_of(context_id),
            "ParentFolderPath": parent_folder_path,
            "PageNumber": page_number,
            "PageSize": page_size,
        }
        reply = self._rpc("DescribeContextFiles", params)
        entries = [ContextFileEntry.from_wire(item) for item in _items(reply)]
        return ContextFileListResult(
            reply.request_id, reply.success, entries, reply.body.get("Count"), reply.error
        )

    def delete_file(self, context_id: Context | str, file_path: str) -> OperationResult:
        """Delete a file of a context, or a directory with all it holds."""
        params = {"ContextId": context_id_of(context_id), "FilePath": file_path}
        return self._change("DeleteContextFile", params)

    def clear_async(self, context_id: Context | str) -> ClearContextResult:
        """Begin to remove all files of a context; a refusal raises AgentBayError."""
        known = context_id_of(context_id)
        reply = self._rpc("ClearContext", {"Id": known})
        if not reply.success:
            raise AgentBayError(f"Failed to clear context {known}: {reply.error} ({reply.request_id})")
        return ClearContextResult(reply.request_id, True, status="clearing", context_id=known)

    def start_clear(self, context_id: Context | str) -> ClearContextResult:
        """An older name of clear_async."""
        return self.clear_async(context_id)

    def get_clear_status(self, context_id: Context | str) -> ClearContextResult:
        """Ask how far clearing is: status is clearing, and available once it is done."""
        known = context_id_of(context_id)
        reply = self._rpc("GetContext", {"ContextId": known, "AllowCreate": False})
        return ClearContextResult(
            reply.request_id,
            reply.success,
            error_message=reply.error,
            code=reply.code,
            message=reply.message,
            http_status_code=reply.http_status,
            status=_object(reply).get("State"),
            context_id=known,
        )

    def clear(
        self, context_id: Context | str, timeout: int = 60, poll_interval: float = 2.0
    ) -> ClearContextResult:
        """Remove all files of a context and wait until they are gone.

        A refusal raises AgentBayError. ClearanceTimeoutError after timeout
        seconds does not end the clearing.
        """
        started = self.clear_async(context_id)
        for _ in looks(timeout, poll_interval):
            seen = self.get_clear_status(context_id)
            if not seen.success:
                raise AgentBayError(f"Failed to clear context {started.context_id}: {seen.error_message}")
            if seen.status != "clearing":
                return seen
        raise ClearanceTimeoutError(f"context {started.context_id} is still being cleared after {timeout} s")

    def history(self, context_id: Context | str) -> ContextHistoryResult:
        """List the states of a context that are kept, newest first."""
        reply = self._rpc("ListContextSnapshots", {"ContextId": context_id_of(context_id)})
        snapshots = [ContextSnapshot.from_wire(item) for item in _items(reply)]
        return ContextHistoryResult(reply.request_id, reply.success, snapshots, reply.error)

    def restore(self, context_id: Context | str, snapshot_id: ContextSnapshot | str) -> OperationResult:
        """Make a context's files what they were in a snapshot.

        The state before is in the history as well, so this can be undone.
        """
        snapshot = snapshot_id.id if isinstance(snapshot_id, ContextSnapshot) else snapshot_id
        params = {"ContextId": context_id_of(context_id), "SnapshotId": snapshot}
        return self._change("RestoreContext", params)

    def _url(self, action: str, context_id: Context | str, file_path: str) -> FileUrlResult:
        reply = self._rpc(action, {"ContextId": context_id_of(context_id), "FilePath": file_path})
        data = _object(reply)
        url = str(data.get("Url") or "")
        error = reply.error or ("" if url else "the bay's answer holds no URL")
        return FileUrlResult(reply.request_id, not error, url, data.get("ExpireTime"), error)

    def _change(self, action: str, params: Mapping[str, object]) -> OperationResult:
        reply = self._rpc(action, params)
        return OperationResult(
            reply.request_id,
            reply.success,
            reply.success,
            reply.error,
            reply.code,
            reply.message,
            reply.http_status,
        )

    def _rpc(self, action: str, params: Mapping[str, object]) -> Reply:
        return self.agent_bay.transport.rpc(action, params)


def _items(reply: Reply) -> Any:
    found = reply.data if reply.success and isinstance(reply.data, list) else []
    return (item for item in found if isinstance(item, dict))


def _object(reply: Reply) -> dict[str, Any]:
    return reply.data if reply.success and isinstance(reply.data, dict) else {}
