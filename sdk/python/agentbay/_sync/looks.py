# Written by tools/make_sync.py from agentbay/_async/looks.py; change that file instead.
"""How often something that is under way is looked at."""

from __future__ import annotations

import time
from collections.abc import Iterator

from . import _io

_FIRST_PAUSE = 0.01
_GROWTH = 1.5


def looks(patience: float, longest_pause: float) -> Iterator[None]:
    """Yield at once, soon after, then less and less often, until patience seconds are over.

    What is done in milliseconds is seen in milliseconds; what takes long is not
    asked about all the time.
    """
    deadline = time.monotonic() + patience
    pause = min(_FIRST_PAUSE, longest_pause)
    yield
    while (left := deadline - time.monotonic()) > 0:
        _io.sleep(min(pause, left))
        yield
        pause = min(pause * _GROWTH, longest_pause)
