"""Git in a session, through its shell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._common.git import (
    CONFIG_SCOPES,
    LOG_FORMAT,
    RESET_MODES,
    GitBranchListResult,
    GitCloneResult,
    GitCommitResult,
    GitInitResult,
    GitLogResult,
    GitStatusResult,
    git_error,
    parse_branches,
    parse_log,
    parse_status,
    path_of_url,
)
from .._common.results import CommandResult

if TYPE_CHECKING:
    from .session import AsyncSession

_ENVS = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
_TIMEOUT_MS = 30_000
_CLONE_TIMEOUT_MS = 300_000
_PULL_TIMEOUT_MS = 120_000
_UNSET = 1  # git config's exit code for a key that has no value
_NO_REMOTE = 2  # git remote's exit code for a name that is not known


class AsyncGit:
    """Works on git repositories. What git refuses raises a GitError, or one of its subclasses."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def clone(
        self,
        url: str,
        *,
        path: str | None = None,
        branch: str | None = None,
        depth: int | None = None,
        timeout_ms: int | None = None,
    ) -> GitCloneResult:
        """Clone a repository; with a branch, that branch only."""
        args = ["clone"]
        if branch:
            args += ["--branch", branch, "--single-branch"]
        if depth:
            args += ["--depth", str(depth)]
        target = path or path_of_url(url)
        await self._git([*args, "--", url, target], timeout_ms or _CLONE_TIMEOUT_MS)
        return GitCloneResult(target)

    async def init(
        self,
        path: str,
        *,
        initial_branch: str | None = None,
        bare: bool = False,
        timeout_ms: int | None = None,
    ) -> GitInitResult:
        """Make a repository."""
        args = ["init"]
        if initial_branch:
            args += ["--initial-branch", initial_branch]
        if bare:
            args.append("--bare")
        await self._git([*args, "--", path], timeout_ms)
        return GitInitResult(path)

    async def add(
        self,
        repo_path: str,
        *,
        files: list[str] | None = None,
        stage_all: bool = True,
        timeout_ms: int | None = None,
    ) -> None:
        """Stage files, or without files all changes; stage_all=False leaves deletions out."""
        what = ["--", *files] if files else ["-A"] if stage_all else ["."]
        await self._in(repo_path, ["add", *what], timeout_ms)

    async def commit(
        self,
        repo_path: str,
        message: str,
        *,
        author_name: str | None = None,
        author_email: str | None = None,
        allow_empty: bool = False,
        timeout_ms: int | None = None,
    ) -> GitCommitResult:
        """Commit what is staged. The author holds for this commit only."""
        config = []
        if author_name:
            config += ["-c", f"user.name={author_name}"]
        if author_email:
            config += ["-c", f"user.email={author_email}"]
        empty = ["--allow-empty"] if allow_empty else []
        await self._in(repo_path, [*config, "commit", "-m", message, *empty], timeout_ms)
        head = await self._in(repo_path, ["rev-parse", "HEAD"], timeout_ms)
        return GitCommitResult(head.stdout.strip())

    async def status(self, repo_path: str, *, timeout_ms: int | None = None) -> GitStatusResult:
        """Get the branch and the changed files."""
        result = await self._in(repo_path, ["status", "--porcelain=1", "-b", "-z"], timeout_ms)
        return parse_status(result.stdout)

    async def log(
        self, repo_path: str, *, max_count: int | None = None, timeout_ms: int | None = None
    ) -> GitLogResult:
        """Get commits, newest first."""
        count = [f"--max-count={max_count}"] if max_count else []
        result = await self._in(repo_path, ["log", f"--format={LOG_FORMAT}", *count], timeout_ms)
        return parse_log(result.stdout)

    async def list_branches(self, repo_path: str, *, timeout_ms: int | None = None) -> GitBranchListResult:
        """List local branches."""
        result = await self._in(repo_path, ["branch", "--format=%(HEAD)%(refname:short)"], timeout_ms)
        return parse_branches(result.stdout)

    async def create_branch(
        self, repo_path: str, branch: str, *, checkout: bool = True, timeout_ms: int | None = None
    ) -> None:
        """Create a branch and, unless told otherwise, switch to it."""
        await self._in(repo_path, ["checkout", "-b", branch] if checkout else ["branch", branch], timeout_ms)

    async def checkout_branch(self, repo_path: str, branch: str, *, timeout_ms: int | None = None) -> None:
        """Switch to a branch."""
        await self._in(repo_path, ["checkout", branch, "--"], timeout_ms)

    async def delete_branch(
        self, repo_path: str, branch: str, *, force: bool = False, timeout_ms: int | None = None
    ) -> None:
        """Delete a local branch; force deletes one that is not merged, too."""
        await self._in(repo_path, ["branch", "-D" if force else "-d", "--", branch], timeout_ms)

    async def remote_add(
        self,
        repo_path: str,
        name: str,
        url: str,
        *,
        fetch: bool = False,
        overwrite: bool = False,
        timeout_ms: int | None = None,
    ) -> None:
        """Add a remote; overwrite changes the URL of one that exists."""
        exists = overwrite and await self.remote_get(repo_path, name, timeout_ms=timeout_ms) is not None
        await self._in(repo_path, ["remote", "set-url" if exists else "add", "--", name, url], timeout_ms)
        if fetch:
            await self._in(repo_path, ["fetch", "--", name], timeout_ms or _PULL_TIMEOUT_MS)

    async def remote_get(self, repo_path: str, name: str, *, timeout_ms: int | None = None) -> str | None:
        """Get a remote's URL; None if there is no such remote."""
        result = await self._run(["-C", repo_path, "remote", "get-url", "--", name], timeout_ms)
        if not result.success and (result.exit_code == _NO_REMOTE or "No such remote" in result.stderr):
            return None
        return _checked("remote", result).stdout.strip()

    async def reset(
        self,
        repo_path: str,
        *,
        mode: str | None = None,
        target: str | None = None,
        paths: list[str] | None = None,
        timeout_ms: int | None = None,
    ) -> None:
        """Reset to a commit, or unstage paths. mode is soft, mixed, hard, merge or keep."""
        if mode is not None and mode not in RESET_MODES:
            raise ValueError(f"Invalid reset mode {mode!r}; it must be one of {', '.join(RESET_MODES)}")
        args = ["reset", *([f"--{mode}"] if mode else []), *([target] if target else [])]
        await self._in(repo_path, [*args, "--", *(paths or [])], timeout_ms)

    async def restore(
        self,
        repo_path: str,
        paths: list[str],
        *,
        staged: bool = False,
        worktree: bool | None = None,
        source: str | None = None,
        timeout_ms: int | None = None,
    ) -> None:
        """Restore paths in the working tree or, if staged, in the index."""
        if not paths:
            raise ValueError("restore needs at least one path; ['.'] restores all files")
        args = ["restore"]
        if staged:
            args.append("--staged")
        if worktree or (worktree is None and not staged):
            args.append("--worktree")
        if source:
            args.append(f"--source={source}")
        await self._in(repo_path, [*args, "--", *paths], timeout_ms)

    async def pull(
        self,
        repo_path: str,
        *,
        remote: str | None = None,
        branch: str | None = None,
        timeout_ms: int | None = None,
    ) -> None:
        """Pull from a remote."""
        where = [w for w in (remote or ("origin" if branch else None), branch) if w]
        await self._in(repo_path, ["pull", *where], timeout_ms or _PULL_TIMEOUT_MS)

    async def configure_user(
        self,
        repo_path: str,
        name: str,
        email: str,
        *,
        scope: str = "global",
        timeout_ms: int | None = None,
    ) -> None:
        """Set the name and address of commits, for all repositories or, if scope is local, for this one."""
        await self.set_config(repo_path, "user.name", name, scope=scope, timeout_ms=timeout_ms)
        await self.set_config(repo_path, "user.email", email, scope=scope, timeout_ms=timeout_ms)

    async def set_config(
        self, repo_path: str, key: str, value: str, *, scope: str = "global", timeout_ms: int | None = None
    ) -> None:
        """Set a configuration value; scope is global or local."""
        await self._in(repo_path, ["config", _scope(scope), key, value], timeout_ms)

    async def get_config(
        self, repo_path: str, key: str, *, scope: str = "global", timeout_ms: int | None = None
    ) -> str | None:
        """Get a configuration value; None if it is not set."""
        result = await self._run(["-C", repo_path, "config", _scope(scope), "--get", key], timeout_ms)
        if result.exit_code == _UNSET and not result.stderr:
            return None
        return _checked("config", result).stdout.rstrip("\n")

    async def _in(self, repo_path: str, args: Sequence[str], timeout_ms: int | None) -> CommandResult:
        return _checked(_verb(args), await self._run(["-C", repo_path, *args], timeout_ms))

    async def _git(self, args: Sequence[str], timeout_ms: int | None) -> CommandResult:
        return _checked(_verb(args), await self._run(args, timeout_ms))

    async def _run(self, args: Sequence[str], timeout_ms: int | None) -> CommandResult:
        line = shlex.join(["git", *args])
        return await self.session.command.execute_command(line, timeout_ms or _TIMEOUT_MS, envs=_ENVS)


def _verb(args: Sequence[str]) -> str:
    """The git command in a list of arguments, behind its -c options."""
    return args[0] if args[0] != "-c" else _verb(args[2:])


def _scope(scope: str) -> str:
    if scope not in CONFIG_SCOPES:
        raise ValueError(f"Invalid scope {scope!r}; it must be global or local")
    return f"--{scope}"


def _checked(doing: str, result: CommandResult) -> CommandResult:
    if not result.success:
        raise git_error(doing, result)
    return result
