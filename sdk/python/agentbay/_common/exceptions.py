"""The exceptions of the SDK.

What a bay refuses is a result whose ``success`` is False. Exceptions are for
what is wrong before a request is sent, for git, and for links.
"""

from __future__ import annotations


class AgentBayError(Exception):
    """The base of every exception of this package."""

    default = "AgentBay error"

    def __init__(self, message: str | None = None, *args: object) -> None:
        super().__init__(self.default if message is None else message, *args)


class WsCancelledError(AgentBayError):
    """A stream was cancelled by its caller."""

    default = "the stream was cancelled"


class AuthenticationError(AgentBayError):
    """The credentials are missing or not accepted."""

    default = "Authentication failed"


class APIError(AgentBayError):
    """A call failed."""

    default = "API error"

    def __init__(self, message: str | None = None, status_code: int | None = None, *args: object) -> None:
        super().__init__(message, *args)
        self.status_code = status_code


class FileError(AgentBayError):
    """A file operation failed."""

    default = "File operation error"


class CommandError(AgentBayError):
    """A command could not be run."""

    default = "Command execution error"


class SessionError(AgentBayError):
    """A session refused an operation."""

    default = "Session error"


class OssError(AgentBayError):
    """An object storage operation failed."""

    default = "OSS operation error"


class BrowserError(AgentBayError):
    """A browser operation failed."""

    default = "Browser error"


class AgentError(AgentBayError):
    """An agent's task failed."""

    default = "Agent action error"


class ClearanceTimeoutError(AgentBayError):
    """Clearing a context took too long."""

    default = "Context clearing operation timed out"


class GitError(AgentBayError):
    """A git command failed; exit_code and stderr say how."""

    default = "Git operation error"
    default_exit_code = 1

    def __init__(
        self, message: str | None = None, exit_code: int | None = None, stderr: str = "", *args: object
    ) -> None:
        super().__init__(message, *args)
        self.exit_code = self.default_exit_code if exit_code is None else exit_code
        self.stderr = stderr


class GitAuthError(GitError):
    """The remote wants credentials it did not get, or does not accept them."""

    default = "Git authentication error"


class GitNotFoundError(GitError):
    """There is no git in the session's image."""

    default = "Git not found"
    default_exit_code = 127


class GitConflictError(GitError):
    """A merge or rebase stopped at a conflict."""

    default = "Git merge conflict"


class GitNotARepoError(GitError):
    """The directory is not a git repository."""

    default = "Not a git repository"
    default_exit_code = 128
