"""Commands in a session."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .._common.results import CommandResult, McpToolResult

if TYPE_CHECKING:
    from .session import AsyncSession


class AsyncCommand:
    """Runs command lines with the session's shell."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def execute_command(
        self,
        command: str,
        timeout_ms: int = 50000,
        cwd: str | None = None,
        envs: dict[str, str] | None = None,
    ) -> CommandResult:
        """Run a command line and wait for it.

        It and all it started in the foreground is killed after timeout_ms.
        envs hold for this command only; a key or value that is no string is a
        ValueError.
        """
        _check_envs(envs)
        args: dict[str, Any] = {"command": command, "timeout_ms": timeout_ms}
        if cwd is not None:
            args["cwd"] = cwd
        if envs:
            args["envs"] = envs
        return _command_result(await self.session._call("shell", args, time_limit_ms=timeout_ms))

    async def run(
        self,
        command: str,
        timeout_ms: int = 50000,
        cwd: str | None = None,
        envs: dict[str, str] | None = None,
    ) -> CommandResult:
        """The same as execute_command."""
        return await self.execute_command(command, timeout_ms, cwd, envs)

    async def exec(
        self,
        command: str,
        timeout_ms: int = 50000,
        cwd: str | None = None,
        envs: dict[str, str] | None = None,
    ) -> CommandResult:
        """The same as execute_command."""
        return await self.execute_command(command, timeout_ms, cwd, envs)


def _check_envs(envs: dict[str, str] | None) -> None:
    bad = {k: v for k, v in (envs or {}).items() if not isinstance(k, str) or not isinstance(v, str)}
    if bad:
        raise ValueError(f"Invalid environment variables: keys and values must be strings, not {bad!r}")


def _command_result(answer: McpToolResult) -> CommandResult:
    """Read what the shell tool says: JSON, or a sentence if the command did not run to its end."""
    text = answer.data if answer.success else answer.error_message
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        if answer.success:
            return CommandResult(answer.request_id, True, text, stdout=text)
        return CommandResult(answer.request_id, False, error_message=text, exit_code=-1)
    stdout, stderr = str(body.get("stdout") or ""), str(body.get("stderr") or "")
    code = int(body.get("exit_code") or body.get("errorCode") or 0)
    success = answer.success and code == 0
    return CommandResult(
        answer.request_id,
        success,
        output=stdout + stderr,
        error_message="" if success else stderr or text,
        exit_code=code,
        stdout=stdout,
        stderr=stderr,
        trace_id="" if success else str(body.get("traceId") or ""),
    )
