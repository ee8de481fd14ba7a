"""Extensions of browsers, kept in a context."""

from __future__ import annotations

import os
import time
import uuid
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._common.exceptions import AgentBayError
from .._common.params import EXTENSIONS_PATH, Extension, ExtensionOption
from .._common.wire import LINK_TIMEOUT_MS
from . import _io

if TYPE_CHECKING:
    from .client import AsyncAgentBay

_PAGE = 100


Extensions = list[Extension]


class AsyncExtensionsService:
    """Keeps extensions as archives in a context, for sessions to have their browsers load.

    The context is found or made by its name or ID when it is first needed; without
    one it is made for this service alone, and cleanup deletes it.
    """

    def __init__(self, agent_bay: AsyncAgentBay, context_id: str = "") -> None:
        self.agent_bay = agent_bay
        self._name = context_id or f"extensions-{time.time_ns()}"
        self._own = not context_id
        self._context_id = ""

    async def list(self) -> Extensions:
        """List the extensions of the context."""
        found: Extensions = []
        for page in range(1, 1000):
            answer = await self.agent_bay.context.list_files(
                await self._context(), EXTENSIONS_PATH, page, _PAGE
            )
            if not answer.success:
                raise AgentBayError(f"the extensions cannot be listed: {answer.error_message}")
            found += [Extension(e.file_name, e.file_name, e.gmt_create) for e in answer.entries]
            if len(answer.entries) < _PAGE:
                break
        return found

    async def create(self, local_path: str) -> Extension:
        """Put an archive (zip) into the context; no file raises FileNotFoundError, no archive ValueError."""
        return await self._put(f"ext_{uuid.uuid4().hex}.zip", local_path)

    async def update(self, extension_id: str, new_local_path: str) -> Extension:
        """Put another archive in the place of one; an ID that is none raises ValueError."""
        _check(new_local_path)
        if extension_id not in [e.id for e in await self.list()]:
            raise ValueError(f"there is no extension {extension_id!r}; list has them")
        return await self._put(extension_id, new_local_path)

    async def delete(self, extension_id: str) -> bool:
        """Remove an archive from the context."""
        return (await self.agent_bay.context.delete_file(await self._context(), _path(extension_id))).success

    async def create_extension_option(self, extension_ids: Sequence[str]) -> ExtensionOption:
        """What BrowserContext takes to have these loaded."""
        return ExtensionOption(await self._context(), [*extension_ids])

    async def cleanup(self) -> bool:
        """Delete the context, if it was made for this service alone."""
        if not self._own or not self._context_id:
            return True
        found = await self.agent_bay.context.get(context_id=self._context_id)
        if found.context is None:
            return False
        gone = (await self.agent_bay.context.delete(found.context)).success
        if gone:
            self._context_id = ""
        return gone

    async def _context(self) -> str:
        if self._context_id:
            return self._context_id
        if not self._own:
            known = await self.agent_bay.context.get(context_id=self._name)
            if known.success and known.context_id:
                self._context_id = known.context_id
                return self._context_id
        made = await self.agent_bay.context.get(self._name, create=True)
        if not made.success or not made.context_id:
            raise AgentBayError(f"there is no context for the extensions: {made.error_message}")
        self._context_id = made.context_id
        return self._context_id

    async def _put(self, name: str, local_path: str) -> Extension:
        _check(local_path)
        place = await self.agent_bay.context.get_file_upload_url(await self._context(), _path(name))
        if not place.success:
            raise AgentBayError(f"the extension cannot be put: {place.error_message}")
        with open(local_path, "rb") as file:
            content = await _io.blocking(file.read, -1)
        client = self.agent_bay.transport.http.client()
        answer = await client.put(place.url, content=content, timeout=LINK_TIMEOUT_MS / 1000)
        if answer.status_code not in (200, 201, 204):
            raise AgentBayError(f"the extension was not taken: {answer.status_code} {answer.text[:500]}")
        return Extension(name, os.path.basename(local_path))


def _path(extension_id: str) -> str:
    return f"{EXTENSIONS_PATH}/{extension_id}"


def _check(local_path: str) -> None:
    if not os.path.isfile(local_path):
        raise FileNotFoundError(f"there is no file {local_path!r}")
    if not zipfile.is_zipfile(local_path):
        raise ValueError(f"{local_path!r} is no archive (zip)")
