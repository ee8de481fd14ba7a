"""What is done on the pages of a session's browser without a client of DevTools."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .._common.exceptions import BrowserError
from .._common.operator import (
    DEFAULT_PATIENCE,
    ActOptions,
    ActResult,
    ExtractOptions,
    ObserveOptions,
    ObserveResult,
    act_result,
    action_args,
    observations,
    task_args,
    task_of,
)
from .._common.results import McpToolResult
from .looks import looks

if TYPE_CHECKING:
    from .browser import AsyncBrowser

T = TypeVar("T")

_LONGEST_PAUSE = 1.0
_PAGE_LIMIT_MS = 70_000


class AsyncBrowserOperator:
    """Goes to pages, takes pictures of them, and has a model act on them, search and read them.

    A page is named by the target ID that DevTools have of it; without one it is
    the page that was active last. What fails raises BrowserError, unless a method
    says otherwise.
    """

    def __init__(self, browser: AsyncBrowser) -> None:
        self._browser = browser

    async def navigate(self, url: str) -> str:
        """Go to an address, and return a sentence about where the page has come to, or why it has not."""
        answer = await self._call("navigate", {"url": url}, _PAGE_LIMIT_MS)
        return answer.data if answer.success else f"Navigation failed: {answer.error_message}"

    async def screenshot(
        self,
        page: str | None = None,
        full_page: bool = True,
        quality: int = 80,
        clip: dict[str, float] | None = None,
        timeout: float | None = None,
    ) -> str:
        """Take a picture of all of a page, of what is shown of it or of a part; return a PNG as a data URL.

        quality is ignored, as a PNG loses nothing. timeout is in seconds.
        """
        args = task_args(page, full_page=full_page, quality=quality, clip=clip, timeout=timeout)
        answer = await self._call("screenshot", args, int((timeout or 60) * 1000))
        return self._text(answer, "take a picture")

    async def pdf(
        self,
        page: str | None = None,
        format: str | None = None,
        landscape: bool = False,
        print_background: bool = False,
        page_ranges: str | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """Print a page; format is "a4", unless it is a3, a5, letter, legal or tabloid. timeout is in seconds."""
        args = task_args(
            page,
            format=format,
            landscape=landscape,
            print_background=print_background,
            page_ranges=page_ranges,
            timeout=timeout,
        )
        text = self._text(await self._call("pdf", args, int((timeout or 60) * 1000)), "print")
        return base64.b64decode(text.removeprefix("data:application/pdf;base64,"))

    async def close(self) -> bool:
        """Close the active page; the browser stays open."""
        return (await self._call("close_session", {})).success

    async def act(self, action: ActOptions | ObserveResult, page: str | None = None) -> ActResult:
        """Have a model do something on a page, or do what observe has found."""
        text = self._text(await self._call("act_async", action_args(action, page)), "act")
        patience = action.timeout if isinstance(action, ActOptions) else None
        return await self._wait("act", task_of(text), patience, act_result)

    async def observe(
        self, options: ObserveOptions, page: str | None = None
    ) -> tuple[bool, list[ObserveResult]]:
        """Have a model find what can be acted upon; return whether there is anything, and what."""
        args = task_args(
            page,
            instruction=options.instruction,
            use_vision=options.use_vision,
            selector=options.selector,
            timeout=options.timeout,
        )
        text = self._text(await self._call("observe_async", args), "observe")
        found = await self._wait("observe", task_of(text), options.timeout, observations)
        return bool(found), found

    async def extract(self, options: ExtractOptions, page: str | None = None) -> tuple[bool, Any]:
        """Have a model read a page; return True, and what it has read as the schema has it."""
        args = task_args(
            page,
            instruction=options.instruction,
            field_schema=options.schema_text(),
            use_text_extract=options.use_text_extract,
            use_vision=options.use_vision,
            selector=options.selector,
            timeout=options.timeout,
            max_page=options.max_page,
        )
        text = self._text(await self._call("extract_async", args), "extract")
        return True, await self._wait("extract", task_of(text), options.timeout, options.read)

    async def login(self, login_config: str, use_vision: bool = False, page: str | None = None) -> ActResult:
        """Always no success: a bay has no service that logs in by a skill. The message says what to use instead."""
        answer = await self._call("login", task_args(page, login_config=login_config, use_vision=use_vision))
        return ActResult(answer.success, answer.data or answer.error_message)

    async def _call(self, what: str, args: dict[str, Any], limit_ms: int = 0) -> McpToolResult:
        if not self._browser.is_initialized():
            raise BrowserError(f"Browser must be initialized before calling {what}.")
        return await self._browser.session._call("page_use_" + what, args, limit_ms)

    def _text(self, answer: McpToolResult, what: str) -> str:
        if not answer.success:
            raise BrowserError(f"Failed to {what}: {answer.error_message}")
        return answer.data

    async def _wait(
        self, what: str, task: str, patience: float | None, read: Callable[[str], T | None]
    ) -> T:
        """Wait until a task is done."""
        patience = patience or DEFAULT_PATIENCE
        async for _ in looks(patience, _LONGEST_PAUSE):
            answer = await self._call(f"get_{what}_result", {"task_id": task})
            if answer.success:
                result = read(answer.data)
                if result is not None:
                    return result
            elif not answer.error_message.endswith("is still under way"):
                raise BrowserError(f"Failed to {what}: {answer.error_message}")
        raise BrowserError(f"Failed to {what}: task {task} is not done after {patience:.0f} s")
