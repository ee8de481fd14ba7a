"""Contexts: persistent directories that sessions mount."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .results import ApiResponse


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
    """Which page of contexts to list."""

    max_results: int | None = None
    next_token: str | None = None
    session_id: str | None = None
