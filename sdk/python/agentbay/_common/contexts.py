"""Contexts, their files and states, and what is said of moving them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .results import ApiResponse, OperationResult


@dataclass
class Context:
    """A persistent directory."""

    id: str
    name: str
    created_at: str | None = None
    last_used_at: str | None = None

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Context:
        """Read a context of the wire."""
        return cls(
            str(data.get("Id") or ""),
            str(data.get("Name") or ""),
            data.get("CreateTime"),
            data.get("LastUsedTime"),
        )


def context_id_of(context: Context | str) -> str:
    """The ID of a context; wherever an ID is asked for, the context itself will do."""
    return context.id if isinstance(context, Context) else context


@dataclass
class ContextResult(ApiResponse):
    """A context, if success."""

    success: bool = False
    context_id: str = ""
    context: Context | None = None
    error_message: str = ""


@dataclass
class ContextListResult(ApiResponse):
    """One page of contexts, newest first."""

    success: bool = False
    contexts: list[Context] = field(default_factory=list)
    next_token: str | None = None
    max_results: int | None = None
    total_count: int | None = None
    error_message: str = ""


@dataclass
class ContextListParams:
    """Which page of contexts to list; with a session ID, only those it mounts."""

    max_results: int | None = None
    next_token: str | None = None
    session_id: str | None = None


@dataclass
class ContextFileEntry:
    """A file or directory in a context; file_type is FOLDER for a directory."""

    file_id: str
    file_name: str
    file_path: str
    file_type: str | None = None
    gmt_create: str | None = None
    gmt_modified: str | None = None
    size: int | None = None
    status: str | None = None

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> ContextFileEntry:
        """Read an entry of the wire."""
        return cls(
            str(data.get("FileId") or ""),
            str(data.get("FileName") or ""),
            str(data.get("FilePath") or ""),
            data.get("FileType"),
            data.get("GmtCreate"),
            data.get("GmtModified"),
            data.get("Size"),
            data.get("Status"),
        )


@dataclass
class ContextFileListResult(ApiResponse):
    """One page of a directory in a context; count is of all its entries."""

    success: bool = False
    entries: list[ContextFileEntry] = field(default_factory=list)
    count: int | None = None
    error_message: str = ""


@dataclass
class FileUrlResult(ApiResponse):
    """A URL that needs no key, and when it expires, in seconds since 1970."""

    success: bool = False
    url: str = ""
    expire_time: int | None = None
    error_message: str = ""


@dataclass
class ClearContextResult(OperationResult):
    """How far clearing is: status is clearing, then available."""

    status: str | None = None
    context_id: str | None = None


@dataclass
class ContextSnapshot:
    """A state that a context had, and what made it."""

    id: str
    created_at: str = ""
    reason: str = ""
    session_id: str = ""
    files: int = 0
    size: int = 0
    current: bool = False

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> ContextSnapshot:
        """Read a snapshot of the wire."""
        return cls(
            str(data.get("SnapshotId") or ""),
            str(data.get("CreateTime") or ""),
            str(data.get("Reason") or ""),
            str(data.get("SessionId") or ""),
            int(data.get("FileCount") or 0),
            int(data.get("Bytes") or 0),
            data.get("Current") is True,
        )


@dataclass
class ContextHistoryResult(ApiResponse):
    """The states of a context that are kept, newest first."""

    success: bool = False
    snapshots: list[ContextSnapshot] = field(default_factory=list)
    error_message: str = ""


@dataclass
class ContextStatusData:
    """The last movement of a context's files in one direction.

    status is Success or Failed once it is over; task_type is upload, which is
    from the session to the context, or download. files and bytes are what was
    moved so far, of total_bytes as far as that is known.
    """

    context_id: str = ""
    path: str = ""
    error_message: str = ""
    status: str = ""
    start_time: int = 0
    finish_time: int = 0
    task_type: str = ""
    files: int = 0
    bytes: int = 0
    total_bytes: int = 0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ContextStatusData:
        """Read a status of the wire."""
        return cls(
            str(data.get("contextId") or ""),
            str(data.get("path") or ""),
            str(data.get("errorMessage") or ""),
            str(data.get("status") or ""),
            int(data.get("startTime") or 0),
            int(data.get("finishTime") or 0),
            str(data.get("taskType") or ""),
            int(data.get("files") or 0),
            int(data.get("bytes") or 0),
            int(data.get("totalBytes") or 0),
        )

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status in ("Success", "Failed")


def parse_status(text: str) -> list[ContextStatusData]:
    """Read a context status: a JSON array of parts, whose data is JSON text of an array.

    Raises ValueError for anything else; no text is no status.
    """
    found = []
    for part in _objects(json.loads(text or "[]")):
        if part.get("type") == "data":
            items = _objects(json.loads(part.get("data") or "[]"))
            found += [ContextStatusData.from_dict(item) for item in items]
    return found


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("not an array of objects")
    return value


def failures(tasks: Iterable[ContextStatusData]) -> str:
    """What went wrong in tasks, by path; empty if nothing did."""
    failed = (task for task in tasks if task.status == "Failed")
    return "; ".join(f"{t.path}: {t.error_message or 'the bay does not say why'}" for t in failed)


def same_path(a: str, b: str) -> bool:
    """Whether two paths are equal but for a slash at the end."""
    return a.rstrip("/\\") == b.rstrip("/\\")


@dataclass
class ContextInfoResult(ApiResponse):
    """How far the contexts of a session are."""

    success: bool = True
    context_status_data: list[ContextStatusData] = field(default_factory=list)
    error_message: str = ""


@dataclass
class ContextSyncResult(ApiResponse):
    """Whether the files were moved, or with a callback whether that was begun."""

    success: bool = False
    error_message: str = ""


@dataclass
class ContextBinding:
    """A context that a session mounts; policy is JSON."""

    context_id: str = ""
    context_name: str = ""
    path: str = ""
    policy: str = ""
    bind_time: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ContextBinding:
        """Read a binding of the wire."""
        names = ("ContextId", "ContextName", "Path", "Policy", "BindTime")
        return cls(*(str(data.get(name) or "") for name in names))


@dataclass
class ContextBindResult(ApiResponse):
    """Whether contexts were mounted."""

    success: bool = False
    error_message: str = ""


@dataclass
class ContextBindingsResult(ApiResponse):
    """What a session mounts."""

    success: bool = False
    bindings: list[ContextBinding] = field(default_factory=list)
    error_message: str = ""
