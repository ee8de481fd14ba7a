"""Writes agentbay/_sync from agentbay/_async: the same code without async and await.

    python tools/make_sync.py           writes the files
    python tools/make_sync.py --check   exits with 1 if they are not up to date

Only _io.py is written by hand in both.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "agentbay"
HEADER = "# Written by tools/make_sync.py from agentbay/_async/{name}; change that file instead.\n"
BY_HAND = {"_io.py"}

RULES = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bawaited\b", "called"),
    (r"\bAsync([A-Z])", r"\1"),
    (r"\b_async\b", "_sync"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\baiter_raw\b", "iter_raw"),
    (r"\bhttpx\.AsyncClient\b", "httpx.Client"),
    (r"\b([Aa])synchronous\b", lambda m: "Synchronous" if m[1] == "A" else "synchronous"),
    (r"\bCoroutine\[Any, Any, ([^]]+)\]", r"\1"),
]


def to_sync(source: str) -> str:
    """The synchronous twin of a module."""
    for pattern, replacement in RULES:
        source = re.sub(pattern, replacement, source)
    return source


def generated() -> dict[Path, str]:
    """What every generated file has to hold."""
    sources = (p for p in sorted((PACKAGE / "_async").glob("*.py")) if p.name not in BY_HAND)
    return {PACKAGE / "_sync" / p.name: HEADER.format(name=p.name) + to_sync(p.read_text()) for p in sources}


def main(check: bool) -> int:
    stale = [p for p, text in generated().items() if not p.is_file() or p.read_text() != text]
    for path in stale:
        if check:
            print(f"{path} is not up to date; run python tools/make_sync.py", file=sys.stderr)
        else:
            path.write_text(generated()[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
