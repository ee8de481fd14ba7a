"""Results of file transfers, and the local side of them."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from .exceptions import FileError

PIECE = 1 << 20
"""Bytes that are read and written at once; what a transfer needs of memory."""

OnProgress = Callable[[int], None]


@dataclass
class UploadResult:
    """What became of an upload; path is the file in the session."""

    success: bool = False
    request_id_upload_url: str | None = None
    request_id_sync: str | None = None
    http_status: int | None = None
    etag: str | None = None
    bytes_sent: int = 0
    path: str = ""
    error_message: str | None = None

    @property
    def request_id(self) -> str:
        """The ID of the last call that was made."""
        return self.request_id_sync or self.request_id_upload_url or ""


@dataclass
class DownloadResult:
    """What became of a download; path is the file in the session."""

    success: bool = False
    request_id_download_url: str | None = None
    request_id_sync: str | None = None
    http_status: int | None = None
    bytes_received: int = 0
    path: str = ""
    local_path: str = ""
    error_message: str | None = None

    @property
    def request_id(self) -> str:
        """The ID of the last call that was made."""
        return self.request_id_download_url or self.request_id_sync or ""


class Progress:
    """Counts bytes and tells the count to a callback, the whole at least."""

    def __init__(self, callback: OnProgress | None) -> None:
        self.total = 0
        self._told = -1
        self._callback = callback

    def add(self, count: int) -> None:
        """Count bytes that were moved."""
        self.total += count
        self.tell()

    def tell(self) -> None:
        """Tell the count, unless it was told already."""
        if self._callback and self._told != self.total:
            self._told = self.total
            self._callback(self.total)


def check_source(path: str) -> None:
    """Raise FileError if there is no file to send."""
    if not os.path.exists(path):
        raise FileError(f"Local file not found: {path}")
    if not os.path.isfile(path):
        raise FileError(f"{path} is not a file; make an archive of a directory to upload it")


def check_target(path: str, overwrite: bool) -> None:
    """Raise FileError if a file may not be written."""
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise FileError(f"{path} exists already; overwrite=True replaces it")
    if os.path.exists(path) and not os.path.isfile(path):
        raise FileError(f"{path} is not a file, so it is not replaced")


@contextmanager
def new_file(path: str, overwrite: bool) -> Iterator[BinaryIO]:
    """A file that has its name only once it is whole; parent directories are made."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    part = os.path.join(folder, f".{secrets.token_hex(8)}.part")
    try:
        with open(part, "xb") as file:
            yield file
        check_target(path, overwrite)
        if os.path.exists(target):
            shutil.copymode(target, part)
        os.replace(part, target)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
