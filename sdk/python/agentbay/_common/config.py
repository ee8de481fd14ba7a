"""Where the bay is and who is asking: arguments first, then the environment, then a .env file."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import certifi

DEFAULT_TIMEOUT_MS = 60_000
"""How long a call that is not a tool call may take, unless configured otherwise."""


@dataclass
class Config:
    """Where the bay is. A Config that is passed to a client replaces the environment's.

    endpoint is ``host:port``, which means HTTPS, or a URL that starts with
    ``http://`` or ``https://``.
    """

    endpoint: str | None = None
    timeout_ms: int | None = None
    region_id: str | None = None


@dataclass(frozen=True)
class Settings:
    """A client's complete configuration."""

    api_key: str
    url: str
    timeout_ms: int
    region_id: str


def load_settings(api_key: str = "", cfg: Config | None = None, env_file: str | None = None) -> Settings:
    """Settle what to use. Raises ValueError, naming the variable to set, for what is missing."""
    env = environment(env_file)
    key = api_key or env.get("AGENTBAY_API_KEY", "")
    if not key:
        raise ValueError(
            "API key is required. Provide it as a parameter or set the AGENTBAY_API_KEY environment variable"
        )
    cfg = cfg or _config_from(env)
    return Settings(
        api_key=key,
        url=endpoint_url(cfg.endpoint or ""),
        timeout_ms=cfg.timeout_ms or DEFAULT_TIMEOUT_MS,
        region_id=cfg.region_id or "",
    )


def _config_from(env: Mapping[str, str]) -> Config:
    timeout = env.get("AGENTBAY_TIMEOUT_MS", "")
    if timeout and not (timeout.isdecimal() and int(timeout) > 0):
        raise ValueError(f"AGENTBAY_TIMEOUT_MS is {timeout!r}; it must be a number of milliseconds above 0")
    return Config(
        endpoint=env.get("AGENTBAY_ENDPOINT"),
        timeout_ms=int(timeout) if timeout else None,
        region_id=env.get("AGENTBAY_REGION_ID"),
    )


def endpoint_url(endpoint: str) -> str:
    """The base URL of an endpoint setting."""
    if not endpoint:
        raise ValueError(
            "Endpoint is required. Set the AGENTBAY_ENDPOINT environment variable to the bay's host:port, "
            "or pass Config(endpoint=...)"
        )
    url = endpoint if "://" in endpoint else "https://" + endpoint
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"endpoint {endpoint!r} is not host:port, http://host:port or https://host:port")
    return f"{parts.scheme}://{parts.netloc}/"


def environment(env_file: str | None = None) -> Mapping[str, str]:
    """The environment, completed by a .env file: the given one, else the nearest upwards."""
    path = Path(env_file) if env_file else _nearest_env_file(Path.cwd())
    if path is None or not path.is_file():
        return os.environ
    return {**parse_env(path.read_text(encoding="utf-8")), **os.environ}


def _nearest_env_file(start: Path) -> Path | None:
    candidates = (folder / ".env" for folder in (start, *start.parents))
    return next((path for path in candidates if path.is_file()), None)


def parse_env(text: str) -> dict[str, str]:
    """Read ``NAME=value`` lines; quotes around a value, comments and ``export`` are understood."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and name and not name.startswith("#"):
            found[name.strip()] = _unquote(value.strip())
    return found


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value.split(" #", 1)[0].rstrip()


def tls_context() -> ssl.SSLContext:
    """Trust in the system's roots, or SSL_CERT_FILE's, and in AGENTBAY_CA_FILE's besides."""
    return _tls_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("AGENTBAY_CA_FILE"))


@lru_cache(maxsize=8)
def _tls_context(cert_file: str | None, ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()  # SSL_CERT_FILE is honoured by OpenSSL itself
    if not cert_file and not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())  # an interpreter without roots of its own
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
