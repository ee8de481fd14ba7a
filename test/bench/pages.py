"""Opens pages with Playwright, and prints as JSON how long that took.

With "serve PORT" it is the site instead that the pages are of; it needs no Playwright then.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTEXTS, PAGES = 20, 5
ROWS = "".join(f"<tr><td>{i}</td><td>ware {i}</td><td><img src='/{i % 5}.svg'></td></tr>" for i in range(200))
PAGE = f"""<!doctype html><title>Wares</title><link rel=stylesheet href=/style.css><h1>Wares</h1><table>{ROWS}</table>
<script src=/script.js></script>"""
STYLE = "body { font-family: sans-serif } td { padding: 4px; border-bottom: 1px solid #ccc }"
SCRIPT = "for (const row of document.querySelectorAll('tr')) row.dataset.words = row.innerText.split(' ').length"
DOT = "<svg xmlns='http://www.w3.org/2000/svg' width='16' height='16'><circle cx='8' cy='8' r='8'/></svg>"


class Site(BaseHTTPRequestHandler):
    """A page with a table, a style sheet, a script and five pictures, none of which is cached."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, text = {
            "/": ("text/html", PAGE),
            "/style.css": ("text/css", STYLE),
            "/script.js": ("text/javascript", SCRIPT),
        }.get(self.path, ("image/svg+xml", DOT))
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def visit(context, address: str, times: list[float]) -> None:
    page = await context.new_page()
    start = time.perf_counter()
    await page.goto(address)
    times.append(time.perf_counter() - start)
    assert await page.title() == "Wares"


async def measure(link: str, address: str) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as p:
        if link == "launch":
            browser = await p.chromium.launch(executable_path="/usr/bin/chromium", headless=False, args=["--no-sandbox", "--disable-gpu"])
        else:
            browser = await p.chromium.connect_over_cdp(link)
        times: list[float] = []
        start = time.perf_counter()
        for _ in range(CONTEXTS):
            context = await browser.new_context()
            await asyncio.gather(*(visit(context, address, times) for _ in range(PAGES)))
            await context.close()
        took = time.perf_counter() - start
        await browser.close()
    print(json.dumps({"pages/s": CONTEXTS * PAGES / took, "p50-ms": sorted(times)[len(times) // 2] * 1000}))


if sys.argv[1] == "serve":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Site).serve_forever()
else:
    asyncio.run(measure(sys.argv[1], sys.argv[2]))
