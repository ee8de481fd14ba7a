"""A model at work on pages. The model is scripted: this file answers for it."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from acceptance.conftest import NewSession
from agentbay import ActOptions, ExtractOptions, ObserveOptions

Script = Callable[[str], str]

PAGE = """<!doctype html><title>Shop</title><p>Tea costs 3.50</p>
<label>Name <input id=who></label><button onclick="document.title = 'Hello ' + who.value">Greet</button>"""


class Model(ThreadingHTTPServer):
    """An OpenAI-compatible API whose answers are what the test says."""

    script: Script = staticmethod(lambda _: "{}")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = "\n".join(str(m["content"]) for m in body["messages"])
        answer = self.server.script(asked)  # type: ignore[attr-defined]
        message = {"role": "assistant", "content": answer}
        text = json.dumps({"choices": [{"message": message}], "usage": {"prompt_tokens": 9}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def model() -> Iterator[Model]:
    if "AGENTBAY_TEST_MODEL" not in os.environ:
        pytest.skip("AGENTBAY_TEST_MODEL is not set: the address where the bay looks for its model")
    host, port = os.environ["AGENTBAY_TEST_MODEL"].split(":")
    with Model((host, int(port)), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ref(asked: str, line: str) -> str:
    found = re.search(rf"^ *{re.escape(line)}.*\[(e[^]]+)\]$", asked, re.MULTILINE)
    return found[1] if found else "e404"


def test_a_model_works_on_a_page(new_session: NewSession, model: Model) -> None:
    session = new_session(image_id="browser_latest")
    assert session.file_system.write_file("/tmp/shop.html", PAGE).success
    assert session.browser.initialize()
    operator = session.browser.operator
    assert '"Shop"' in operator.navigate("file:///tmp/shop.html")

    def greet(asked: str) -> str:
        if 'The page is "Hello %who%"' in asked:
            return '{"done": true, "success": true, "message": "greeted"}'
        fill = {"method": "fill", "ref": ref(asked, 'textbox "Name"'), "text": "%who%"}
        click = {"method": "click", "ref": ref(asked, 'button "Greet"')}
        return json.dumps({"actions": [fill, click]})

    model.script = greet  # type: ignore[method-assign]
    result = operator.act(ActOptions("greet %who%", variables={"who": "Zoë"}))
    assert result.success and "greeted" in result.message, result

    model.script = lambda _: '{"data": {"price": 3.5}}'  # type: ignore[method-assign]
    schema = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
    assert operator.extract(ExtractOptions("the price of tea", schema)) == (True, {"price": 3.5})

    model.script = lambda asked: json.dumps(  # type: ignore[method-assign]
        {"found": [{"ref": ref(asked, 'button "Greet"'), "description": "greets", "method": "click"}]}
    )
    ok, found = operator.observe(ObserveOptions("what greets"))
    assert ok and found[0].selector == "xpath=/html/body/button", found
    model.script = lambda _: "of no use"  # type: ignore[method-assign]
    assert operator.act(found[0]).success
