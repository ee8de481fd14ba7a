"""What git operations return and raise."""

from ._async.git import AsyncGit
from ._common.exceptions import GitAuthError, GitConflictError, GitError, GitNotARepoError, GitNotFoundError
from ._common.git import (
    GitBranchInfo,
    GitBranchListResult,
    GitCloneResult,
    GitCommitResult,
    GitFileStatus,
    GitInitResult,
    GitLogEntry,
    GitLogResult,
    GitStatusResult,
)
from ._sync.git import Git

SyncGit = Git

__all__ = [
    "AsyncGit",
    "Git",
    "GitAuthError",
    "GitBranchInfo",
    "GitBranchListResult",
    "GitCloneResult",
    "GitCommitResult",
    "GitConflictError",
    "GitError",
    "GitFileStatus",
    "GitInitResult",
    "GitLogEntry",
    "GitLogResult",
    "GitNotARepoError",
    "GitNotFoundError",
    "GitStatusResult",
    "SyncGit",
]
