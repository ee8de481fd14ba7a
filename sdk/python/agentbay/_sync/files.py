# Written by tools/make_sync.py from agentbay/_async/files.py; change that file instead.
"""Files in a session."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload  # noqa: UP035  (list is a method here)

from .._common.files import (
    READ_WINDOW,
    WRITE_WINDOW,
    BinaryFileContentResult,
    DirectoryListResult,
    FileChangeEvent,
    FileChangeResult,
    FileContentResult,
    FileInfoResult,
    FileSearchResult,
    MultipleFileContentResult,
    parse_changes,
    parse_directory,
    parse_file_info,
    parse_files,
    parse_matches,
    windows,
)
from .._common.log import get_logger
from .._common.results import BoolResult, McpToolResult
from .._common.transfer import DownloadResult, OnProgress, UploadResult
from .._common.watch import WatchThread
from . import _io
from .socket import Socket, SocketError, answer_to
from .transfer import FileTransfer

if TYPE_CHECKING:
    from .session import Session

_log = get_logger("files")

Paths = list[str]
Edits = list[dict[str, str]]
OnChange = Callable[[list[FileChangeEvent]], None]

_MODES = ("overwrite", "append", "create_new")
_GONE = "InvalidMcpSession.NotFound"
_SUBSCRIBE_TIMEOUT = 15.0
_STOP_CHECK = 0.1


class FileSystem:
    """Reads, writes and watches files. Paths are absolute paths in the session."""

    DEFAULT_CHUNK_SIZE = READ_WINDOW
    MAX_CONTENT_BYTES = WRITE_WINDOW

    def __init__(self, session: Session) -> None:
        self.session = session
        self._transfer = FileTransfer(session.agent_bay, session)

    def create_directory(self, path: str) -> BoolResult:
        """Create a directory and its parents; an existing one is fine."""
        return _done(self.session._call("create_directory", {"path": path}))

    def delete_file(self, path: str) -> BoolResult:
        """Delete a file, or a directory with all it holds."""
        return _done(self.session._call("delete_file", {"path": path}))

    def edit_file(self, path: str, edits: Edits, dry_run: bool = False) -> BoolResult:
        """Replace each edit's oldText by its newText where it occurs first.

        All edits apply or none. A dry run only checks that they would.
        """
        args = {"path": path, "edits": edits, "dryRun": dry_run}
        return _done(self.session._call("edit_file", args))

    def get_file_info(self, path: str) -> FileInfoResult:
        """Describe a file or directory."""
        answer = self.session._call("get_file_info", {"path": path})
        info = parse_file_info(answer.data) if answer.success else {}
        return FileInfoResult(answer.request_id, answer.success, info, answer.error_message)

    def list_directory(self, path: str) -> DirectoryListResult:
        """List what a directory holds, not recursively."""
        answer = self.session._call("list_directory", {"path": path})
        entries = parse_directory(answer.data) if answer.success else []
        return DirectoryListResult(answer.request_id, answer.success, entries, answer.error_message)

    def move_file(self, source: str, destination: str) -> BoolResult:
        """Move or rename a file or directory."""
        return _done(self.session._call("move_file", {"source": source, "destination": destination}))

    def read_multiple_files(self, paths: Paths) -> MultipleFileContentResult:
        """Read several text files at once; trailing line breaks are not kept."""
        answer = self.session._call("read_multiple_files", {"paths": paths})
        contents = parse_files(answer.data, paths) if answer.success else {}
        return MultipleFileContentResult(answer.request_id, answer.success, contents, answer.error_message)

    def search_files(
        self, path: str, pattern: str, exclude_patterns: Paths | None = None
    ) -> FileSearchResult:
        """Find files whose name matches a pattern with * and ?, recursively."""
        args: dict[str, Any] = {"path": path, "pattern": pattern}
        if exclude_patterns:
            args["excludePatterns"] = exclude_patterns
        answer = self.session._call("search_files", args)
        matches = parse_matches(answer.data) if answer.success else []
        return FileSearchResult(answer.request_id, answer.success, matches, answer.error_message)

    @overload
    def read_file(self, path: str) -> FileContentResult: ...

    @overload
    def read_file(self, path: str, *, format: Literal["text"]) -> FileContentResult: ...

    @overload
    def read_file(self, path: str, *, format: Literal["bytes"]) -> BinaryFileContentResult: ...

    def read_file(
        self, path: str, *, format: str = "text"
    ) -> FileContentResult | BinaryFileContentResult:
        """Read a file of any size: as text, or with format="bytes" as bytes."""
        if format == "text":
            answer = self._read(path, {}, lambda text: text)
            return FileContentResult(answer.request_id, answer.success, answer.data, answer.error_message)
        if format == "bytes":
            return self._read_bytes(path)
        error = f"Invalid format: {format}. Must be 'text' or 'bytes'."
        return FileContentResult(error_message=error)

    def _read_bytes(self, path: str) -> BinaryFileContentResult:
        parts: list[bytes] = []

        def keep(text: str) -> str:
            parts.append(base64.b64decode(text, validate=True))
            return ""

        try:
            answer = self._read(path, {"format": "binary"}, keep)
        except binascii.Error as error:
            return BinaryFileContentResult(error_message=f"Failed to decode base64 of {path}: {error}")
        content = b"".join(parts) if answer.success else b""
        return BinaryFileContentResult(
            answer.request_id,
            answer.success,
            content,
            answer.error_message,
            content_type=mimetypes.guess_type(path)[0] or "application/octet-stream",
            size=len(content),
        )

    def _read(self, path: str, args: dict[str, Any], take: Callable[[str], str]) -> McpToolResult:
        """Read a file whole over the link, else in windows; take sees each piece of the answer."""
        if self.session._has_link("read_file"):
            answer = self.session._call("read_file", {"path": path, **args})
            return McpToolResult(
                answer.request_id,
                answer.success,
                take(answer.data) if answer.success else "",
                answer.error_message,
            )
        info = self.get_file_info(path)
        if not info.success:
            return McpToolResult(info.request_id, False, "", info.error_message)
        if info.is_directory:
            return McpToolResult(info.request_id, False, "", f"{path} is a directory")
        return self._read_windows(path, args, info.size, take)

    def _read_windows(
        self, path: str, args: dict[str, Any], size: int, take: Callable[[str], str]
    ) -> McpToolResult:
        pieces: list[str] = []
        answer = McpToolResult("", True)
        for offset in range(0, size, READ_WINDOW):
            window = {"offset": offset, "length": min(READ_WINDOW, size - offset)}
            answer = self.session._call("read_file", {"path": path, **window, **args})
            if not answer.success:
                return answer
            pieces.append(take(answer.data))
        return McpToolResult(answer.request_id, True, "".join(pieces))

    def write_file(self, path: str, content: str, mode: str = "overwrite") -> BoolResult:
        """Write text of any length, creating parent directories.

        mode is overwrite, append, or create_new, which fails if the file exists.
        """
        if not isinstance(content, str):
            kind = type(content).__name__
            return BoolResult(error_message=f"Invalid content: it must be a string, not {kind}.", data=False)
        if mode not in _MODES:
            return BoolResult(
                error_message=f"Invalid write mode: {mode}. Must be 'overwrite' or 'append'.", data=False
            )
        if self.session._has_link("write_file"):
            return self._write(path, content, mode)
        return self._write_windows(path, content, mode)

    def _write(self, path: str, content: str, mode: str) -> BoolResult:
        return _done(self.session._call("write_file", {"path": path, "content": content, "mode": mode}))

    def _write_windows(self, path: str, content: str, mode: str) -> BoolResult:
        result = BoolResult()
        for piece in windows(content, WRITE_WINDOW):
            result = self._write(path, piece, mode)
            if not result.success:
                break
            mode = "append"
        return result

    def read(self, path: str) -> FileContentResult:
        """The same as read_file."""
        return self.read_file(path)

    def write(self, path: str, content: str, mode: str = "overwrite") -> BoolResult:
        """The same as write_file."""
        return self.write_file(path, content, mode)

    def list(self, path: str) -> DirectoryListResult:
        """The same as list_directory."""
        return self.list_directory(path)

    def ls(self, path: str) -> DirectoryListResult:
        """The same as list_directory."""
        return self.list_directory(path)

    def delete(self, path: str) -> BoolResult:
        """The same as delete_file."""
        return self.delete_file(path)

    def remove(self, path: str) -> BoolResult:
        """The same as delete_file."""
        return self.delete_file(path)

    def rm(self, path: str) -> BoolResult:
        """The same as delete_file."""
        return self.delete_file(path)

    def upload_file(
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
        """Write a local file of any size to any absolute path in the session.

        Nothing of it is kept in memory. progress_cb gets the number of bytes
        sent so far. The session then has wait_timeout seconds, and one more for
        each 10 MB, to write the file; without wait, nobody looks whether it did.
        """
        return self._transfer.upload(
            local_path,
            remote_path,
            content_type=content_type,
            wait=wait,
            wait_timeout=wait_timeout,
            poll_interval=poll_interval,
            progress_cb=progress_cb,
        )

    def download_file(
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
        """Write a file of the session, of any size, to a local path.

        Nothing of it is kept in memory, and the local file is the old or the new
        one, never a part. progress_cb gets the number of bytes received so far.
        The session has wait_timeout seconds to hand the file out; without wait
        it must have been handed out before.
        """
        return self._transfer.download(
            remote_path,
            local_path,
            overwrite=overwrite,
            wait=wait,
            wait_timeout=wait_timeout,
            poll_interval=poll_interval,
            progress_cb=progress_cb,
        )

    def get_file_transfer_context_path(self) -> str | None:
        """The directory in the session that stands for the context files are transferred through."""
        return self._transfer.context_path()

    def get_file_change(self, path: str) -> FileChangeResult:
        """What changed below a directory since the last call; the first call only sets the mark."""
        answer = self.session._call("get_file_change", {"path": path})
        if not answer.success:
            return FileChangeResult(answer.request_id, error_message=answer.error_message)
        try:
            events = parse_changes(answer.data)
        except ValueError as error:
            return FileChangeResult(
                answer.request_id, raw_data=answer.data, error_message=f"Invalid changes: {error}"
            )
        return FileChangeResult(answer.request_id, True, events, answer.data)

    def watch_directory(
        self,
        path: str,
        callback: OnChange,
        interval: float = 0.5,
        stop_event: threading.Event | None = None,
    ) -> WatchThread:
        """Make a thread that calls callback with what changes below a directory.

        Start the thread, wait for its ready_event, and set its stop_event to
        end it; it also ends with the session. Changes are pushed by the bay;
        where that does not work, they are asked for every interval seconds.
        """

        def watch(thread: WatchThread) -> None:
            _io.run_in_thread(
                lambda: self._watch(path, callback, interval, thread), self.session.agent_bay.transport.http
            )

        return WatchThread(watch, stop_event)

    def _watch(
        self,
        path: str,
        callback: OnChange,
        interval: float,
        thread: WatchThread,
    ) -> None:
        while not self._deliver_changes(path, _nobody, thread):  # sets the mark
            if _stopped(thread, interval):
                return
        thread.ready_event.set()
        pushing = bool(self.session.ws_url)
        while not thread.stop_event.is_set():
            if pushing:
                try:
                    self._watch_pushed(path, callback, thread)
                    continue
                except SocketError as error:
                    _log.info("changes of %s are asked for, not pushed: %s", path, error)
            self._watch_polled(path, callback, interval, thread)

    def _watch_pushed(self, path: str, callback: OnChange, thread: WatchThread) -> None:
        target = self.session._server_of("get_file_change") or "wuying_filesystem"
        with self.session._open_socket() as socket:
            subscription = self._subscribe(socket, target, path, callback)
            self._deliver_changes(path, callback, thread)  # what happened before the subscription
            while not thread.stop_event.is_set():
                frame = socket.receive(_STOP_CHECK)
                if frame is not None:
                    _deliver_pushed(frame, path, callback)
                    _check_going_on(frame, subscription)
            socket.send(target, {"method": "unsubscribe_file_change", "params": {"path": path}})

    def _subscribe(
        self,
        socket: Socket,
        target: str,
        path: str,
        callback: OnChange,
    ) -> str:
        """Ask for changes to be pushed; returns the subscription's ID once they will be."""
        data = {"method": "subscribe_file_change", "params": {"path": path}}
        subscription = socket.send(target, data)
        deadline = time.monotonic() + _SUBSCRIBE_TIMEOUT
        while time.monotonic() < deadline:
            frame = socket.receive(deadline - time.monotonic())
            if frame is None:
                continue
            _deliver_pushed(frame, path, callback)
            reply = answer_to(subscription, frame)
            if reply is not None and reply.get("phase") == "end":
                return subscription
        raise SocketError(f"no answer to the subscription within {_SUBSCRIBE_TIMEOUT:.0f} s")

    def _watch_polled(
        self,
        path: str,
        callback: OnChange,
        interval: float,
        thread: WatchThread,
    ) -> None:
        while not thread.stop_event.is_set():
            self._deliver_changes(path, callback, thread)
            _stopped(thread, interval)

    def _deliver_changes(self, path: str, callback: OnChange, thread: WatchThread) -> bool:
        """Ask for changes once; returns whether they are known. A session that is gone has no more."""
        changes = self.get_file_change(path)
        if _GONE in changes.error_message:
            thread.stop_event.set()
        elif not changes.success:
            _log.warning("changes of %s are not known: %s", path, changes.error_message)
        elif changes.events:
            _call_back(callback, changes.events)
        return changes.success


