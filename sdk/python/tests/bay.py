"""A small bay for tests: a real HTTP(S) server and WebSocket server with one session's worth of tools.

It keeps files in a dictionary and answers in the shapes of the wire. What a
test wants otherwise it sets in `tools` or `actions`.
"""

from __future__ import annotations

import base64
import fnmatch
import json
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bay_contexts import Contexts
from websockets.sync.server import ServerConnection, serve

KEY = "akm-test"
TOKEN = "token-of-the-session"
Answer = tuple[str, bool]  # text, whether the tool failed


class Call(dict[str, str]):
    """The merged parameters of one request, and where each came from."""

    def __init__(self, target: str, body: str, headers: dict[str, str]) -> None:
        self.query = dict(parse_qsl(urlsplit(target).query))
        self.form = dict(parse_qsl(body))
        self.headers = headers
        super().__init__({**self.query, **self.form})


class Refused(Exception):
    """An action's refusal."""

    def __init__(self, status: int, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.extra = status, code, extra


class TestBay(Contexts):
    """One running bay. `link` says whether sessions have a LinkUrl."""

    __test__ = False
    refused = Refused

    def __init__(self, link: bool = True, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.link = link
        self.calls: list[Call] = []
        self.tool_calls: list[tuple[str, str, dict[str, Any]]] = []  # "rpc" or "link", tool, args
        self.sessions: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.changes: list[dict[str, str]] = []
        self.details_until_finish = 1
        self.tools: dict[str, Callable[[dict[str, Any]], Answer]] = {
            name.removeprefix("tool_"): getattr(self, name) for name in dir(self) if name.startswith("tool_")
        }
        self.frames: list[dict[str, Any]] = []
        self.stream: Callable[[ServerConnection, dict[str, Any]], None] = lambda ws, frame: None
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # a client that breaks off is part of tests
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._ws = serve(self._serve_socket, "127.0.0.1", 0)
        self.scheme = "https" if tls else "http"
        self.authority = f"127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        threading.Thread(target=self._ws.serve_forever, daemon=True).start()

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self._ws.socket.getsockname()[1]}/ws"

    @property
    def endpoint(self) -> str:
        return self.authority if self.scheme == "https" else f"http://{self.authority}"

    def close(self) -> None:
        self._ws.shutdown()
        self._http.shutdown()
        self._http.server_close()

    # HTTP

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        bay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {k.lower(): v for k, v in self.headers.items()}
                status, answer = bay._answer(self.path, body.decode(), headers)
                self._send(status, json.dumps(answer).encode(), "application/json")

            def do_PUT(self) -> None:
                bay.puts.append({k.lower(): v for k, v in self.headers.items()})
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._send(*bay.answer_object("PUT", self.path, body))

            def do_GET(self) -> None:
                self._send(*bay.answer_object("GET", self.path, b""))

            def _send(self, status: int, payload: bytes, kind: str = "application/octet-stream") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(payload)))
                self.send_header("ETag", '"tag"')
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _answer(self, target: str, body: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if target.startswith("/link/"):
            return self._answer_link(target, json.loads(body), headers)
        call = Call(target, body, headers)
        self.calls.append(call)
        envelope = {"RequestId": new_id(), "Success": True, "Code": "ok", "HttpStatusCode": 200}
        try:
            if call.get("Authorization") != f"Bearer {KEY}":
                raise Refused(400, "NOT_LOGIN", "the API key is not known")
            action = getattr(self, "do_" + call["Action"], None)
            if action is None:
                raise Refused(404, "InvalidAction.NotFound", f"{call['Action']} is not an action")
            return 200, {**envelope, **action(call)}
        except Refused as no:
            refusal = {"Success": False, "Code": no.code, "Message": str(no), "HttpStatusCode": no.status}
            return no.status, {**envelope, **refusal, **no.extra}

    def _answer_link(
        self, target: str, call: dict[str, Any], headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        if headers.get("x-access-token") != TOKEN:
            return 403, {"code": "InvalidToken", "success": False, "message": "wrong token"}
        session = self.sessions.get(target.split("/")[2])
        if session is None or session["Status"] != "RUNNING":
            return 410, {
                "code": "InvalidMcpSession.NotFound",
                "success": False,
                "message": "session not found",
            }
        text, failed = self._run("link", call["tool"], call["args"])
        result = {"content": [{"type": "text", "text": text}], "isError": failed}
        return 200, {"code": "200", "success": True, "requestId": new_id(), "data": {"result": result}}

    def _run(self, way: str, tool: str, args: dict[str, Any]) -> Answer:
        self.tool_calls.append((way, tool, args))
        if tool not in self.tools:
            return f"tool not found: {tool}", True
        return self.tools[tool](args)

    # actions

    def do_CreateMcpSession(self, call: Call) -> dict[str, Any]:
        if call.get("ImageId", "linux_latest") not in ("linux_latest", "code_latest"):
            message = "no authorized app: this bay has no such image"
            raise Refused(200, "InvalidImage", message, Data={"Success": False, "ErrMsg": message})
        session = {
            "SessionId": "session-" + uuid.uuid4().hex,
            "Status": "RUNNING",
            "Labels": call.get("Labels", "{}"),
        }
        self.sessions[session["SessionId"]] = session
        self.mount(call, session["SessionId"])
        return {"Data": self._describe(session)}

    def _describe(self, session: dict[str, Any]) -> dict[str, Any]:
        link = f"{self.scheme}://{self.authority}/link/{session['SessionId']}" if self.link else ""
        return {
            "SessionId": session["SessionId"],
            "Success": True,
            "AppInstanceId": "ai-1",
            "ResourceId": "p-1",
            "ResourceUrl": "https://bay/view?resourceId=p-1",
            "Token": TOKEN,
            "LinkUrl": link,
            "WsUrl": self.ws_url,
            "ToolList": json.dumps(self._tool_list()),
            "HttpPort": "",
            "ErrMsg": "",
        }

    def _tool_list(self) -> list[dict[str, Any]]:
        return [
            {
                "name": n,
                "description": n,
                "inputSchema": {"type": "object"},
                "server": "wuying_shell",
                "tool": n,
            }
            for n in self.tools
        ]

    def _session(self, call: Call) -> dict[str, Any]:
        if call.get("SessionId") not in self.sessions:
            raise Refused(400, "InvalidMcpSession.NotFound", f"Session {call.get('SessionId')} not found")
        return self.sessions[call["SessionId"]]

    def do_GetSession(self, call: Call) -> dict[str, Any]:
        session = self._session(call)
        return {"Data": {**self._describe(session), "Status": session["Status"], "contexts": []}}

    def do_GetSessionDetail(self, call: Call) -> dict[str, Any]:
        session = self._session(call)
        if session["Status"] == "DELETING":
            session["polls"] = session.get("polls", 0) + 1
            if session["polls"] >= self.details_until_finish:
                session["Status"] = "FINISH"
        return {"Data": {"Status": session["Status"]}}

    def do_DeleteSessionAsync(self, call: Call) -> dict[str, Any]:
        session = self._session(call)
        if session["Status"] == "FINISH":
            raise Refused(400, "InvalidMcpSession.NotFound", f"Session {call['SessionId']} not found")
        session["Status"] = "DELETING"
        return {}

    def do_ListSession(self, call: Call) -> dict[str, Any]:
        wanted = json.loads(call.get("Labels", "{}")).items()
        alive = [s for s in self.sessions.values() if s["Status"] == call.get("Status", "RUNNING")]
        found = [s for s in alive if wanted <= json.loads(s["Labels"]).items()][::-1]
        start, size = int(call.get("NextToken") or 0), int(call["MaxResults"])
        items = [
            {"SessionId": s["SessionId"], "SessionStatus": s["Status"]} for s in found[start : start + size]
        ]
        token = str(start + size) if start + size < len(found) else ""
        return {"Data": items, "TotalCount": len(found), "MaxResults": size, "NextToken": token}

    def do_RefreshSessionIdleTime(self, call: Call) -> dict[str, Any]:
        self._session(call)
        return {}

    def do_SetLabel(self, call: Call) -> dict[str, Any]:
        self._session(call)["Labels"] = call["Labels"]
        return {}

    def do_GetLabel(self, call: Call) -> dict[str, Any]:
        return {"Data": {"Labels": self._session(call)["Labels"]}}

    def do_GetMcpResource(self, call: Call) -> dict[str, Any]:
        desktop = {
            "AppId": "app",
            "AuthCode": "auth",
            "ResourceId": "p-1",
            "ResourceType": "AIAgent",
            "Ticket": "t",
        }
        data = {
            "SessionId": self._session(call)["SessionId"],
            "ResourceUrl": "https://bay/view?resourceId=p-1",
        }
        return {"Data": {**data, "DesktopInfo": {**desktop, "ConnectionProperties": "{}"}}}

    def do_GetLink(self, call: Call) -> dict[str, Any]:
        port = int(call.get("Port", 0))
        if not 30100 <= port <= 30199:
            raise Refused(400, "PARAM_ERROR", "PARAM_ERROR: port must be from 30100 to 30199")
        return {"Data": {"Url": f"wss://bay/{port}"}}

    def do_ListMcpTools(self, call: Call) -> dict[str, Any]:
        return {"Data": json.dumps(self._tool_list())}

    def do_CallMcpTool(self, call: Call) -> dict[str, Any]:
        if self._session(call)["Status"] != "RUNNING":
            raise Refused(400, "InvalidMcpSession.NotFound", "Session not found")
        text, failed = self._run("rpc", call["Name"], json.loads(call["Args"]))
        return {"Data": {"content": [{"type": "text", "text": text}], "isError": failed}}

    # tools

    def tool_shell(self, args: dict[str, Any]) -> Answer:
        command = args["command"]
        if command.startswith("sleep "):
            if float(command.split()[1]) * 1000 > args["timeout_ms"]:
                time.sleep(args["timeout_ms"] / 1000)
                return "Execution failed. Error code:-1 Error message: [timeout] the command was killed", True
            time.sleep(float(command.split()[1]))
        code = int(command.split()[1]) if command.startswith("exit ") else 0
        out = command.removeprefix("echo ") + "\n" if command.startswith("echo ") else ""
        err = "it failed\n" if code else ""
        return json.dumps({"stdout": out, "stderr": err, "exit_code": code, "traceId": "t-1"}), code != 0

    def tool_read_file(self, args: dict[str, Any]) -> Answer:
        data = self.files.get(args["path"])
        if data is None:
            return "Error code:-32602 Error message: No such file or directory", True
        start = args.get("offset", 0)
        end = start + args["length"] if args.get("length") else len(data)
        if args.get("format") == "binary":
            return base64.b64encode(data[start:end]).decode(), False
        while start < len(data) and data[start] & 0xC0 == 0x80:
            start += 1
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1
        return data[start:end].decode(), False

    def tool_write_file(self, args: dict[str, Any]) -> Answer:
        old = self.files.get(args["path"], b"") if args["mode"] == "append" else b""
        kinds = ["modify"] if args["path"] in self.files else ["create", "modify"]
        self.files[args["path"]] = old + args["content"].encode()
        self.changes += [{"eventType": k, "path": args["path"], "pathType": "file"} for k in kinds]
        return "True", False

    def tool_get_file_info(self, args: dict[str, Any]) -> Answer:
        if args["path"] not in self.files:
            return "No such file or directory", True
        size = len(self.files[args["path"]])
        lines = ["name: 42", f"size: {size}", "isDirectory: false", "isFile: true", "mode: 0644"]
        return "\n".join([*lines, "modTime: 2025-01-01T00:00:00Z"]), False

    def tool_list_directory(self, args: dict[str, Any]) -> Answer:
        return "[DIR] a dir\n[FILE]  spaced name.txt\ntotal 2", False

    def tool_search_files(self, args: dict[str, Any]) -> Answer:
        found = [p for p in self.files if fnmatch.fnmatch(p.rsplit("/", 1)[-1], args["pattern"])]
        return "\n".join(found) or "No matches found", False

    def tool_read_multiple_files(self, args: dict[str, Any]) -> Answer:
        return "\n---\n".join(f"{p}:\n{self.files[p].decode()}" for p in args["paths"]), False

    def tool_get_file_change(self, args: dict[str, Any]) -> Answer:
        changes, self.changes = self.changes, []
        return json.dumps(changes), False

    def tool_run_code(self, args: dict[str, Any]) -> Answer:
        value = {"isMainResult": True, "text/plain": "2"}
        ok = {"result": [json.dumps(value)], "stdout": ["out\n"], "stderr": []}
        end = {"traceId": "t", "execution_time": 0.1, "execution_count": 1}
        if "1/0" in args["code"]:
            error = {"executionError": "ZeroDivisionError: division by zero", "traceback": "Traceback …"}
            return json.dumps({**ok, "result": [], **error, **end}), True
        return json.dumps({**ok, **end}), False

    def tool_get_metrics(self, args: dict[str, Any]) -> Answer:
        metrics = {"cpu_count": 2.0, "cpu_used_pct": 1.5, "mem_total": 1 << 30, "mem_used": 1 << 20}
        rates = {"rx_rate_kbyte_per_s": 0.5, "disk_total": 10, "disk_used": 1}
        return json.dumps({**metrics, **rates, "timestamp": "2025-01-01T00:00:00+08:00"}), False

    # the socket

    def _serve_socket(self, ws: ServerConnection) -> None:
        if ws.request is None or ws.request.headers.get("X-Access-Token") != TOKEN:
            ws.close(1008, "wrong token")
            return
        for message in ws:
            frame = json.loads(message)
            self.frames.append(frame)
            self.stream(ws, frame)


def reply(ws: ServerConnection, frame: dict[str, Any], **data: Any) -> None:
    """Answer a frame."""
    answer = {"invocationId": frame["invocationId"], "source": frame["target"], "target": "SDK", "data": data}
    ws.send(json.dumps(answer))


def new_id() -> str:
    return str(uuid.uuid4()).upper()
