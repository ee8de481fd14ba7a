"""What tasks of agents answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .results import ApiResponse, McpToolResult

RUNNING = "running"
FINISHED = "finished"
FAILED = "failed"


@dataclass
class ExecutionResult(ApiResponse):
    """How a task has begun or ended. task_result is its answer: text, or JSON as its schema has it."""

    success: bool = False
    error_message: str = ""
    task_id: str = ""
    task_status: str = ""
    task_result: str = ""


@dataclass
class QueryResult(ApiResponse):
    """How far a task is: running, finished or failed. task_action was done last, and error is why it failed."""

    success: bool = False
    error_message: str = ""
    task_id: str = ""
    task_status: str = ""
    task_action: str = ""
    task_product: str = ""
    error: str = ""


def schema_text(schema: Any) -> str | None:
    """The schema of an answer as the wire has it: a JSON schema, its text, or a Pydantic model."""
    if schema is None or isinstance(schema, str):
        return schema
    return json.dumps(schema.model_json_schema() if hasattr(schema, "model_json_schema") else schema)


def query_result(answer: McpToolResult) -> QueryResult:
    """Read how far a task is."""
    if not answer.success:
        return QueryResult(answer.request_id, error_message=answer.error_message)
    told = json.loads(answer.data)
    return QueryResult(
        answer.request_id,
        True,
        task_id=str(told.get("task_id") or ""),
        task_status=str(told.get("status") or ""),
        task_action=str(told.get("action") or ""),
        task_product=str(told.get("product") or ""),
        error=str(told.get("error") or ""),
    )
