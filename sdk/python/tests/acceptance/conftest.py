"""Acceptance: what the SDK promises, asked of a real bay.

AGENTBAY_ENDPOINT and AGENTBAY_API_KEY say where it is; without them every test
here is skipped.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentbay import AgentBay, Context, CreateSessionParams, Session

KEYS = os.environ.get("AGENTBAY_WORKER_API_KEYS", "").split()
"""Keys of tests that run side by side: each sees only what is its own."""

if KEYS and (worker := os.environ.get("PYTEST_XDIST_WORKER", "")):
    os.environ["AGENTBAY_API_KEY"] = KEYS[int(worker.removeprefix("gw"))]

MISSING = [name for name in ("AGENTBAY_ENDPOINT", "AGENTBAY_API_KEY") if not os.environ.get(name)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if MISSING and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"no bay to ask: {' and '.join(MISSING)} not set"))


@pytest.fixture(scope="session")
def agent_bay() -> Iterator[AgentBay]:
    with AgentBay() as client:
        yield client


SITE = "http://localhost:8000/"
"""Where a session has the site that serve() has it serve."""

SERVE = """python3 -m http.server 8000 --directory /tmp/site >>/tmp/site.log 2>&1 &
for i in $(seq 100); do curl -sf localhost:8000 >/dev/null && exit; sleep 0.1; done; exit 1"""


def serve(session: Session, files: dict[str, str]) -> None:
    """Have a site served in the session, at SITE; its requests are in /tmp/site.log."""
    for name, text in files.items():
        assert session.file_system.write_file(f"/tmp/site/{name}", text).success
    served = session.command.execute_command(SERVE)
    assert served.success, served.error_message


NewSession = Callable[..., Session]


def make(agent_bay: AgentBay, **params: object) -> Session:
    result = agent_bay.create(CreateSessionParams(**params))  # type: ignore[arg-type]
    assert result.success and result.session, f"create {params}: {result.error_message}, {result.request_id}"
    return result.session


@pytest.fixture
def new_session(agent_bay: AgentBay) -> Iterator[NewSession]:
    """Makes sessions that are deleted when the test ends."""
    made: list[Session] = []

    def new(**params: object) -> Session:
        made.append(make(agent_bay, **params))
        return made[-1]

    yield new
    for session in made:
        session.delete()


NewContext = Callable[[], Context]


@pytest.fixture
def new_context(agent_bay: AgentBay) -> Iterator[NewContext]:
    """Makes contexts that are deleted when the test ends."""
    made: list[Context] = []

    def new() -> Context:
        result = agent_bay.context.create(f"acceptance-{uuid.uuid4().hex}")
        assert result.success and result.context, f"{result.error_message}, {result.request_id}"
        made.append(result.context)
        return made[-1]

    yield new
    for context in made:
        agent_bay.context.delete(context)


@pytest.fixture
def context(new_context: NewContext) -> Context:
    """A new, empty context."""
    return new_context()


@pytest.fixture(scope="module", params=["linux_latest", "code_latest"])
def session(agent_bay: AgentBay, request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session of each image, shared by the tests of a module."""
    with make(agent_bay, image_id=request.param) as session:
        yield session


@pytest.fixture(scope="module")
def code_session(agent_bay: AgentBay) -> Iterator[Session]:
    """A session of code_latest, shared by the tests of a module."""
    with make(agent_bay, image_id="code_latest") as session:
        yield session


@pytest.fixture(scope="module")
def linux_session(agent_bay: AgentBay) -> Iterator[Session]:
    """A session of linux_latest, whose user is not root, shared by the tests of a module."""
    with make(agent_bay, image_id="linux_latest") as session:
        yield session


@pytest.fixture(params=["link", "rpc"])
def way(request: pytest.FixtureRequest, session: Session) -> Iterator[Session]:
    """The shared session, its tools called over its link, then through the endpoint."""
    link = session.link_url
    if request.param == "rpc":
        session.link_url = ""
    yield session
    session.link_url = link


@pytest.fixture
def folder(session: Session) -> str:
    """A new directory in the shared session."""
    path = f"/tmp/{uuid.uuid4().hex}"
    result = session.file_system.create_directory(path)
    assert result.success, result.error_message
    return path
