"""A replay of what a browser showed, had while it is recorded and afterwards."""

from __future__ import annotations

import json
import urllib.request

from acceptance.conftest import NewSession
from agentbay import AgentBay, Session
from agentbay._common.screen import Recording


def replay(session: Session) -> Recording:
    """The session's replay."""
    (found,) = [r for r in session.recordings().recordings if r.kind == "pages"]
    return found


def lines(recording: Recording) -> list[dict[str, object]]:
    """What there is of a replay."""
    with urllib.request.urlopen(recording.data_url, timeout=60) as answer:
        return [json.loads(line) for line in answer.read().splitlines(keepends=True) if line.endswith(b"\n")]


def test_what_pages_show_is_recorded(agent_bay: AgentBay, new_session: NewSession) -> None:
    session = new_session(image_id="browser_latest", enable_browser_replay=True)
    assert session.enable_browser_replay is True
    assert session.browser.initialize()
    page = "data:text/html,<title>x</title><h1>On the record</h1><input id=a><script>console.log('logged')</script>"
    session.browser.operator.navigate(page)
    filled = session.call_mcp_tool("page_use_perform", {"method": "fill", "selector": "#a", "text": "typed"})
    assert filled.success, filled.error_message
    during = replay(session)
    assert during.ended_at is None and "/replay/tok-" in during.url, during
    with urllib.request.urlopen(during.url, timeout=60) as answer:
        assert "AgentBay – replay" in answer.read().decode()
    assert session.command.execute_command("ls /home/wuying/record").output.startswith("replay-")
    assert agent_bay.delete(session).success
    after = replay(session)
    assert after.name == during.name and after.reason == "the session ended", after
    text = json.dumps(lines(after))
    for want in ("On the record", "logged", "typed"):
        assert want in text, want


def test_what_is_not_wanted_is_not_recorded(new_session: NewSession) -> None:
    for wish in (None, False):
        session = new_session(image_id="browser_latest", enable_browser_replay=wish)
        assert session.browser.initialize()
        assert session.recordings().recordings == []
