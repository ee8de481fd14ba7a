"""Names, configuration, logging, and the synchronous half."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import agentbay
from agentbay import AgentBay, AgentBayLogger, AsyncAgentBay, Config, get_logger
from agentbay._common.config import endpoint_url, load_settings, parse_env
from agentbay._common.log import mask, setup_from_environment

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_KEY", "ENDPOINT", "TIMEOUT_MS", "REGION_ID", "LOG_LEVEL", "LOG_FORMAT", "LOG_FILE"):
        monkeypatch.delenv("AGENTBAY_" + name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_synchronous_half_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "make_sync.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for path in (ROOT / "agentbay" / "_sync").glob("*.py"):
        assert not re.search(r"\b(await|async|asyncio)\b", path.read_text()), path


HALVES = [
    "AgentBay",
    "Session",
    "Command",
    "FileSystem",
    "FileTransfer",
    "Code",
    "Git",
    "ContextService",
    "ContextManager",
]


@pytest.mark.parametrize("name", HALVES)
def test_both_halves_have_the_same_methods(name: str) -> None:
    sync, twin = getattr(agentbay, name), getattr(agentbay, "Async" + name)
    for method, function in inspect.getmembers(sync, inspect.isfunction):
        if not method.startswith("_"):
            other = inspect.signature(getattr(twin, method))
            assert list(inspect.signature(function).parameters) == list(other.parameters), method


def test_the_older_import_paths_work() -> None:
    from agentbay.browser import BrowserOption
    from agentbay.mobile import KeyCode
    from agentbay.session_params import CreateSessionParams

    assert CreateSessionParams is agentbay.CreateSessionParams
    assert KeyCode.HOME == 3 and BrowserOption().use_stealth is False


def test_every_exported_name_exists_and_is_documented() -> None:
    for name in agentbay.__all__:
        value = getattr(agentbay, name)
        if inspect.isclass(value):
            assert value.__doc__ and not value.__doc__.startswith(name + "("), name


@pytest.mark.parametrize("kind", [AgentBay, AsyncAgentBay])
def test_a_client_without_a_key_or_endpoint_says_what_to_set(kind: type[AgentBay]) -> None:
    with pytest.raises(ValueError, match="AGENTBAY_API_KEY"):
        kind()
    with pytest.raises(ValueError, match="AGENTBAY_ENDPOINT"):
        kind("akm-x")


def test_arguments_beat_the_environment_and_that_beats_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("AGENTBAY_API_KEY=file\nAGENTBAY_ENDPOINT=file:1\nAGENTBAY_TIMEOUT_MS=5\n")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert load_settings().api_key == "file" and load_settings().timeout_ms == 5
    monkeypatch.setenv("AGENTBAY_API_KEY", "env")
    monkeypatch.setenv("AGENTBAY_ENDPOINT", "env:1")
    assert (load_settings().api_key, load_settings().url) == ("env", "https://env:1/")
    given = load_settings("arg", Config("http://arg:1"))
    assert (given.api_key, given.url, given.timeout_ms) == ("arg", "http://arg:1/", 60_000)


def test_the_nearest_env_file_counts_and_an_explicit_one_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("AGENTBAY_API_KEY=far\nAGENTBAY_ENDPOINT=far:1")
    near = tmp_path / "near"
    near.mkdir()
    (near / ".env").write_text("AGENTBAY_API_KEY='near'\nAGENTBAY_REGION_ID=r # comment")
    (tmp_path / "own.env").write_text('export AGENTBAY_API_KEY="own"\nAGENTBAY_ENDPOINT=own:1')
    monkeypatch.chdir(near)
    with pytest.raises(ValueError, match="AGENTBAY_ENDPOINT"):
        load_settings()  # the search ends at the first file
    assert load_settings(env_file=str(tmp_path / "own.env")).api_key == "own"


def test_env_files_are_read_leniently() -> None:
    text = "\n# c\nA=1\nB = 2 \nexport C='x # y'\nD=a=b\nno line\n=x\nE="
    assert parse_env(text) == {"A": "1", "B": "2", "C": "x # y", "D": "a=b", "E": ""}


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("bay:8443", "https://bay:8443/"),
        ("http://bay:80", "http://bay:80/"),
        ("https://bay/", "https://bay/"),
        ("[::1]:8443", "https://[::1]:8443/"),
    ],
)
def test_endpoints_become_urls(endpoint: str, url: str) -> None:
    assert endpoint_url(endpoint) == url


@pytest.mark.parametrize("endpoint", ["", "ftp://bay", "http://"])
def test_bad_endpoints_are_refused(endpoint: str) -> None:
    with pytest.raises(ValueError):
        endpoint_url(endpoint)


def test_a_bad_timeout_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTBAY_TIMEOUT_MS", "soon")
    with pytest.raises(ValueError, match="AGENTBAY_TIMEOUT_MS"):
        load_settings("k")


@pytest.mark.parametrize(
    "secret",
    [
        "Authorization=Bearer+s3cret",
        "Authorization: Bearer s3cret",
        "Authorization: s3cret",
        '{"token": "s3cret"}',
        "X-Access-Token: s3cret",
        "password=s3cret",
        "access_key_secret='s3cret'",
        "akm-s3cret",
        "-----BEGIN RSA PRIVATE KEY-----\ns3cret\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_are_masked(secret: str) -> None:
    assert "s3cret" not in mask(f"before {secret} after") and "before" in mask(f"before {secret} after")


@pytest.fixture
def no_logging() -> object:
    yield None
    AgentBayLogger._remove_handlers()
    logging.getLogger("agentbay").propagate = True
    logging.getLogger("agentbay").setLevel(logging.NOTSET)


@pytest.mark.parametrize("style", ["pretty", "sls"])
def test_the_log_file_has_details_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_logging: object, style: str
) -> None:
    monkeypatch.setenv("AGENTBAY_LOG_FORMAT", style)
    AgentBayLogger.setup("DEBUG", tmp_path / "logs" / "x.log", enable_console=False, max_file_size="1 MB")
    get_logger("app").info("key akm-secret", extra={"details": {"a": 1}})
    AgentBayLogger.set_level("WARNING")
    get_logger().info("not this")
    (text,) = (tmp_path / "logs").iterdir()
    lines = text.read_text().splitlines()
    assert "akm-***" in lines[0] and "secret" not in lines[0]
    assert lines[1:] == (["   └─ a=1"] if style == "pretty" else [])
    assert style == "pretty" or lines[0].endswith(", a=1")


def test_log_files_rotate(tmp_path: Path, no_logging: object) -> None:
    AgentBayLogger.setup(
        "INFO", tmp_path / "x.log", enable_console=False, max_file_size="1 KB", retention="1 days"
    )
    for _ in range(40):
        get_logger().info("x" * 100)
    assert len(list(tmp_path.glob("x.log*"))) > 1


def test_setup_beats_the_environment(monkeypatch: pytest.MonkeyPatch, no_logging: object) -> None:
    AgentBayLogger.setup("ERROR", enable_file=False)
    setup_from_environment({"AGENTBAY_LOG_LEVEL": "DEBUG"})
    assert logging.getLogger("agentbay").level == logging.ERROR


def test_nothing_is_printed_unless_asked(no_logging: object) -> None:
    setup_from_environment({})
    assert [type(h) for h in logging.getLogger("agentbay").handlers] == [logging.NullHandler]


def test_an_async_client_can_be_made_outside_a_loop() -> None:
    client = AsyncAgentBay("k", Config("bay:1"))
    asyncio.run(client.close())
