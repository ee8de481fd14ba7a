"""What a model is asked to do on a page, and its answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .exceptions import BrowserError
from .wire import given

DEFAULT_PATIENCE = 300.0
"""Seconds that a task may take if its options do not say."""


@dataclass
class ActOptions:
    """What to do on a page, in words.

    %name% in action stands for the value of that variable, which the model does
    not see. timeout is in seconds, and so is help_timeout: how long the people at
    the screen may take whom the model asks for help; without it, it asks nobody.
    """

    action: str
    variables: dict[str, str] | None = None
    use_vision: bool | None = None
    timeout: float | None = None
    help_timeout: float | None = None


@dataclass
class ActResult:
    """Whether it was done, and by what steps."""

    success: bool
    message: str


@dataclass
class ObserveOptions:
    """What to look for on a page, in words. timeout is in seconds."""

    instruction: str
    use_vision: bool | None = None
    selector: str | None = None
    timeout: float | None = None


@dataclass
class ObserveResult:
    """Something on a page, and what can be done with it; act does that without a model."""

    selector: str
    description: str
    method: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class ExtractOptions:
    """What to read from a page.

    schema is a JSON schema, or a Pydantic model, of which extract then returns an
    instance. max_page is on how many pages of a list to read. timeout is in seconds.
    """

    instruction: str
    schema: Any
    use_text_extract: bool | None = None
    use_vision: bool | None = None
    selector: str | None = None
    timeout: float | None = None
    max_page: int = 1

    def schema_text(self) -> str:
        """The schema as the wire has it."""
        schema = self.schema
        if hasattr(schema, "model_json_schema"):
            schema = schema.model_json_schema()
        return "schema: " + (schema if isinstance(schema, str) else json.dumps(schema))

    def read(self, text: str) -> Any:
        """What was extracted, as the schema has it."""
        value = read_json(text)
        return self.schema.model_validate(value) if hasattr(self.schema, "model_validate") else value


def task_args(page_id: str | None, **args: Any) -> dict[str, Any]:
    """The arguments of a tool that works on a page, without those that are not given."""
    return given(page_id=page_id, **args)


def action_args(action: ActOptions | ObserveResult, page_id: str | None) -> dict[str, Any]:
    """The arguments of an action, in words or as it was observed."""
    if isinstance(action, ObserveResult):
        return task_args(
            page_id, action=json.dumps({"method": action.method, "arguments": action.arguments})
        )
    return task_args(
        page_id,
        action=action.action,
        variables=action.variables,
        use_vision=action.use_vision,
        timeout=action.timeout,
        help_timeout=action.help_timeout,
    )


def read_json(text: str) -> Any:
    """What a tool answers, which is JSON."""
    try:
        return json.loads(text)
    except ValueError as e:
        raise BrowserError(f"the bay's answer is no JSON: {e}") from e


def task_of(text: str) -> str:
    """The task that a tool has begun."""
    task = read_json(text)
    if not isinstance(task, dict) or not isinstance(task.get("task_id"), str):
        raise BrowserError("the bay's answer names no task")
    return str(task["task_id"])


def act_result(text: str) -> ActResult | None:
    """What has come of an action; None while it is under way."""
    answer = read_json(text)
    if not isinstance(answer, dict) or not answer.get("is_done"):
        return None
    steps = answer.get("steps") or "No actions have been executed."
    message = steps if isinstance(steps, str) else json.dumps(steps, ensure_ascii=False)
    return ActResult(answer.get("success") is True, message)


def observations(text: str) -> list[ObserveResult]:
    """What was found on a page."""
    answer = read_json(text)
    if not isinstance(answer, list):
        raise BrowserError("the bay's answer is no list")
    return [_observation(item) for item in answer if isinstance(item, dict)]


def _observation(item: dict[str, Any]) -> ObserveResult:
    arguments = item.get("arguments") or {}
    if isinstance(arguments, str):
        arguments = read_json(arguments)
    return ObserveResult(
        str(item.get("selector", "")), str(item.get("description", "")), str(item.get("method", "")), arguments
    )
