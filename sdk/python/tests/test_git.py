"""Git: the command lines that are sent, run for real in a temporary directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bay import TestBay

from agentbay import Session, SyncGit
from agentbay._common.git import git_error, parse_branches, parse_status, path_of_url
from agentbay._common.results import CommandResult
from agentbay.git import GitAuthError, GitConflictError, GitError, GitNotARepoError, GitNotFoundError

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed here")


@pytest.fixture
def git(bay: TestBay, session: Session, tmp_path: Path) -> SyncGit:
    home = {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}

    def shell(args: dict[str, Any]) -> tuple[str, bool]:
        env = {**os.environ, **home, **args["envs"]}
        done = subprocess.run(
            ["sh", "-c", args["command"]], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        out = {"stdout": done.stdout, "stderr": done.stderr, "exit_code": done.returncode, "traceId": "t"}
        return json.dumps(out), done.returncode != 0

    bay.tools["shell"] = shell
    return session.git


@needs_git
def test_a_repository_from_init_to_pull(git: SyncGit, tmp_path: Path) -> None:
    repo = str(tmp_path / "a repo")
    assert git.init(repo, initial_branch="main").path == repo
    assert git.status(repo).current_branch == "main" and git.status(repo).is_clean
    (tmp_path / "a repo" / "it's.txt").write_text("one\n")
    assert git.status(repo).files[0].status == "untracked" and git.status(repo).has_untracked
    git.add(repo, files=["it's.txt"])
    staged = git.status(repo)
    assert staged.has_staged and staged.files[0].index_status == "A" and staged.staged_count == 1
    commit = git.commit(repo, 'first\n\nwith "quotes" and $HOME', author_name="A da", author_email="ada@x")
    (entry,) = git.log(repo).entries
    assert entry.hash == commit.commit_hash and entry.hash and entry.hash.startswith(entry.short_hash)
    assert (entry.author_name, entry.author_email) == ("A da", "ada@x")
    assert entry.message == 'first\n\nwith "quotes" and $HOME'
    assert git.get_config(repo, "user.name", scope="local") is None
    git.configure_user(repo, "Bob", "bob@x", scope="local")
    assert git.get_config(repo, "user.name", scope="local") == "Bob"

    clone = git.clone(repo, path=str(tmp_path / "clone"), branch="main").path
    subprocess.run(["mv", "it's.txt", "new.txt"], cwd=repo, check=True)
    git.add(repo)
    renamed = git.status(repo).files[0]
    assert (renamed.status, renamed.path, renamed.renamed_from) == ("renamed", "new.txt", "it's.txt")
    git.commit(repo, "second")
    git.pull(clone)
    assert len(git.log(clone, max_count=5).entries) == 2
    assert git.status(clone).upstream == "origin/main"


@needs_git
def test_branches_remotes_reset_and_restore(git: SyncGit, tmp_path: Path) -> None:
    repo = git.init(str(tmp_path / "r"), initial_branch="main").path
    git.configure_user(repo, "Bob", "bob@x")
    file = tmp_path / "r" / "f"
    file.write_text("1")
    git.add(repo)
    git.commit(repo, "1")
    git.create_branch(repo, "feature/x")
    git.create_branch(repo, "idle", checkout=False)
    branches = git.list_branches(repo)
    assert branches.current == "feature/x" and [b.name for b in branches.branches] == [
        "feature/x",
        "idle",
        "main",
    ]
    file.write_text("2")
    git.add(repo)
    git.commit(repo, "2")
    git.checkout_branch(repo, "main")
    with pytest.raises(GitError):
        git.delete_branch(repo, "feature/x")
    git.delete_branch(repo, "feature/x", force=True)

    assert git.remote_get(repo, "origin") is None
    git.remote_add(repo, "origin", "https://one/x.git")
    with pytest.raises(GitError):
        git.remote_add(repo, "origin", "https://two/x.git")
    git.remote_add(repo, "origin", "https://two/x.git", overwrite=True)
    assert git.remote_get(repo, "origin") == "https://two/x.git"

    file.write_text("dirty")
    git.add(repo)
    git.restore(repo, ["f"], staged=True)
    assert git.status(repo).files[0].work_tree_status == "M"
    git.restore(repo, ["f"])
    assert git.status(repo).is_clean
    git.commit(repo, "empty", allow_empty=True)
    git.reset(repo, mode="hard", target="HEAD~1")
    assert [e.message for e in git.log(repo).entries] == ["1"]
    file.write_text("dirty")
    git.add(repo)
    git.reset(repo, paths=["f"])
    assert not git.status(repo).has_staged


@needs_git
def test_conflicts_and_directories_that_are_no_repository(git: SyncGit, tmp_path: Path) -> None:
    with pytest.raises(GitNotARepoError) as caught:
        git.status(str(tmp_path))
    assert caught.value.exit_code == 128 and caught.value.stderr
    one = git.init(str(tmp_path / "one"), initial_branch="main").path
    git.configure_user(one, "Bob", "bob@x")
    git.set_config(one, "pull.rebase", "false")
    with pytest.raises(GitError):
        git.log(one)
    for path, text in ((one, "base"),):
        Path(path, "f").write_text(text)
        git.add(path)
        git.commit(path, text)
    two = git.clone(one, path=str(tmp_path / "two")).path
    for path in (one, two):
        Path(path, "f").write_text(path)
        git.add(path)
        git.commit(path, path)
    with pytest.raises(GitConflictError):
        git.pull(two)
    assert git.status(two).has_conflicts and git.status(two).files[0].status == "conflict"


def test_bad_arguments_are_value_errors(session: Session) -> None:
    with pytest.raises(ValueError, match="reset mode"):
        session.git.reset("/r", mode="harder")
    with pytest.raises(ValueError, match="scope"):
        session.git.set_config("/r", "a.b", "c", scope="system")
    with pytest.raises(ValueError, match="path"):
        session.git.restore("/r", [])


@pytest.mark.parametrize(
    ("code", "stderr", "kind"),
    [
        (127, "sh: 1: git: not found", GitNotFoundError),
        (128, "fatal: not a git repository (or any of the parent directories): .git", GitNotARepoError),
        (128, "fatal: could not read Username for 'https://x': terminal prompts disabled", GitAuthError),
        (128, "git@x: Permission denied (publickey).", GitAuthError),
        (1, "error: Merging is not possible because you have unmerged files.", GitConflictError),
        (1, "nothing to commit", GitError),
        (-1, "", GitError),
    ],
)
def test_every_failure_has_its_error(code: int, stderr: str, kind: type[GitError]) -> None:
    error = git_error("x", CommandResult("", False, exit_code=code, stderr=stderr, error_message="[timeout]"))
    assert type(error) is kind and error.exit_code == code and error.stderr == stderr


@pytest.mark.parametrize(
    ("head", "want"),
    [
        ("## main...origin/main [ahead 2, behind 3]", ("main", "origin/main", 2, 3, False)),
        ("## main", ("main", None, 0, 0, False)),
        ("## No commits yet on main", ("main", None, 0, 0, False)),
        ("## HEAD (no branch)", (None, None, 0, 0, True)),
        ("## a.b...o/a.b [gone]", ("a.b", "o/a.b", 0, 0, False)),
    ],
)
def test_the_head_of_a_status_is_read(head: str, want: tuple[object, ...]) -> None:
    s = parse_status(head + "\0")
    assert (s.current_branch, s.upstream, s.ahead, s.behind, s.detached) == want


def test_a_detached_head_is_no_branch() -> None:
    assert parse_branches("*(HEAD detached at 1234)\n main\n").current is None


@pytest.mark.parametrize(
    "url", ["https://h/u/repo.git", "https://h/u/repo/", "git@h:u/repo.git", "git@h:repo.git"]
)
def test_a_clone_is_named_after_its_url(url: str) -> None:
    assert path_of_url(url) == "repo"
