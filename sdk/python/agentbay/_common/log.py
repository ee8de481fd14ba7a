"""Logging of the SDK: Python's own, with secrets masked and two formats.

Nothing is printed until AgentBayLogger.setup is called or one of
AGENTBAY_LOG_LEVEL, AGENTBAY_LOG_FORMAT and AGENTBAY_LOG_FILE is set; until then
records go to whatever logging the application has.
"""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from .config import environment

ROOT = logging.getLogger("agentbay")
ROOT.addHandler(logging.NullHandler())  # else Python prints warnings of who asked for none

_SECRETS = [
    (re.compile(r"(?i)(bearer[\s+]+)[^\s\"'&,}]+"), r"\1***"),
    (
        re.compile(
            r"(?i)([\"']?(?:authorization|x-access-token|api_?key|(?:access_|security_)?token|"
            r"access_key_(?:id|secret)|password|secret)[\"']?\s*[:=]\s*[\"']?)(?!bearer)[^\s\"'&,}]+"
        ),
        r"\1***",
    ),
    (re.compile(r"\bakm-[A-Za-z0-9_-]+"), "akm-***"),
    (re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----"), "***"),
]


def mask(text: str) -> str:
    """Replace what looks like a credential by ***."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class _Format(logging.Formatter):
    """Pretty puts a call's details on lines of their own; sls is one line of key=value."""

    def __init__(self, style: str, colour: bool) -> None:
        super().__init__("%(asctime)s | %(levelname)s | %(name)s | %(message)s")
        self._join = ", " if style == "sls" else "\n   └─ "
        self._colour = colour and style != "sls"

    def format(self, record: logging.LogRecord) -> str:
        details: Mapping[str, object] = getattr(record, "details", {})
        text = mask(self._join.join([super().format(record), *(f"{k}={v}" for k, v in details.items())]))
        if self._colour and record.levelno >= logging.WARNING:
            return f"\033[{31 if record.levelno >= logging.ERROR else 33}m{text}\033[0m"
        return text


class _Rotating(logging.handlers.RotatingFileHandler):
    """Rotates by size and forgets what is older than the retention."""

    def __init__(self, path: Path, max_bytes: int, retention_s: float) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=99, encoding="utf-8", delay=True)
        self._retention_s = retention_s

    def doRollover(self) -> None:
        super().doRollover()
        base = Path(self.baseFilename)
        for old in base.parent.glob(base.name + ".*"):
            if time.time() - old.stat().st_mtime > self._retention_s:
                old.unlink(missing_ok=True)


class AgentBayLogger:
    """How the SDK logs. Calling setup is optional."""

    _handlers: list[logging.Handler] = []

    @classmethod
    def setup(
        cls,
        level: str = "INFO",
        log_file: str | Path | None = None,
        enable_console: bool = True,
        enable_file: bool = True,
        rotation: str | None = None,
        retention: str = "30 days",
        max_file_size: str | None = None,
        colorize: bool | None = None,
        force_reinit: bool = True,
    ) -> None:
        """Say what is logged and where to. rotation is an older name of max_file_size."""
        if cls._handlers and not force_reinit:
            return
        cls._remove_handlers()
        env = environment()
        style = env.get("AGENTBAY_LOG_FORMAT", "pretty")
        if enable_console:
            colour = sys.stderr.isatty() if colorize is None else colorize
            cls._add(logging.StreamHandler(), _Format(style, colour))
        if enable_file:
            path = Path(log_file or env.get("AGENTBAY_LOG_FILE") or _default_file())
            path.parent.mkdir(parents=True, exist_ok=True)
            size = _bytes(max_file_size or rotation or "10 MB")
            cls._add(_Rotating(path, size, _seconds(retention)), _Format(style, False))
        ROOT.propagate = False
        cls.set_level(level)

    @classmethod
    def _add(cls, handler: logging.Handler, formatter: logging.Formatter) -> None:
        handler.setFormatter(formatter)
        ROOT.addHandler(handler)
        cls._handlers.append(handler)

    @classmethod
    def _remove_handlers(cls) -> None:
        while cls._handlers:
            handler = cls._handlers.pop()
            ROOT.removeHandler(handler)
            handler.close()

    @classmethod
    def set_level(cls, level: str) -> None:
        """Change what is logged: DEBUG, INFO, WARNING, ERROR or CRITICAL."""
        ROOT.setLevel(level.upper())

    @classmethod
    def get_logger(cls, name: str | None = None) -> logging.Logger:
        """A logger whose records go where the SDK's go."""
        return get_logger(name or "agentbay")


def get_logger(name: str = "agentbay") -> logging.Logger:
    """A logger whose records go where the SDK's go."""
    return ROOT if name in ("", "agentbay") else ROOT.getChild(name)


def setup_from_environment(env: Mapping[str, str]) -> None:
    """Set logging up as the environment or .env file asks, unless the program did so itself."""
    level = env.get("AGENTBAY_LOG_LEVEL") or env.get("LOG_LEVEL") or "INFO"
    file = env.get("AGENTBAY_LOG_FILE")
    if file or env.get("AGENTBAY_LOG_LEVEL") or env.get("AGENTBAY_LOG_FORMAT"):
        AgentBayLogger.setup(level, file, enable_file=bool(file), force_reinit=False)


def log_call(what: str, request_id: str, error: str, details: Mapping[str, object]) -> None:
    """Log one answer of a bay, with the request ID that finds it in the server's log."""
    if error:
        ROOT.warning("Call failed: %s, RequestId=%s, %s", what, request_id, error, extra={"details": details})
    else:
        ROOT.info("API Response: %s, RequestId=%s", what, request_id, extra={"details": details})


def _default_file() -> Path:
    here = Path.cwd()
    try:
        (here / "agentbay.log").touch()
    except OSError:
        return Path(tempfile.gettempdir()) / "agentbay.log"
    return here / "agentbay.log"


_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "month": 2592000}


def _bytes(text: str) -> int:
    return int(_quantity(text, _UNITS))


def _seconds(text: str) -> float:
    return _quantity(text.rstrip("s"), _PERIODS)


def _quantity(text: str, units: Mapping[str, int]) -> float:
    match = re.fullmatch(r"\s*([\d.]+)\s*([A-Za-z]+)\s*", text)
    if not match or match[2].lower() not in units:
        raise ValueError(f"{text!r} is not a number and one of {', '.join(units)}")
    return float(match[1]) * units[match[2].lower()]
