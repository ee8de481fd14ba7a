# Written by tools/make_sync.py from agentbay/_async/client.py; change that file instead.
"""The client of a bay."""

from __future__ import annotations

from typing import Any

from .._common.config import Config, environment, load_settings
from .._common.log import get_logger, setup_from_environment
from .._common.params import CreateSessionParams
from .._common.results import (
    DeleteResult,
    GetSessionResult,
    SessionListResult,
    SessionPauseResult,
    SessionResult,
    SessionResumeResult,
)
from .._common.wire import Reply
from .context import ContextService
from .session import Session
from .transport import Transport

_log = get_logger("client")

STATUSES = ("RUNNING", "PAUSING", "PAUSED", "RESUMING", "DELETING", "DELETED")


class AgentBay:
    """Talks to a bay in the name of one API key."""

    def __init__(self, api_key: str = "", cfg: Config | None = None, env_file: str | None = None) -> None:
        """Settle where the bay is; nothing is sent.

        What is not given comes from AGENTBAY_API_KEY, AGENTBAY_ENDPOINT,
        AGENTBAY_TIMEOUT_MS and AGENTBAY_REGION_ID, or from the nearest .env
        file. A missing key or endpoint is a ValueError.
        """
        setup_from_environment(environment(env_file))
        self.transport = Transport(load_settings(api_key, cfg, env_file))
        self.context = ContextService(self)

    @property
    def api_key(self) -> str:
        """The API key calls are made with."""
        return self.transport.settings.api_key

    @property
    def region_id(self) -> str:
        """The region sessions are created in; empty means the bay's choice."""
        return self.transport.settings.region_id

    def get_region_id(self) -> str:
        """The same as region_id."""
        return self.region_id

    def close(self) -> None:
        """Close idle connections. The client can still be used."""
        self.transport.http.close()

    def __enter__(self) -> AgentBay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create(self, params: CreateSessionParams | None = None) -> SessionResult[Session]:
        """Create a session and return once it can be used.

        That includes the files of its contexts, unless their
        beta_wait_for_completion is False. What could not be shown does not fail
        the creation: session.context.info says why.
        """
        params = params or CreateSessionParams()
        wire = {**params.to_wire(), "LoginRegionId": self.region_id or None}
        reply = self.transport.rpc("CreateMcpSession", wire)
        error = _creation_error(reply)
        if error:
            return SessionResult(reply.request_id, False, error)
        session = Session._from_wire(self, reply.data, params.image_id or "")
        session.enable_browser_replay = params.enable_browser_replay
        missing = session.context._wait_for_downloads(params.mounts())
        if missing:
            _log.warning("session %s lacks files of contexts: %s", session.session_id, missing)
        return SessionResult(reply.request_id, True, "", session)

    def get(self, session_id: str) -> SessionResult[Session]:
        """Get a session by its ID, as good as the one create returned."""
        if not isinstance(session_id, str) or not session_id.strip():
            return SessionResult(error_message="session_id is required")
        reply = self.transport.rpc("GetSession", {"SessionId": session_id})
        if not reply.success or not isinstance(reply.data, dict):
            error = reply.error or "the bay's answer holds no session"
            return SessionResult(reply.request_id, False, f"Failed to get session {session_id}: {error}")
        session = Session._from_wire(self, {"SessionId": session_id, **reply.data})
        return SessionResult(reply.request_id, True, "", session)

    def list(
        self,
        labels: dict[str, str] | None = None,
        page: int | None = None,
        limit: int | None = None,
        status: str | None = None,
    ) -> SessionListResult:
        """List IDs of sessions that have all the labels, newest first.

        Pages count from 1 and hold limit sessions, by default 10. Without a
        status, every session that has not ended is listed.
        """
        page, limit = page or 1 if page is None else page, limit or 10
        error = _listing_error(page, limit, status)
        if error:
            return SessionListResult(error_message=error)
        params: dict[str, object] = {"Labels": labels or {}, "MaxResults": limit, "Status": status}
        reply = self.transport.rpc("ListSession", params)
        for _ in range(page - 1):
            token = reply.body.get("NextToken")
            if not reply.success or not token:
                return _listing(reply, beyond=True)
            reply = self.transport.rpc("ListSession", {**params, "NextToken": token})
        return _listing(reply)

    def delete(self, session: Session, sync_context: bool = False) -> DeleteResult:
        """Delete a session; see Session.delete."""
        return session.delete(sync_context)

    def beta_pause(
        self, session: Session, timeout: int = 600, poll_interval: float = 2.0
    ) -> SessionPauseResult:
        """Pause a session; see Session.beta_pause."""
        return session.beta_pause(timeout, poll_interval)

    def beta_resume(
        self, session: Session, timeout: int = 600, poll_interval: float = 2.0
    ) -> SessionResumeResult:
        """Resume a session; see Session.beta_resume."""
        return session.beta_resume(timeout, poll_interval)

    def _get_session(self, session_id: str) -> GetSessionResult:
        reply, data = Session(self, session_id)._get_session()
        return GetSessionResult(
            reply.request_id,
            reply.http_status,
            reply.code,
            reply.success,
            data if reply.success else None,
            reply.error,
        )


def _creation_error(reply: Reply) -> str:
    """Why there is no session; empty if there is one."""
    data: Any = reply.data if isinstance(reply.data, dict) else {}
    if not reply.success:
        return reply.error
    if data.get("Success") is False:
        return str(data.get("ErrMsg") or "the session was not created, and the bay does not say why")
    return "" if data.get("SessionId") else "the bay's answer holds no session ID"


def _listing_error(page: int, limit: int, status: str | None) -> str:
    if page < 1:
        return f"Cannot reach page {page}: Page number must be >= 1"
    if limit < 1:
        return f"limit must be at least 1, not {limit}"
    if status is not None and status not in STATUSES:
        return f"Invalid session status: {status}. Must be one of: {', '.join(STATUSES)}"
    return ""


def _listing(reply: Reply, beyond: bool = False) -> SessionListResult:
    """Read a page; a page beyond the last is empty."""
    items = reply.data if reply.success and not beyond and isinstance(reply.data, list) else []
    return SessionListResult(
        reply.request_id,
        reply.success,
        reply.error,
        [str(item["SessionId"]) for item in items],
        "" if beyond else str(reply.body.get("NextToken") or ""),
        int(reply.body.get("MaxResults") or 0),
        int(reply.body.get("TotalCount") or 0),
    )
