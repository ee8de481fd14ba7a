"""Agents that do tasks in a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._common.agent import FAILED, RUNNING, ExecutionResult, QueryResult, query_result, schema_text
from .._common.operator import task_args, task_of
from ..browser import BrowserOption
from .looks import looks

if TYPE_CHECKING:
    from .session import AsyncSession

_LONGEST_PAUSE = 1.0


class AsyncBrowserAgent:
    """Has the bay's model do tasks in the browser, which may lead over many pages and end with an answer."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def initialize(self, option: BrowserOption | None = None) -> bool:
        """Open the session's browser with these options. A task opens it with none, unless it is open."""
        return await self._session.browser.initialize(option)

    async def execute_task(
        self,
        task: str,
        use_vision: bool = False,
        output_schema: Any = None,
        full_page_screenshot: bool | None = False,
        help_timeout: float | None = None,
    ) -> ExecutionResult:
        """Begin a task, in words.

        output_schema is a JSON schema of its answer, or a Pydantic model; without it
        the answer is text. With use_vision the model sees pictures of the pages, too,
        and with full_page_screenshot of all of each. help_timeout is for how many
        seconds it may wait for a person whom it calls.
        """
        args = task_args(
            None,
            task=task,
            use_vision=use_vision,
            output_schema=schema_text(output_schema),
            full_page_screenshot=full_page_screenshot,
            help_timeout=help_timeout,
        )
        answer = await self._session._call("browser_use_execute_task", args)
        if not answer.success:
            return ExecutionResult(
                answer.request_id, error_message=answer.error_message, task_status=FAILED
            )
        return ExecutionResult(
            answer.request_id, True, task_id=task_of(answer.data), task_status=RUNNING
        )

    async def execute_task_and_wait(
        self,
        task: str,
        timeout: float = 300.0,
        use_vision: bool = False,
        output_schema: Any = None,
        full_page_screenshot: bool | None = False,
        help_timeout: float | None = None,
    ) -> ExecutionResult:
        """Do a task, and return its answer; after timeout seconds it is terminated."""
        begun = await self.execute_task(task, use_vision, output_schema, full_page_screenshot, help_timeout)
        if not begun.success:
            return begun
        async for _ in looks(timeout, _LONGEST_PAUSE):
            now = await self.get_task_status(begun.task_id)
            if not now.success or now.task_status != RUNNING:
                return _ended(begun, now)
        await self.terminate_task(begun.task_id)
        message = f"the task was not done within {timeout:.0f} s, and terminated"
        return ExecutionResult(begun.request_id, False, message, begun.task_id, FAILED)

    async def get_task_status(self, task_id: str) -> QueryResult:
        """How far a task is."""
        return query_result(
            await self._session._call("browser_use_get_task_status", {"task_id": task_id})
        )

    async def terminate_task(self, task_id: str) -> ExecutionResult:
        """End a task at once."""
        answer = await self._session._call("browser_use_terminate_task", {"task_id": task_id})
        now = query_result(answer)
        return ExecutionResult(now.request_id, now.success, now.error_message, task_id, now.task_status)


class AsyncAgent:
    """The agents of a session."""

    def __init__(self, session: AsyncSession) -> None:
        self.browser = AsyncBrowserAgent(session)


def _ended(begun: ExecutionResult, now: QueryResult) -> ExecutionResult:
    """How a task has ended."""
    ok = now.success and now.task_status != FAILED
    why = now.error_message or now.error
    return ExecutionResult(now.request_id, ok, why, begun.task_id, now.task_status or FAILED, now.task_product)
