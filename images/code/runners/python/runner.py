"""Runs Python for the guest: one interpreter, one piece of code after another.

Descriptor 3 brings requests and descriptor 4 takes events, one JSON object a
line; package code of the guest describes them. Output is no event: it is what
the process and its children write to descriptors 1 and 2.

The interpreter is IPython's InteractiveShell, so magics, shell escapes,
top-level await and rich display work as in a notebook. What a notebook has for
people who type (completion, history on disk, a terminal) is not loaded.
"""

import base64
import json
import os
import signal
import sys
import threading
import types
import warnings

LIMIT = int(sys.argv[1])  # bytes an event may have
MAX_TEXT = 1 << 20  # longest text/plain of a result, in characters


class Line:
    """The pair of descriptors to the guest. Nothing this process starts inherits it."""

    def __init__(self, requests, events):
        self.requests = os.fdopen(self._private(requests), "rb")
        self.events = self._private(events)
        self.lock = threading.Lock()
        self.sending = False  # an interrupt now would leave half a line behind

    @staticmethod
    def _private(fd):
        private = os.dup(fd)
        os.close(fd)
        return private

    def receive(self):
        """Return the next request, or None when the guest is gone."""
        line = self.requests.readline()
        return json.loads(line) if line else None

    def send(self, event):
        data = json.dumps(event).encode() + b"\n"
        with self.lock:
            self.sending = True
            try:
                self._write(data)
            finally:
                self.sending = False
        interrupt.deliver()

    def _write(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(self.events, view) :]

    def send_result(self, bundle, main):
        """Send a bundle of MIME types, without what is too large to be sent."""
        sent, size = {}, 0
        for mime, value in bundle.items():
            value = plain(value) if mime == "text/plain" else jsonable(value)
            size += len(json.dumps(value))
            if size > LIMIT - 4096:
                sent.setdefault("text/plain", f"[{mime} is too large to be returned: save it to a file instead]")
                break
            sent[mime] = value
        if sent:
            self.send({"result": sent, "main": main})


class Interrupt:
    """Turns SIGINT into KeyboardInterrupt, but only while code runs."""

    def __init__(self):
        self.running = False
        self.pending = False

    def arm(self):
        self.pending = False
        signal.signal(signal.SIGINT, self._on_signal)  # code may have replaced it
        self.running = True

    def disarm(self):
        self.running = self.pending = False

    def _on_signal(self, _signal, _frame):
        if not self.running:
            return
        if line.sending:
            self.pending = True
            return
        raise KeyboardInterrupt

    def deliver(self):
        """Raise what came while an event was being sent."""
        if self.pending and threading.current_thread() is threading.main_thread():
            self.pending = False
            raise KeyboardInterrupt


def plain(value):
    text = value if isinstance(value, str) else str(value)
    if len(text) <= MAX_TEXT:
        return text
    return text[:MAX_TEXT] + f"… [{len(text) - MAX_TEXT} more characters]"


def jsonable(value):
    """Return value as JSON can hold it: bytes as base64, what JSON has no word for as text."""
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=str))
    except (ValueError, TypeError, RecursionError):
        return str(value)


def import_shell():
    """Import IPython without the parts that are for people who type, which are most of it."""

    def embed(*args, **kwargs):
        from IPython.terminal.embed import embed as real

        return real(*args, **kwargs)

    terminal = types.ModuleType("IPython.terminal.embed")
    terminal.embed = embed
    sys.modules[terminal.__name__] = terminal
    from IPython.core import displayhook, displaypub, interactiveshell

    del sys.modules[terminal.__name__]
    return displayhook, displaypub, interactiveshell


def make_shell():
    sys.modules["jedi"] = None  # completion would load it, and nobody completes
    displayhook, displaypub, interactiveshell = import_shell()
    from traitlets import Type
    from traitlets.config import Config

    class Hook(displayhook.DisplayHook):
        """The value of the last expression is the main result."""

        def write_output_prompt(self):
            pass

        def write_format_data(self, format_dict, md_dict=None):
            flush()
            line.send_result(format_dict, main=True)

        def finish_displayhook(self):
            pass

    class Publisher(displaypub.DisplayPublisher):
        """What code displays is a further result."""

        def publish(self, data, metadata=None, source=None, **_):
            flush()
            line.send_result(data, main=False)

        def clear_output(self, wait=False):
            pass

    class Shell(interactiveshell.InteractiveShell):
        displayhook_class = Type(Hook)
        display_pub_class = Type(Publisher)
        failure = None

        def _showtraceback(self, etype, evalue, stb):
            trace = stb if isinstance(stb, str) else "\n".join(stb)
            self.failure = {"name": etype.__name__, "message": str(evalue), "traceback": trace}

        def system(self, cmd):
            flush()
            self.system_raw(cmd)

        def enable_gui(self, gui=None):
            pass

        def ask_exit(self):
            raise SystemExit(0)

        def init_completer(self):
            super().init_completer()
            sys.modules.pop("jedi", None)

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"
    config.InteractiveShell.ipython_dir = f"/tmp/.ipython-{os.getuid()}"
    return Shell.instance(config=config)


def flush():
    """Put what was printed in front of what is sent next."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # code may have put anything there
            pass


def failure_of(shell, result):
    """Return what went wrong in a run, or None."""
    error = result.error_before_exec or result.error_in_exec
    if error is None:
        return None
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return None
    if shell.failure is None:
        return {"name": type(error).__name__, "message": str(error), "traceback": ""}
    return shell.failure


def run(shell, code):
    """Run one piece of code and return its failure, or None."""
    shell.failure = None
    try:
        interrupt.arm()
        try:
            return failure_of(shell, shell.run_cell(code, store_history=True))
        finally:
            interrupt.disarm()
    except BaseException as error:
        # An interrupt that came while the shell itself was at work.
        return {"name": type(error).__name__, "message": str(error), "traceback": ""}


def serve(shell):
    own = os.getpid()
    while request := line.receive():
        failure = run(shell, request["code"])
        flush()
        if os.getpid() != own:
            os._exit(1)  # a child that code forked and that came out here
        if failure:
            line.send({"error": failure})
        line.send({"end": True})


def prepare():
    """Make the process look to code as if it had been started as a program."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.path[0] = ""
    sys.argv = [""]
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    warnings.filterwarnings("ignore", message="To exit: use", category=UserWarning)


line = Line(3, 4)
interrupt = Interrupt()
signal.signal(signal.SIGINT, interrupt._on_signal)
prepare()
shell = make_shell()
line.send({"ready": True})
serve(shell)
