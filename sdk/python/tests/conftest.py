"""Fixtures: a small bay, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bay import KEY, TestBay

from agentbay import AgentBay, Config, Session


@pytest.fixture(params=["link", "rpc"])
def bay(request: pytest.FixtureRequest) -> Iterator[TestBay]:
    """A bay whose sessions have a link, then one whose sessions do not."""
    running = TestBay(link=request.param == "link")
    yield running
    running.close()


@pytest.fixture
def client(bay: TestBay) -> Iterator[AgentBay]:
    with AgentBay(KEY, Config(endpoint=bay.endpoint)) as client:
        yield client


@pytest.fixture
def session(client: AgentBay) -> Session:
    result = client.create()
    assert result.session is not None, result.error_message
    return result.session
