"""What code a run is of."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from carbon_core.code import code_facts, git_commit


def git(directory: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *words], cwd=directory, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git(tmp_path, "init", "-q", "-b", "main", ".")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    return tmp_path


def test_the_commit_of_a_branch_is_found_from_within_the_tree(repository: Path) -> None:
    inner = repository / "a" / "b"
    inner.mkdir(parents=True)
    assert git_commit(inner) == git(repository, "rev-parse", "HEAD")


def test_a_detached_head_a_packed_branch_and_a_second_tree_are_read(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    assert git_commit(repository) == first
    second_tree = tmp_path_factory.mktemp("trees") / "other"
    git(repository, "worktree", "add", "-q", "-b", "other", str(second_tree))
    git(second_tree, "commit", "-q", "--allow-empty", "-m", "two")
    assert git_commit(second_tree) == git(second_tree, "rev-parse", "HEAD") != first
    git(repository, "checkout", "-q", "--detach", "other")
    assert git_commit(repository) == git(second_tree, "rev-parse", "HEAD")


@pytest.mark.parametrize("head", [b"", b"ref: refs/heads/none", b"\xff\xfe", b"not a commit"])
def test_a_repository_without_a_commit_has_none(head: bytes, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(head)
    assert git_commit(tmp_path) is None


def test_versions_are_those_of_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(__version__="9.8.7"))
    monkeypatch.delitem(sys.modules, "trl", raising=False)
    facts = code_facts(tmp_path)
    assert facts["jax_version"] == "9.8.7"
    assert "trl_version" not in facts
