"""What the synchronous half does otherwise than the asynchronous one."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx
from websockets.sync.client import ClientConnection as WebSocket
from websockets.sync.client import connect

sleep = time.sleep

__all__ = [
    "HTTP",
    "WebSocket",
    "blocking",
    "call_back",
    "connect_socket",
    "in_background",
    "receive",
    "run_in_thread",
    "sleep",
]

T = TypeVar("T")
R = TypeVar("R")


class HTTP:
    """A pool of connections that all threads share."""

    def __init__(self, make: Callable[[type[httpx.Client]], httpx.Client]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None  # guarded by _lock

    def client(self) -> httpx.Client:
        """The pool."""
        with self._lock:
            if self._client is None:
                self._client = self._make(httpx.Client)
            return self._client

    def close(self) -> None:
        """Close the pool. The next call opens a new one."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


def connect_socket(
    url: str, headers: Mapping[str, str], tls: ssl.SSLContext | None, timeout: float, max_size: int
) -> WebSocket:
    """Open a WebSocket. Entered without with, because whoever opens it closes it."""
    opening = connect(
        url, additional_headers=headers, ssl=tls, open_timeout=timeout, max_size=max_size, compression=None
    )
    return opening.__enter__()


def receive(socket: WebSocket, timeout: float) -> str | bytes | None:
    """The next message, or None if none came in time."""
    try:
        return socket.recv(timeout)
    except TimeoutError:
        return None


def run_in_thread(work: Callable[[], None], http: HTTP) -> None:
    """Do work in a thread; the pool stays open for the others."""
    work()


def blocking(work: Callable[[T], R], argument: T) -> R:
    """Do work that blocks."""
    return work(argument)


def in_background(work: Callable[[], None]) -> None:
    """Begin work that nobody waits for."""
    threading.Thread(target=work, name="agentbay-background", daemon=True).start()


def call_back(callback: Callable[[T], object], argument: T) -> None:
    """Call a callback."""
    callback(argument)
