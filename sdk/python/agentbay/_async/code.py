"""Code in a session."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._common.code import (
    EnhancedCodeExecutionResult,
    finish,
    language_of,
    parse_code_result,
    parse_value,
)
from .._common.wire import ANSWER_GRACE_MS, LONGEST_TIMEOUT_MS
from .socket import SocketError

if TYPE_CHECKING:
    from .session import AsyncSession


class AsyncCode:
    """Runs code in interpreters that live as long as the session."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def run_code(
        self,
        code: str,
        language: str,
        timeout_s: int = 60,
        stream_beta: bool = False,
        on_stdout: Callable[[str], None] | None = None,
        on_stderr: Callable[[str], None] | None = None,
        on_error: Callable[[Any], None] | None = None,
    ) -> EnhancedCodeExecutionResult:
        """Run a piece of Python, JavaScript, R or Java and wait for it.

        It is interrupted after timeout_s. With stream_beta, on_stdout and
        on_stderr get what it prints as it prints it, and on_error what went
        wrong; a callback that raises, WsCancelledError for instance, ends the
        run, and its exception is the caller's.
        """
        known = language_of(language) if isinstance(language, str) else None
        if known is None:
            error = f"Unsupported language: {language}. Supported languages: python, javascript, r, java"
            return EnhancedCodeExecutionResult(error_message=error, success=False)
        if stream_beta:
            run = _Run(on_stdout, on_stderr, on_error)
            return await self._stream(code, known, timeout_s, run)
        args = {"code": code, "language": known, "timeout_s": timeout_s}
        return parse_code_result(await self.session._call("run_code", args, time_limit_ms=timeout_s * 1000))

    async def run(
        self,
        code: str,
        language: str,
        timeout_s: int = 60,
        stream_beta: bool = False,
        on_stdout: Callable[[str], None] | None = None,
        on_stderr: Callable[[str], None] | None = None,
        on_error: Callable[[Any], None] | None = None,
    ) -> EnhancedCodeExecutionResult:
        """The same as run_code."""
        return await self.run_code(code, language, timeout_s, stream_beta, on_stdout, on_stderr, on_error)

    async def execute(
        self,
        code: str,
        language: str,
        timeout_s: int = 60,
        stream_beta: bool = False,
        on_stdout: Callable[[str], None] | None = None,
        on_stderr: Callable[[str], None] | None = None,
        on_error: Callable[[Any], None] | None = None,
    ) -> EnhancedCodeExecutionResult:
        """The same as run_code."""
        return await self.run_code(code, language, timeout_s, stream_beta, on_stdout, on_stderr, on_error)

    async def _stream(
        self, code: str, language: str, timeout_s: int, run: _Run
    ) -> EnhancedCodeExecutionResult:
        params = {"language": language, "timeoutS": timeout_s, "code": code}
        target = self.session._server_of("run_code") or "wuying_codespace"
        limit = min(timeout_s * 1000 + ANSWER_GRACE_MS, LONGEST_TIMEOUT_MS)
        deadline = time.monotonic() + limit / 1000
        try:
            async with await self.session._open_socket() as socket:
                data = {"method": "run_code", "mode": "stream", "params": params}
                invocation = await socket.send(target, data)
                run.result.request_id = socket.request_id or invocation
                while not run.ended:
                    reply = await socket.reply(invocation, deadline - time.monotonic())
                    if reply is not None:
                        run.take(reply)
                    elif time.monotonic() >= deadline:
                        raise SocketError(f"[timeout] no end of the run within {timeout_s} s")
        except SocketError as error:
            run.fail(error)
        return run.result


class _Run:
    """A streamed run so far."""

    def __init__(
        self,
        on_stdout: Callable[[str], None] | None,
        on_stderr: Callable[[str], None] | None,
        on_error: Callable[[Any], None] | None,
    ) -> None:
        self.result = EnhancedCodeExecutionResult()
        self.ended = False
        self._on_error = on_error
        self._error: dict[str, Any] = {}
        self._sinks = {
            "stdout": (self.result.logs.stdout, on_stdout),
            "stderr": (self.result.logs.stderr, on_stderr),
        }

    def take(self, data: dict[str, Any]) -> None:
        """Take one event, or the end."""
        if data.get("phase") == "end":
            self._end(data)
        elif data.get("phase") != "event":
            raise SocketError(f"the stream holds a message of unknown phase {data.get('phase')!r}")
        elif data.get("eventType") in self._sinks:
            self._print(str(data["eventType"]), str(data.get("chunk") or ""))
        elif data.get("eventType") == "result":
            value = parse_value(data.get("result"))
            self.result.results += [value] if value else []
        elif data.get("eventType") == "error":
            self._error = data["error"] if isinstance(data.get("error"), dict) else {}
            self._report(self._error)

    def _print(self, stream: str, chunk: str) -> None:
        chunks, callback = self._sinks[stream]
        chunks.append(chunk)
        if callback:
            callback(chunk)

    def _end(self, data: dict[str, Any]) -> None:
        self.ended = True
        failed = data.get("status") == "failed" or bool(self._error)
        message = data.get("executionError") or self._error.get("message")
        finish(self.result, {**self._error, **data, "executionError": message}, failed)

    def fail(self, error: SocketError) -> None:
        """The stream broke before the end."""
        self.result.success = False
        self.result.error_message = str(error)
        self._report(error)

    def _report(self, error: Any) -> None:
        if self._on_error:
            self._on_error(error)
