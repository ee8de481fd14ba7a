"""What the asynchronous half does otherwise than the synchronous one."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import httpx
from websockets.asyncio.client import ClientConnection as WebSocket
from websockets.asyncio.client import connect

sleep = asyncio.sleep

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

_running: set[asyncio.Task[None]] = set()


class HTTP:
    """A pool of connections for each event loop that makes calls."""

    def __init__(self, make: Callable[[type[httpx.AsyncClient]], httpx.AsyncClient]) -> None:
        self._make = make
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    def client(self) -> httpx.AsyncClient:
        """The running loop's pool."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = self._make(httpx.AsyncClient)
        return self._clients[loop]

    async def close(self) -> None:
        """Close the running loop's pool. The next call opens a new one."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()


async def connect_socket(
    url: str, headers: Mapping[str, str], tls: ssl.SSLContext | None, timeout: float, max_size: int
) -> WebSocket:
    """Open a WebSocket."""
    return await connect(
        url, additional_headers=headers, ssl=tls, open_timeout=timeout, max_size=max_size, compression=None
    )


async def receive(socket: WebSocket, timeout: float) -> str | bytes | None:
    """The next message, or None if none came in time."""
    try:
        return await asyncio.wait_for(socket.recv(), timeout)
    except asyncio.TimeoutError:
        return None


def run_in_thread(work: Callable[[], Coroutine[Any, Any, None]], http: HTTP) -> None:
    """Do work in a thread that has no event loop of its own yet."""

    async def whole() -> None:
        try:
            await work()
        finally:
            await http.close()

    asyncio.run(whole())


async def blocking(work: Callable[[T], R], argument: T) -> R:
    """Do work that blocks, without keeping the event loop from others."""
    return await asyncio.to_thread(work, argument)


def in_background(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Begin work that nobody waits for."""
    task = asyncio.get_running_loop().create_task(work())
    _running.add(task)  # the loop itself would forget it
    task.add_done_callback(_running.discard)


async def call_back(callback: Callable[[T], object], argument: T) -> None:
    """Call a callback, which may be a coroutine function."""
    answer = callback(argument)
    if inspect.isawaitable(answer):
        await answer
