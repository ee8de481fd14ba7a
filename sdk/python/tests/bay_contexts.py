"""The contexts of the small bay: files in dictionaries, tasks that end after some looks."""

from __future__ import annotations

import json
import threading
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from bay import Call

Answer = dict[str, Any]


class Contexts:
    """What a bay knows of contexts. A bay is one of these."""

    refused: type[Exception]
    files: dict[str, bytes]  # of all sessions
    scheme: str
    authority: str

    def __init__(self) -> None:
        self.contexts: dict[str, dict[str, Any]] = {}
        self.changing = threading.RLock()  # held from reading what is kept to changing it
        self.kept: dict[str, dict[str, bytes]] = {}  # context, path
        self.mounts: dict[str, list[dict[str, str]]] = {}  # session
        self.tasks: dict[str, list[dict[str, Any]]] = {}  # session
        self.snapshots: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.looks_until_done = 1
        self.faults: dict[str, str] = {}  # path, why it cannot be moved
        self.object_status = 0  # what every URL answers, if not 0
        self.puts: list[dict[str, str]] = []  # headers

    # contexts

    def do_GetContext(self, call: Call) -> Answer:
        for context in self.contexts.values():
            if call.get("ContextId") == context["Id"] or call.get("Name") == context["Name"]:
                self._look(context)
                return {"Data": context}
        if call["AllowCreate"] != "true" or "Name" not in call:
            raise self.refused(200, "ContextNotFound", "no such context")  # type: ignore[call-arg]
        return {"Data": self.add_context(call["Name"])}

    def add_context(self, name: str, **files: bytes) -> dict[str, Any]:
        context = {"Id": f"SdkCtx-{uuid.uuid4().hex}", "Name": name, "State": "available", "looks": 0}
        context["CreateTime"] = context["LastUsedTime"] = "2025-01-01T00:00:00Z"
        self.contexts[context["Id"]] = context
        self.kept[context["Id"]] = files
        self.snapshots[context["Id"]] = []
        return context

    def _look(self, context: dict[str, Any]) -> None:
        """A context that is being cleared is cleared after some looks."""
        context["looks"] += 1
        if context["looks"] > self.looks_until_done and context["State"] == "clearing":
            context["State"] = "available"
            self.change(context["Id"], {})

    def change(self, context_id: str, files: dict[str, bytes]) -> None:
        self.snapshots[context_id].insert(0, (uuid.uuid4().hex, self.kept[context_id]))
        self.kept[context_id] = files

    def _context(self, call: Call) -> dict[str, Any]:
        found = self.contexts.get(call.get("ContextId") or call.get("Id") or "")
        if found is None:
            raise self.refused(200, "ContextNotFound", "context not found")  # type: ignore[call-arg]
        return found

    def do_ListContexts(self, call: Call) -> Answer:
        found = [c for c in list(self.contexts.values())[::-1] if c["Name"] != "hidden"]
        if "SessionId" in call:
            mounted = {m["ContextId"] for m in self.mounts[call["SessionId"]]}
            found = [c for c in found if c["Id"] in mounted]
        start, size = int(call.get("NextToken") or 0), int(call["MaxResults"])
        token = str(start + size) if start + size < len(found) else ""
        page = {"TotalCount": len(found), "MaxResults": size, "NextToken": token}
        return {"Data": found[start : start + size], **page}

    def do_ModifyContext(self, call: Call) -> Answer:
        if any(c["Name"] == call["Name"] for c in self.contexts.values()):
            raise self.refused(200, "Conflict", f"there is a context {call['Name']}")  # type: ignore[call-arg]
        self._context(call)["Name"] = call["Name"]
        return {}

    def do_DeleteContext(self, call: Call) -> Answer:
        del self.contexts[self._context(call)["Id"]]
        return {}

    def do_ClearContext(self, call: Call) -> Answer:
        self._context(call).update(State="clearing", looks=0)
        return {}

    def do_ListContextSnapshots(self, call: Call) -> Answer:
        context_id = self._context(call)["Id"]
        now = [("now", self.kept[context_id])]
        made = {"CreateTime": "2025-01-01T00:00:00Z", "Reason": "put", "SessionId": ""}
        return {
            "Data": [
                {
                    "SnapshotId": name,
                    **made,
                    "FileCount": len(files),
                    "Bytes": sum(map(len, files.values())),
                    "Current": name == "now",
                }
                for name, files in now + self.snapshots[context_id]
            ]
        }

    def do_RestoreContext(self, call: Call) -> Answer:
        context_id = self._context(call)["Id"]
        for name, files in self.snapshots[context_id]:
            if name == call["SnapshotId"]:
                self.change(context_id, files)
                return {}
        raise self.refused(200, "NotFound", "there is no such snapshot")  # type: ignore[call-arg]

    # their files

    def do_DescribeContextFiles(self, call: Call) -> Answer:
        prefix = call["ParentFolderPath"].rstrip("/") + "/"
        below = [p for p in self.kept[self._context(call)["Id"]] if p.startswith(prefix)]
        names = sorted({p[len(prefix) :].split("/")[0] for p in below})
        size = int(call["PageSize"])
        start = (int(call["PageNumber"]) - 1) * size
        items = [
            {
                "FileId": name,
                "FileName": name,
                "FilePath": prefix + name,
                "FileType": "FILE" if prefix + name in below else "FOLDER",
                "GmtCreate": "2025-01-01T00:00:00Z",
                "GmtModified": "2025-01-01T00:00:00Z",
                "Size": len(self.kept[call["ContextId"]].get(prefix + name, b"")),
                "Status": "available",
            }
            for name in names[start : start + size]
        ]
        return {"Data": items, "Count": len(names)}

    def do_DeleteContextFile(self, call: Call) -> Answer:
        with self.changing:
            files = self.kept[self._context(call)["Id"]]
            if call["FilePath"] not in files:
                raise self.refused(200, "NotFound", "there is no such file")  # type: ignore[call-arg]
            self.change(call["ContextId"], {p: b for p, b in files.items() if p != call["FilePath"]})
        return {}

    def do_GetContextFileUploadUrl(self, call: Call) -> Answer:
        place = f"{self._context(call)['Id']}{quote(call['FilePath'])}"
        return {"Data": {"Url": f"{self.scheme}://{self.authority}/objects/{place}", "ExpireTime": 1 << 33}}

    def do_GetContextFileDownloadUrl(self, call: Call) -> Answer:
        if call["FilePath"] not in self.kept[self._context(call)["Id"]]:
            raise self.refused(200, "NotFound", "there is no such file")  # type: ignore[call-arg]
        return self.do_GetContextFileUploadUrl(call)

    def answer_object(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Put or get a file by URL."""
        if self.object_status:
            return self.object_status, b"the ticket has expired"
        context_id, path = unquote(target).removeprefix("/objects/").split("/", 1)
        if method == "PUT":
            with self.changing:
                self.change(context_id, {**self.kept[context_id], "/" + path: body})
            return 200, b""
        found = self.kept[context_id].get("/" + path)
        return (404, b"not found") if found is None else (200, found)

    # in sessions

    def mount(self, call: Call, session_id: str) -> None:
        self.mounts.setdefault(session_id, [])
        self.tasks.setdefault(session_id, [])
        for item in json.loads(call.get("PersistenceDataList", "[]")):
            context_id, path = item["ContextId"], item["Path"]
            if any(m["Path"] == path for m in self.mounts[session_id]):
                raise self.refused(200, "PathAlreadyBound", f"{path} is occupied")  # type: ignore[call-arg]
            name = self.contexts[context_id]["Name"]
            policy = item.get("Policy", "")
            self.mounts[session_id].append(
                {
                    "ContextId": context_id,
                    "ContextName": name,
                    "Path": path,
                    "Policy": policy,
                    "BindTime": "t",
                }
            )
            self.begin(session_id, context_id, path, "download")

    def do_BindContexts(self, call: Call) -> Answer:
        self.mount(call, call["SessionId"])
        return {}

    def do_DescribeSessionContexts(self, call: Call) -> Answer:
        return {"Data": self.mounts[call["SessionId"]]}

    def begin(self, session_id: str, context_id: str, path: str, mode: str) -> None:
        task = {"contextId": context_id, "path": path, "taskType": mode, "status": "Running"}
        task |= {"errorMessage": "", "startTime": 1, "finishTime": 0, "looks": 0}
        task |= {"files": 0, "bytes": 0, "totalBytes": 0}
        same = ("contextId", "path", "taskType")
        others = [t for t in self.tasks[session_id] if any(t[k] != task[k] for k in same)]
        self.tasks[session_id] = [*others, task]

    def do_SyncContext(self, call: Call) -> Answer:
        mode = call.get("Mode", "upload")
        with self.changing:
            if "Path" in call:
                self.begin(call["SessionId"], call["ContextId"], call["Path"], mode)
                return {}
            for mount in self.mounts[call["SessionId"]]:
                self.begin(call["SessionId"], mount["ContextId"], mount["Path"], mode)
        return {}

    def do_GetContextInfo(self, call: Call) -> Answer:
        wanted = {"contextId": "ContextId", "path": "Path", "taskType": "TaskType"}
        with self.changing:
            found = [
                task
                for task in self.tasks.get(call["SessionId"], [])
                if all(call.get(param, task[key]) == task[key] for key, param in wanted.items())
            ]
            for task in found:
                task["looks"] += 1
                if task["status"] == "Running" and task["looks"] >= self.looks_until_done:
                    self._finish(task)
        status = json.dumps([{"type": "data", "data": json.dumps(found)}])
        return {"Data": {"ContextStatus": status}}

    def _finish(self, task: dict[str, Any]) -> None:
        up, kept = task["taskType"] == "upload", self.kept[task["contextId"]]
        source, path = self.files if up else kept, task["path"].rstrip("/")
        moved = {p: b for p, b in source.items() if p == path or p.startswith(path + "/")}
        error = self.faults.get(task["path"], "")
        if not error and up:
            self.change(task["contextId"], {**kept, **moved})
        elif not error:
            self.files.update(moved)
        task["status"], task["errorMessage"] = "Failed" if error else "Success", error
        task["finishTime"], task["files"] = 2, len(moved)

    def do_GetAndLoadInternalContext(self, call: Call) -> Answer:
        assert call["ContextTypes.1"] == "file_transfer"
        with self.changing:
            hidden = next((c for c in self.contexts.values() if c["Name"] == "hidden"), None)
            hidden = hidden or self.add_context("hidden")
        place = {"ContextId": hidden["Id"], "ContextPath": "/tmp/file-transfer"}
        return {"Data": [{**place, "ContextType": "file_transfer"}]}
