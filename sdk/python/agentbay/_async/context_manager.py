"""The contexts of a session: what is mounted, and what is moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._common.contexts import (
    ContextBinding,
    ContextBindingsResult,
    ContextBindResult,
    ContextInfoResult,
    ContextStatusData,
    ContextSyncResult,
    failures,
    parse_status,
    same_path,
)
from .._common.log import get_logger
from .._common.params import ContextSync
from .._common.wire import Reply
from . import _io
from .looks import looks

if TYPE_CHECKING:
    from .session import AsyncSession

_log = get_logger("context")

OnSync = Callable[[ContextSyncResult], object]
Tasks = list[ContextStatusData]

_BIND_TIMEOUT = 120.0
_DOWNLOAD_TIMEOUT = 600.0
_LONGEST_PAUSE = 1.0
_LONGEST_SYNC_PAUSE = 5.0
_BACK_OFF = 1.1


class AsyncContextManager:
    """Mounts contexts in a session, and moves files between it and them."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def bind(self, *contexts: ContextSync, wait_for_completion: bool = True) -> ContextBindResult:
        """Mount contexts in the running session.

        Unless told otherwise it waits until they are mounted and their files
        can be seen.
        """
        if not contexts:
            return ContextBindResult(error_message="No contexts provided")
        mounts = {"PersistenceDataList": [context.to_wire() for context in contexts]}
        reply = await self.session._rpc("BindContexts", mounts)
        error = reply.error
        if reply.success and wait_for_completion:
            error = await self._wait_until_bound(contexts) or await self._wait_for_downloads(contexts)
        return ContextBindResult(reply.request_id, not error, error)

    async def list_bindings(self) -> ContextBindingsResult:
        """List what the session mounts."""
        reply = await self.session._rpc("DescribeSessionContexts", {})
        found = reply.data if reply.success and isinstance(reply.data, list) else []
        bindings = [ContextBinding.from_dict(item) for item in found if isinstance(item, dict)]
        return ContextBindingsResult(reply.request_id, reply.success, bindings, reply.error)

    async def info(
        self, context_id: str | None = None, path: str | None = None, task_type: str | None = None
    ) -> ContextInfoResult:
        """Tell how far the last uploads and downloads are; task_type is upload or download."""
        reply, tasks, error = await self._ask(context_id, path, task_type)
        return ContextInfoResult(reply.request_id, not error, tasks, error)

    async def sync(
        self,
        context_id: str | None = None,
        path: str | None = None,
        mode: str | None = None,
        max_retries: int = 150,
        retry_interval: int = 500,
        *,
        callback: OnSync | None = None,
    ) -> ContextSyncResult:
        """Move files now, and wait until they are moved.

        mode is upload, from the session to the context and the default, or
        download. Without an ID and a path, everything that is mounted is moved.

        It waits as long as max_retries looks take whose intervals grow from
        retry_interval milliseconds by a tenth each, up to 5 s; in truth it looks
        more often at first. With a callback it does not wait: the callback gets
        the outcome, once.
        """
        request = {"ContextId": context_id, "Path": path, "Mode": mode}
        reply = await self.session._rpc("SyncContext", request)
        begun = ContextSyncResult(reply.request_id, reply.success, reply.error)
        patience = _patience(max_retries, retry_interval)
        wait = Wait((mode or "upload").lower(), patience, _LONGEST_SYNC_PAUSE, context_id, path)
        if callback is None:
            return await self._outcome(begun, wait)
        _io.in_background(lambda: self._tell(callback, begun, wait))
        return begun

    async def _tell(self, callback: OnSync, begun: ContextSyncResult, wait: Wait) -> None:
        outcome = await self._outcome(begun, wait)
        try:
            await _io.call_back(callback, outcome)
        except Exception:
            _log.exception("the callback of a sync failed")

    async def _outcome(self, begun: ContextSyncResult, wait: Wait) -> ContextSyncResult:
        if not begun.success:
            return begun
        tasks, error = await self._until_ended(wait)
        error = error or failures(await self._asked_for(wait, tasks))
        return ContextSyncResult(begun.request_id, not error, error)

    async def _asked_for(self, wait: Wait, tasks: Tasks) -> Tasks:
        """The tasks of a sync: others, of single paths, may have failed some time ago."""
        if wait.path or not failures(tasks):
            return tasks
        mounts = (await self.list_bindings()).bindings
        return [t for t in tasks if any(same_path(t.path, mount.path) for mount in mounts)]

    async def _wait_until_bound(self, contexts: Sequence[ContextSync]) -> str:
        """Wait until contexts are mounted; returns what went wrong."""
        wanted = {c.context_id for c in contexts}
        async for _ in looks(_BIND_TIMEOUT, _LONGEST_PAUSE):
            listed = await self.list_bindings()
            missing = wanted - {binding.context_id for binding in listed.bindings}
            if not missing:
                return ""
        late = f"not mounted after {_BIND_TIMEOUT:.0f} s: {', '.join(sorted(missing))}"
        return listed.error_message or late

    async def _wait_for_downloads(self, contexts: Sequence[ContextSync]) -> str:
        """Wait until the files of contexts can be seen; returns what went wrong."""
        waited = [c for c in contexts if c.beta_wait_for_completion is not False]
        if not waited:
            return ""
        ids = {c.context_id for c in waited}
        tasks, error = await self._until_ended(Wait("download", _DOWNLOAD_TIMEOUT, _LONGEST_PAUSE), ids)
        mine = (t for t in tasks if any(same_path(t.path, c.path) for c in waited))
        return error or failures(mine)

    async def _until_ended(self, wait: Wait, ids: set[str] | None = None) -> tuple[Tasks, str]:
        """Wait for the end of tasks, or those of some contexts.

        Returns them, or why their end is not known. A bay that cannot be
        reached is asked again.
        """
        error = ""
        async for _ in looks(wait.patience, wait.longest_pause):
            reply, found, error = await self._ask(wait.context_id, wait.path, wait.mode)
            tasks = [t for t in found if t.task_type == wait.mode and (ids is None or t.context_id in ids)]
            if not error and all(t.ended for t in tasks):
                return tasks, ""
            if error and (reply.refused or reply.success):
                break
            error = error or _unfinished(tasks, wait.patience)
        return [], error

    async def _ask(
        self, context_id: str | None, path: str | None, task_type: str | None
    ) -> tuple[Reply, Tasks, str]:
        """Ask for tasks; returns the reply, the tasks, and why there are none."""
        params = {"ContextId": context_id, "Path": path, "TaskType": task_type}
        reply = await self.session._rpc("GetContextInfo", params)
        data = reply.data if isinstance(reply.data, dict) else {}
        try:
            return reply, parse_status(str(data.get("ContextStatus") or "")), reply.error
        except (ValueError, TypeError) as error:
            return reply, [], f"Invalid context status: {error}"


@dataclass(frozen=True)
class Wait:
    """Tasks whose end is waited for, and how."""

    mode: str
    patience: float
    longest_pause: float
    context_id: str | None = None
    path: str | None = None


def _patience(max_retries: int, retry_interval: int) -> float:
    """Seconds that so many looks take."""
    seconds, pause = 0.0, retry_interval / 1000
    for _ in range(max_retries):
        seconds += pause
        pause = min(pause * _BACK_OFF, _LONGEST_SYNC_PAUSE)
    return seconds


def _unfinished(tasks: Tasks, patience: float) -> str:
    states = "; ".join(f"{t.path} is {t.status}" for t in tasks if not t.ended)
    return f"not done after {patience:.0f} s, and going on; wait longer: {states}"
