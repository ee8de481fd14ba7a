"""Parameters of sessions, under the path they had first."""

from ._common.params import BrowserContext, BrowserSyncMode, CreateSessionParams, ListSessionParams

__all__ = ["BrowserContext", "BrowserSyncMode", "CreateSessionParams", "ListSessionParams"]
