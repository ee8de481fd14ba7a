"""The thread that watches a directory."""

from __future__ import annotations

import threading
from collections.abc import Callable


class WatchThread(threading.Thread):
    """Watches a directory once started, until stop_event is set.

    ready_event is set when every change from then on will be reported.
    """

    def __init__(
        self, watch: Callable[[WatchThread], None], stop_event: threading.Event | None = None
    ) -> None:
        super().__init__(name="agentbay-watch", daemon=True)
        self.stop_event = stop_event or threading.Event()
        self.ready_event = threading.Event()
        self._watch = watch

    def run(self) -> None:
        """Watch; called by start."""
        self._watch(self)
