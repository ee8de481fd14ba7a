"""Git in a session."""

from __future__ import annotations

import pytest

from agentbay import Session
from agentbay.git import GitConflictError, GitError, GitNotARepoError


def test_a_repository_from_init_to_pull(session: Session, folder: str) -> None:
    git, repo = session.git, f"{folder}/a repo"
    assert git.init(repo, initial_branch="main").path == repo
    git.configure_user(repo, "Test Bot", "bot@example.com", scope="local")
    assert git.get_config(repo, "user.name", scope="local") == "Test Bot"
    assert git.get_config(repo, "no.such", scope="local") is None
    assert session.file_system.write_file(f"{repo}/ü.txt", "one\n").success
    assert git.status(repo).files[0].status == "untracked"
    git.add(repo)
    commit = git.commit(
        repo, "first: “quoted” $HOME\n\nbody", author_name="Ada", author_email="ada@example.com"
    )
    (entry,) = git.log(repo).entries
    assert entry.hash == commit.commit_hash and entry.message == "first: “quoted” $HOME\n\nbody"
    assert (entry.author_name, entry.author_email) == ("Ada", "ada@example.com") and entry.date
    assert git.status(repo).is_clean and git.status(repo).current_branch == "main"

    clone = git.clone(repo, path=f"{folder}/clone").path
    git.create_branch(repo, "feature/x")
    assert git.list_branches(repo).current == "feature/x"
    git.checkout_branch(repo, "main")
    git.delete_branch(repo, "feature/x")
    assert session.file_system.write_file(f"{repo}/two.txt", "2").success
    git.add(repo, files=["two.txt"])
    git.commit(repo, "second")
    git.pull(clone)
    assert [e.message for e in git.log(clone, max_count=1).entries] == ["second"]
    git.reset(repo, mode="hard", target="HEAD~1")
    assert len(git.log(repo).entries) == 1
    assert git.remote_get(repo, "origin") is None
    git.remote_add(repo, "origin", clone)
    git.remote_add(repo, "origin", repo, overwrite=True, fetch=True)
    assert git.remote_get(repo, "origin") == repo


def test_failures_have_their_own_errors(session: Session, folder: str) -> None:
    git = session.git
    with pytest.raises(GitNotARepoError):
        git.status("/tmp")
    one = git.init(f"{folder}/one", initial_branch="main").path
    git.configure_user(one, "Bot", "bot@example.com", scope="local")
    assert session.file_system.write_file(f"{one}/f", "base\n").success
    git.add(one)
    git.commit(one, "base")
    with pytest.raises(GitError):
        git.commit(one, "nothing")
    git.create_branch(one, "other")
    for branch in ("other", "main"):
        git.checkout_branch(one, branch)
        assert session.file_system.write_file(f"{one}/f", f"{branch}\n").success
        git.add(one)
        git.commit(one, branch)
    git.set_config(one, "pull.rebase", "false", scope="local")
    with pytest.raises(GitConflictError):
        git.pull(one, remote=".", branch="other")
    assert git.status(one).has_conflicts
    with pytest.raises(GitError):
        git.clone(f"{folder}/missing")
