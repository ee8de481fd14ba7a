"""Results of file operations, and the text formats they are read from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .results import ApiResponse

FileInfo = dict[str, str | int | float | bool]

READ_WINDOW = 50 * 1024
"""Bytes read at once where a message may not be longer."""

WRITE_WINDOW = 51 * 1024
"""Bytes written at once where a message may not be longer."""


@dataclass
class FileContentResult(ApiResponse):
    """A file's text."""

    success: bool = False
    content: str = ""
    error_message: str = ""


@dataclass
class BinaryFileContentResult(ApiResponse):
    """A file's bytes."""

    success: bool = False
    content: bytes = b""
    error_message: str = ""
    content_type: str | None = None
    size: int | None = None


@dataclass
class MultipleFileContentResult(ApiResponse):
    """The text of several files by path."""

    success: bool = False
    contents: dict[str, str] = field(default_factory=dict)
    error_message: str = ""


@dataclass
class FileInfoResult(ApiResponse):
    """What a file or directory is: size, isDirectory, permissions, owner and more."""

    success: bool = False
    file_info: FileInfo = field(default_factory=dict)
    error_message: str = ""

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return int(self.file_info.get("size", 0))

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return bool(self.file_info.get("isDirectory", False))

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return bool(self.file_info.get("isFile", self.success and not self.is_directory))


class DirectoryEntry(dict[str, str | bool]):
    """A name in a directory: ``entry["name"]`` and ``entry.name`` are the same."""

    def __init__(self, name: str, is_directory: bool) -> None:
        super().__init__(name=name, isDirectory=is_directory)

    @property
    def name(self) -> str:
        """The name, without its directory."""
        return str(self["name"])

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return bool(self["isDirectory"])


@dataclass
class DirectoryListResult(ApiResponse):
    """What a directory holds."""

    success: bool = False
    entries: list[DirectoryEntry] = field(default_factory=list)
    error_message: str = ""


@dataclass
class FileSearchResult(ApiResponse):
    """Absolute paths that match."""

    success: bool = False
    matches: list[str] = field(default_factory=list)
    error_message: str = ""


@dataclass
class FileChangeEvent:
    """A change: event_type is create, modify or delete, path_type file or directory."""

    event_type: str = ""
    path: str = ""
    path_type: str = ""

    def to_dict(self) -> dict[str, str]:
        """The event as the wire has it."""
        return {"eventType": self.event_type, "path": self.path, "pathType": self.path_type}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FileChangeEvent:
        """Read an event of the wire."""
        return cls(str(data.get("eventType", "")), str(data.get("path", "")), str(data.get("pathType", "")))


@dataclass
class FileChangeResult(ApiResponse):
    """What changed since the last time it was asked."""

    success: bool = False
    events: list[FileChangeEvent] = field(default_factory=list)
    raw_data: str = ""
    error_message: str = ""

    def has_changes(self) -> bool:
        """Whether anything changed."""
        return bool(self.events)

    def get_created_files(self) -> list[str]:
        """Paths of files that were created."""
        return self._files("create")

    def get_modified_files(self) -> list[str]:
        """Paths of files that were modified."""
        return self._files("modify")

    def get_deleted_files(self) -> list[str]:
        """Paths of files that were deleted."""
        return self._files("delete")

    def _files(self, event_type: str) -> list[str]:
        return [e.path for e in self.events if e.event_type == event_type and e.path_type == "file"]


_TEXTUAL = {"name", "path", "mode", "permissions", "owner", "group"}


def parse_file_info(text: str) -> FileInfo:
    """Read lines ``key: value``."""
    info: FileInfo = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            info[key.strip()] = value.strip() if key.strip() in _TEXTUAL else _scalar(value.strip())
    return info


def _scalar(value: str) -> str | int | float | bool:
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if re.fullmatch(r"-?\d+", value):
        return int(value)
    if re.fullmatch(r"-?\d+\.\d+", value):
        return float(value)
    return value


def parse_directory(text: str) -> list[DirectoryEntry]:
    """Read lines ``[DIR] name`` and ``[FILE] name``."""
    entries = []
    for line in text.split("\n"):
        kind, space, name = line.partition(" ")
        if space and kind in ("[DIR]", "[FILE]"):
            entries.append(DirectoryEntry(name, kind == "[DIR]"))
    return entries


def parse_matches(text: str) -> list[str]:
    """Read paths, one a line."""
    if text.strip() == "No matches found":
        return []
    return [line for line in text.split("\n") if line]


def parse_files(text: str, paths: Iterable[str]) -> dict[str, str]:
    """Read sections ``path:``, content, separated by lines ``---``.

    Only a separator before one of the given paths counts, so that files with
    such a line in them are read whole.
    """
    names = "|".join(re.escape(p) for p in sorted(set(paths), key=len, reverse=True))
    heads = list(re.finditer(rf"(?:\A|\n?---\n)({names}):(?:\n|\Z)", text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return {head[1]: text[head.end() : end].rstrip("\n") for head, end in zip(heads, ends, strict=False)}


def parse_changes(text: str) -> list[FileChangeEvent]:
    """Read a JSON array of changes. Raises ValueError for anything else."""
    changes = json.loads(text)
    if not isinstance(changes, list):
        raise ValueError("not an array of changes")
    return [FileChangeEvent.from_dict(c) for c in changes if isinstance(c, dict)]


def windows(content: str, size: int) -> Iterator[str]:
    """Cut text into pieces of at most size bytes of UTF-8; empty text is one piece."""
    data = content.encode("utf-8", "surrogatepass")
    if not data:
        yield ""
    start = 0
    while start < len(data):
        end = min(start + size, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1  # a character is not cut in two
        yield data[start:end].decode("utf-8", "surrogatepass")
        start = end
