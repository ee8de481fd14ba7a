# Written by tools/make_sync.py from agentbay/_async/transfer.py; change that file instead.
"""Files between this computer and a session, at any size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import httpx

from .._common.contexts import FileUrlResult, failures
from .._common.exceptions import FileError
from .._common.transfer import (
    PIECE,
    DownloadResult,
    OnProgress,
    Progress,
    UploadResult,
    check_source,
    check_target,
    new_file,
)
from .._common.wire import LINK_TIMEOUT_MS
from . import _io
from .context_manager import Wait

if TYPE_CHECKING:
    from .client import AgentBay
    from .session import Session

_REASON = 2000
_BYTES_PER_SECOND = 10_000_000


class FileTransfer:
    """Moves files through a hidden context: by URL here, and by a sync in the session."""

    def __init__(self, agent_bay: AgentBay, session: Session) -> None:
        self.agent_bay = agent_bay
        self.session = session
        self._context_id = ""
        self._context_path = ""

    def context_path(self) -> str | None:
        """The directory that stands for the hidden context in the session, if there is one."""
        try:
            self._context()
        except FileError:
            return None
        return self._context_path or None

    def upload(
        self,
        local_path: str,
        remote_path: str,
        *,
        content_type: str | None = None,
        wait: bool = True,
        wait_timeout: float = 30.0,
        poll_interval: float = 1.5,
        progress_cb: OnProgress | None = None,
    ) -> UploadResult:
        """Write a local file to a path in the session; see FileSystem.upload_file."""
        result = UploadResult(path=remote_path)
        try:
            check_source(local_path)
            context_id = self._context()
            with open(local_path, "rb") as file:
                self._put(file, context_id, content_type, Progress(progress_cb), result)
            move = _Move(context_id, remote_path, "download")
            result.request_id_sync = self._begin(move)
            if wait:
                patience = wait_timeout + result.bytes_sent / _BYTES_PER_SECOND
                error = self._end(move, patience, poll_interval)
                self._forget(move)
                _raise(error)
            result.success = True
        except (FileError, OSError, httpx.HTTPError, httpx.InvalidURL) as error:
            result.error_message = str(error) or type(error).__name__
        return result

    def download(
        self,
        remote_path: str,
        local_path: str,
        *,
        overwrite: bool = True,
        wait: bool = True,
        wait_timeout: float = 300.0,
        poll_interval: float = 1.5,
        progress_cb: OnProgress | None = None,
    ) -> DownloadResult:
        """Write a file of the session to a local path; see FileSystem.download_file."""
        result = DownloadResult(path=remote_path, local_path=local_path)
        try:
            check_target(local_path, overwrite)
            context_id = self._context()
            move = _Move(context_id, remote_path, "upload")
            result.request_id_sync = self._begin(move)
            if wait:
                _raise(self._end(move, wait_timeout, poll_interval))
            try:
                self._get(context_id, overwrite, Progress(progress_cb), result)
            finally:
                if wait:
                    self._forget(move)
            result.success = True
        except (FileError, OSError, httpx.HTTPError, httpx.InvalidURL) as error:
            result.error_message = str(error) or type(error).__name__
        return result

    def _context(self) -> str:
        """The hidden context's ID; it is made when it is first asked for."""
        if self._context_id:
            return self._context_id
        params = {"ContextTypes.1": "file_transfer"}
        reply = self.session._rpc("GetAndLoadInternalContext", params)
        found = reply.data if reply.success and isinstance(reply.data, list) else []
        for item in found:
            self._context_id = str(item.get("ContextId") or "")
            self._context_path = str(item.get("ContextPath") or "")
        if not self._context_id:
            error = reply.error or "the bay's answer holds no context"
            raise FileError(f"files cannot be transferred: {error} ({reply.request_id})")
        return self._context_id

    def _put(
        self,
        file: BinaryIO,
        context_id: str,
        content_type: str | None,
        progress: Progress,
        result: UploadResult,
    ) -> None:
        place = self.agent_bay.context.get_file_upload_url(context_id, result.path)
        result.request_id_upload_url = place.request_id
        size = os.fstat(file.fileno()).st_size
        headers = {"Content-Length": str(size)}
        if content_type:
            headers["Content-Type"] = content_type
        body = _pieces(file, size, progress)
        try:
            answer = self._http.put(_url(place), content=body, headers=headers, timeout=self._timeout)
        finally:
            result.bytes_sent = progress.total
        result.http_status, result.etag = answer.status_code, answer.headers.get("ETag")
        if answer.status_code not in (200, 201, 204):
            raise _refusal("uploaded", answer.status_code, answer.content[:_REASON])
        progress.tell()

    def _get(
        self, context_id: str, overwrite: bool, progress: Progress, result: DownloadResult
    ) -> None:
        place = self.agent_bay.context.get_file_download_url(context_id, result.path)
        result.request_id_download_url = place.request_id
        headers = {"Accept-Encoding": "identity"}
        with self._http.stream(
            "GET", _url(place), headers=headers, timeout=self._timeout, follow_redirects=True
        ) as answer:
            result.http_status = answer.status_code
            if answer.status_code != 200:
                raise _refusal("downloaded", answer.status_code, _first(answer))
            with new_file(result.local_path, overwrite) as file:
                for piece in answer.iter_raw(PIECE):
                    _io.blocking(file.write, piece)
                    progress.add(len(piece))
                    result.bytes_received = progress.total
        progress.tell()

    def _begin(self, move: _Move) -> str:
        params = {"ContextId": move.context_id, "Path": move.path, "Mode": move.mode}
        reply = self.session._rpc("SyncContext", params)
        if not reply.success:
            raise FileError(f"{move.path} cannot be transferred: {reply.error} ({reply.request_id})")
        return reply.request_id

    def _end(self, move: _Move, patience: float, longest_pause: float) -> str:
        """Wait for the end of a move; returns why it failed, and raises if it goes on."""
        wait = Wait(move.mode, patience, longest_pause, move.context_id, move.path)
        tasks, error = self.session.context._until_ended(wait)
        mine = [t for t in tasks if (t.context_id, t.path) == (move.context_id, move.path)]
        if error or not mine:
            raise FileError(f"{move.path} is not known to be transferred: {error or 'no trace of it'}")
        return failures(mine)

    def _forget(self, move: _Move) -> None:
        """Do not keep the file in the hidden context. What stays does no harm."""
        self.agent_bay.context.delete_file(move.context_id, move.path)

    @property
    def _http(self) -> httpx.Client:
        return self.agent_bay.transport.http.client()

    @property
    def _timeout(self) -> httpx.Timeout:
        """How long the other side may be silent; the transfer as a whole may take any time."""
        connect = self.agent_bay.transport.settings.timeout_ms / 1000
        return httpx.Timeout(LINK_TIMEOUT_MS / 1000, connect=connect, pool=None)


class _Move:
    """One file on its way between the hidden context and the session; mode is as in a sync."""

    def __init__(self, context_id: str, path: str, mode: str) -> None:
        self.context_id, self.path, self.mode = context_id, path, mode


def _pieces(file: BinaryIO, size: int, progress: Progress) -> Iterator[bytes]:
    """The first size bytes of a file. What is appended meanwhile is not sent."""
    while progress.total < size:
        piece = _io.blocking(file.read, min(PIECE, size - progress.total))
        if not piece:
            raise FileError(f"{file.name} became shorter while it was read")
        yield piece
        progress.add(len(piece))


def _url(place: FileUrlResult) -> str:
    if not place.success:
        raise FileError(f"there is no URL for the file: {place.error_message} ({place.request_id})")
    return place.url


def _first(answer: httpx.Response) -> bytes:
    """The beginning of a body."""
    for piece in answer.iter_raw(_REASON):
        return piece
    return b""


def _raise(error: str) -> None:
    if error:
        raise FileError(f"the file cannot be transferred: {error}")


def _refusal(what: str, status: int, reason: bytes) -> FileError:
    said = reason.decode("utf-8", "replace").strip()
    return FileError(f"the file was not {what}: HTTP status {status}{': ' if said else ''}{said}")
