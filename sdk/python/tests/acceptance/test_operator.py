"""A model at work on pages. The model is scripted: this file answers for it."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from acceptance.conftest import NewSession
from agentbay import (
    ActOptions,
    AsyncAgentBay,
    BrowserNotifyMessage,
    BrowserOption,
    ExtractOptions,
    ObserveOptions,
    Session,
)

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
    assert operator.pdf(format="letter", landscape=True).startswith(b"%PDF-")


def test_a_task_leads_over_pages_to_an_answer(new_session: NewSession, model: Model) -> None:
    session = new_session(image_id="browser_latest")
    assert session.file_system.write_file("/tmp/shop.html", PAGE).success

    def price(asked: str) -> str:
        if "Tea costs 3.50" in asked:
            return '{"done": true, "success": true, "message": "it costs 3.50", "result": {"price": 3.5}}'
        return '{"actions": [{"method": "goto", "text": "file:///tmp/shop.html"}]}'

    model.script = price  # type: ignore[method-assign]
    agent = session.agent.browser
    schema = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
    result = agent.execute_task_and_wait("find the price of tea", 60, output_schema=schema)
    assert result.success and json.loads(result.task_result) == {"price": 3.5}, result
    result = agent.execute_task_and_wait("find the price of tea", 60)
    assert result.success and result.task_result == "it costs 3.50", result
    status = agent.get_task_status(result.task_id)
    assert (status.task_status, status.task_product) == ("finished", "it costs 3.50"), status

    model.script = lambda _: '{"actions": [{"method": "wait", "amount": 1}]}'  # type: ignore[method-assign]
    begun = agent.execute_task("never end")
    assert begun.success and begun.task_status == "running", begun
    assert agent.terminate_task(begun.task_id).success
    assert agent.get_task_status(begun.task_id).error == "the task was terminated"
    assert agent.terminate_task(begun.task_id).error_message.startswith("Task not found or already finished")
    result = agent.execute_task_and_wait("never end", 0.5)
    assert not result.success and "terminated" in result.error_message, result
    assert session.browser.initialize()
    assert "page_use_act" in session.browser.operator.login("{}").message


def calling(asked: str) -> str:
    """A model that calls for a person, once."""
    if "a person has done it" in asked:
        return '{"done": true, "success": true, "message": "in"}'
    return '{"help": "the code from the letter", "kind": "login"}'


def test_a_model_calls_for_a_person(new_session: NewSession, model: Model) -> None:
    session = new_session(image_id="browser_latest")
    calls: queue.Queue[BrowserNotifyMessage] = queue.Queue()
    assert session.browser.register_callback(calls.put)
    assert session.browser.initialize(BrowserOption(call_for_user=True))
    model.script = calling  # type: ignore[method-assign]
    results = []
    acting = threading.Thread(
        target=lambda: results.append(session.browser.operator.act(ActOptions("log in")))
    )
    acting.start()
    call = calls.get(timeout=60)
    assert (call.type, call.code, call.action) == ("call-for-user", 102, "takeover"), call
    assert call.message == "the code from the letter" and call.id is not None
    assert 170 < (call.extra_params or {})["max_wait_time"] <= 180, call
    assert session.browser.send_takeover_done(call.id)
    acting.join(60)
    assert results and results[0].success, results
    done = calls.get(timeout=60)
    assert (done.id, done.code, done.action) == (call.id, 199, "takeoverdone"), done

    session.browser.unregister_callback()
    result = session.browser.operator.act(ActOptions("log in", help_timeout=0.5))
    assert not result.success and "nobody has helped" in result.message, result
    assert calls.empty(), "a call was heard after the callback was taken back"


def test_a_call_is_heard_late_and_without_a_model(linux_session: Session) -> None:
    asked = linux_session.request_help("the colour of the door?", timeout=0).help
    assert asked is not None
    calls: queue.Queue[BrowserNotifyMessage] = queue.Queue()
    assert linux_session.browser.register_callback(calls.put)
    call = calls.get(timeout=60)
    assert (call.code, call.message, call.extra_params) == (101, "the colour of the door?", {}), call
    assert linux_session.answer_help(asked.id, "red").success
    assert calls.get(timeout=60).action == "takeoverdone"
    linux_session.browser.unregister_callback()
    control = linux_session.control().control
    assert control is not None and control.help[-1].note == "red"
    assert "no help was asked" in linux_session.answer_help("help-999").error_message


def test_calls_are_heard_asynchronously(linux_session: Session) -> None:
    async def call_and_answer() -> None:
        async with AsyncAgentBay() as client:
            session = (await client.get(linux_session.session_id)).session
            assert session is not None
            heard: asyncio.Queue[BrowserNotifyMessage] = asyncio.Queue()
            assert await session.browser.register_callback(heard.put)
            helping = asyncio.create_task(session.request_help("please", timeout=60))
            call = await asyncio.wait_for(heard.get(), 60)
            assert call.id is not None and await session.browser.send_takeover_done(call.id)
            assert (await helping).success
            await session.browser.unregister_callback()

    asyncio.run(call_and_answer())
