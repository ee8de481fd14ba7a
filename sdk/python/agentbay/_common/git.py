"""Results of git operations, and the output of git they are read from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .exceptions import GitAuthError, GitConflictError, GitError, GitNotARepoError, GitNotFoundError
from .results import CommandResult

RESET_MODES = ("soft", "mixed", "hard", "merge", "keep")
CONFIG_SCOPES = ("global", "local")
LOG_FORMAT = "%H%x00%h%x00%an%x00%ae%x00%aI%x00%B%x01"

_STATUS = {
    "A": "added",
    "M": "modified",
    "D": "deleted",
    "R": "renamed",
    "C": "copied",
    "T": "typechange",
    "?": "untracked",
}
_CONFLICTS = {"DD", "AU", "UD", "UA", "DU", "AA", "UU"}


@dataclass
class GitCloneResult:
    """Where a clone is."""

    path: str


@dataclass
class GitInitResult:
    """Where a new repository is."""

    path: str


@dataclass
class GitCommitResult:
    """The hash of a new commit."""

    commit_hash: str | None = None


@dataclass
class GitFileStatus:
    """A changed file. index_status and work_tree_status are git's own letters."""

    path: str
    status: str
    index_status: str
    work_tree_status: str
    staged: bool
    renamed_from: str | None = None


@dataclass
class GitStatusResult:
    """The state of a working tree."""

    current_branch: str | None = None
    upstream: str | None = None
    ahead: int = 0
    behind: int = 0
    detached: bool = False
    files: list[GitFileStatus] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is changed."""
        return not self.files

    @property
    def has_changes(self) -> bool:
        """Whether anything is changed."""
        return bool(self.files)

    @property
    def has_staged(self) -> bool:
        """Whether anything is staged."""
        return self.staged_count > 0

    @property
    def has_untracked(self) -> bool:
        """Whether there are files git does not know."""
        return self.untracked_count > 0

    @property
    def has_conflicts(self) -> bool:
        """Whether there are conflicts."""
        return self.conflict_count > 0

    @property
    def total_count(self) -> int:
        """How many files are changed."""
        return len(self.files)

    @property
    def staged_count(self) -> int:
        """How many files are staged."""
        return sum(f.staged for f in self.files)

    @property
    def unstaged_count(self) -> int:
        """How many files are changed, but not staged."""
        return sum(not f.staged for f in self.files)

    @property
    def untracked_count(self) -> int:
        """How many files git does not know."""
        return sum(f.status == "untracked" for f in self.files)

    @property
    def conflict_count(self) -> int:
        """How many files have conflicts."""
        return sum(f.status == "conflict" for f in self.files)


@dataclass
class GitBranchInfo:
    """A branch."""

    name: str
    is_current: bool = False


@dataclass
class GitBranchListResult:
    """The local branches."""

    branches: list[GitBranchInfo] = field(default_factory=list)
    current: str | None = None


@dataclass
class GitLogEntry:
    """A commit; date is ISO 8601."""

    hash: str
    short_hash: str
    author_name: str
    author_email: str
    date: str
    message: str


@dataclass
class GitLogResult:
    """Commits, newest first."""

    entries: list[GitLogEntry] = field(default_factory=list)


def path_of_url(url: str) -> str:
    """The directory git clones a URL into."""
    return re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git")


def parse_status(text: str) -> GitStatusResult:
    """Read ``git status --porcelain=1 -b -z``."""
    records = iter(text.split("\0"))
    result = _parse_head(next(records, ""))
    for record in records:
        if len(record) > 3:
            renamed_from = next(records, None) if "R" in record[:2] or "C" in record[:2] else None
            result.files.append(_file_status(record[0], record[1], record[3:], renamed_from))
    return result


def _parse_head(line: str) -> GitStatusResult:
    head = line.removeprefix("## ")
    if head.startswith("HEAD (no branch)"):
        return GitStatusResult(detached=True)
    head = head.removeprefix("No commits yet on ")
    names, _, counts = head.partition(" [")
    branch, _, upstream = names.partition("...")
    return GitStatusResult(
        current_branch=branch or None,
        upstream=upstream or None,
        ahead=_count("ahead", counts),
        behind=_count("behind", counts),
    )


def _count(word: str, text: str) -> int:
    match = re.search(rf"{word} (\d+)", text)
    return int(match[1]) if match else 0


def _file_status(index: str, tree: str, path: str, renamed_from: str | None) -> GitFileStatus:
    if index + tree in _CONFLICTS:
        status = "conflict"
    else:
        status = _STATUS.get(index if index != " " else tree, "unknown")
    return GitFileStatus(path, status, index, tree, index not in " ?", renamed_from)


def parse_log(text: str) -> GitLogResult:
    """Read ``git log`` in LOG_FORMAT."""
    commits = (record.lstrip("\n").split("\0") for record in text.split("\x01"))
    return GitLogResult(
        [GitLogEntry(c[0], c[1], c[2], c[3], c[4], c[5].strip()) for c in commits if len(c) == 6]
    )


def parse_branches(text: str) -> GitBranchListResult:
    """Read lines of a mark, which is * for the current branch, and a name."""
    branches = [GitBranchInfo(line[1:], line[0] == "*") for line in text.splitlines() if len(line) > 1]
    branches = [b for b in branches if not b.name.startswith("(")]  # a detached head is no branch
    return GitBranchListResult(branches, next((b.name for b in branches if b.is_current), None))


_AUTH = re.compile(
    r"(?i)authentication failed|could not read (username|password)|terminal prompts disabled|"
    r"permission denied \(|invalid (username|credentials)|access denied|requested URL returned error: 40[13]|"
    r"host key verification failed"
)
_CONFLICT = re.compile(r"CONFLICT \(|automatic merge failed|unmerged files|needs merge|could not apply", re.I)


def git_error(doing: str, result: CommandResult) -> GitError:
    """The exception for a git command that failed."""
    said = result.stderr or result.stdout or result.error_message
    kind = _kind_of_error(result, result.stderr + result.stdout + result.error_message)
    return kind(f"git {doing} failed: {said.strip()}", exit_code=result.exit_code, stderr=result.stderr)


def _kind_of_error(result: CommandResult, said: str) -> type[GitError]:
    if result.exit_code == 127 or "git: command not found" in said or "git: not found" in said:
        return GitNotFoundError
    if "not a git repository" in said.lower():
        return GitNotARepoError
    if _AUTH.search(said):
        return GitAuthError
    if _CONFLICT.search(said):
        return GitConflictError
    return GitError
