# Written by tools/make_sync.py from agentbay/_async/screen.py; change that file instead.
"""What people see of a session, and do in it."""

from __future__ import annotations

from collections.abc import Mapping

from .._common.results import OperationResult
from .._common.screen import (
    ControlResult,
    HelpResult,
    RecordingListResult,
    RecordingResult,
    RecordingSpec,
    control_result,
    parse_help,
    recording_list,
    recording_result,
)
from .._common.wire import Reply
from .looks import looks

_LONGEST_PAUSE = 1.0


class Screen:
    """The part of a session that is about people: its page, control, help and recordings."""

    def _rpc(self, action: str, params: Mapping[str, object]) -> Reply:
        raise NotImplementedError

    def view_link(self, watch_only: bool = False) -> OperationResult:
        """Get a page that shows the screen to whoever has its address; data is the URL.

        It has mouse and keyboard unless it is for watching only, and opens until
        the session ends or revoke_views is called.
        """
        reply = self._rpc("CreateViewLink", {"WatchOnly": watch_only})
        url = reply.data.get("Url") if isinstance(reply.data, dict) else None
        return OperationResult(reply.request_id, reply.success, url, reply.error)

    def revoke_views(self) -> OperationResult:
        """Make every link to the session's page useless, and close the pages that are open."""
        reply = self._rpc("RevokeViewLinks", {})
        return OperationResult(reply.request_id, reply.success, None, reply.error)

    def control(self) -> ControlResult:
        """Get who is at the session's screen, and who had control of it."""
        return control_result(self._rpc("DescribeControl", {}))

    def request_help(self, message: str, timeout: float = 600.0) -> HelpResult:
        """Ask the people at the screen for help, and wait until one has taken control and handed it back.

        Without an answer within timeout seconds the result is no success, and its
        help says how far it is; the request stays open. With 0 it is not waited for.
        """
        reply = self._rpc("RequestHelp", {"Message": message})
        if not reply.success or not isinstance(reply.data, dict):
            return HelpResult(
                reply.request_id, error_message=reply.error or "the bay's answer holds no request"
            )
        asked = parse_help(reply.data)
        if timeout <= 0:
            return HelpResult(reply.request_id, True, asked)
        for _ in looks(timeout, _LONGEST_PAUSE):
            seen = self.control()
            if seen.control is None:
                return HelpResult(seen.request_id, False, asked, seen.error_message)
            asked = next((h for h in seen.control.help if h.id == asked.id), asked)
            if asked.state == "done":
                return HelpResult(reply.request_id, True, asked)
        return HelpResult(reply.request_id, False, asked, f"nobody has helped within {timeout:.0f} s")

    def answer_help(self, help_id: str, note: str = "") -> OperationResult:
        """Say that what was asked for is done, without control having been taken; note is for the agent."""
        reply = self._rpc("AnswerHelp", {"HelpId": help_id, "Note": note})
        return OperationResult(reply.request_id, reply.success, None, reply.error)

    def start_recording(
        self, frame_rate: int | None = None, max_bytes: int | None = None
    ) -> RecordingResult:
        """Record the screen until stop_recording, the end of the session or the end of the room for it.

        frame_rate is at most 30 a second, by default 10; the video is at most
        max_bytes long, by default 512 MiB. It returns when the first picture is in it.
        """
        spec = RecordingSpec(frame_rate, max_bytes)
        return recording_result(self._rpc("StartRecording", spec.to_wire()))

    def stop_recording(self) -> RecordingResult:
        """End the recording, and return it when its video is complete."""
        return recording_result(self._rpc("StopRecording", {}))

    def recordings(self) -> RecordingListResult:
        """List the recordings of the session, oldest first, also for a while after it has ended."""
        return recording_list(self._rpc("ListRecordings", {}))