def _stopped(thread: WatchThread, seconds: float) -> bool:
    """Wait, but not longer than until the watch is stopped; returns whether it is."""
    wake = time.monotonic() + seconds
    while time.monotonic() < wake and not thread.stop_event.is_set():
        _io.sleep(min(_STOP_CHECK, seconds))
    return thread.stop_event.is_set()


def _nobody(events: list[FileChangeEvent]) -> None:
    """Changes before the mark are nobody's."""


def _deliver_pushed(frame: dict[str, Any], path: str, callback: OnChange) -> None:
    data = frame["data"]
    if data.get("eventType") == "file_change" and data.get("path") == path:
        events = [FileChangeEvent.from_dict(e) for e in data.get("events") or [] if isinstance(e, dict)]
        _call_back(callback, events)


def _check_going_on(frame: dict[str, Any], subscription: str) -> None:
    """Raise SocketError if a frame says that the subscription is over."""
    reply = answer_to(subscription, frame)
    if reply is not None and reply.get("phase") == "end":
        raise SocketError("the bay has ended the subscription")


def _call_back(callback: OnChange, events: list[FileChangeEvent]) -> None:
    try:
        callback(events)
    except Exception:
        _log.exception("the callback of a watch failed; watching goes on")


def _done(answer: McpToolResult) -> BoolResult:
    return BoolResult(answer.request_id, answer.success, answer.success, answer.error_message)
