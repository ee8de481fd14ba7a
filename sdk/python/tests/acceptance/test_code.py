"""Code in four languages: state, rich results, errors, time limits and streams."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest

from acceptance.conftest import NewSession
from agentbay import AsyncAgentBay, Session, WsCancelledError

LANGUAGES = ["python", "javascript", "r", "java"]
HELLO = {
    "python": "print('hello')",
    "javascript": "console.log('hello')",
    "r": "cat('hello\\n')",
    "java": 'System.out.println("hello");',
}
SUM = {"python": "1 + 1", "javascript": "1 + 1", "r": "1 + 1", "java": "1 + 1"}
SET = {"python": "v = 41", "javascript": "var v = 41", "r": "v <- 41", "java": "int v = 41;"}
GET = {
    "python": "print(v + 1)",
    "javascript": "console.log(v + 1)",
    "r": "cat(v + 1, '\\n')",
    "java": "System.out.println(v + 1);",
}
FAIL = {
    "python": ("1/0", "ZeroDivisionError"),
    "javascript": ("throw new TypeError('oops')", "TypeError"),
    "r": ("stop('oops')", "oops"),
    "java": ('throw new RuntimeException("oops");', "RuntimeException"),
}
LOOP = {"python": "while True: pass", "javascript": "for (;;) {}", "r": "repeat {}", "java": "for (;;) {}"}


@pytest.fixture(params=["link", "rpc"])
def coder(request: pytest.FixtureRequest, code_session: Session) -> Any:
    link = code_session.link_url
    code_session.link_url = link if request.param == "link" else ""
    yield code_session
    code_session.link_url = link


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_code_prints_and_what_it_yields(coder: Session, language: str) -> None:
    hello = coder.code.run_code(HELLO[language], language)
    assert hello.success and hello.result.strip() == "hello" and "".join(hello.logs.stdout) == "hello\n", (
        hello
    )
    assert hello.results == [] and hello.error is None and hello.request_id
    two = coder.code.run_code(SUM[language], language)
    assert two.success and "2" in two.result and two.results[0].is_main_result, two
    assert isinstance(two.execution_count, int) and two.execution_time >= 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_state_is_kept_between_calls(code_session: Session, language: str) -> None:
    kept = code_session.code.run_code(SET[language], language)
    assert kept.success, kept.error_message
    assert code_session.code.run_code(GET[language], language).result.strip() == "42"


def test_state_is_not_shared_between_sessions(code_session: Session, new_session: NewSession) -> None:
    assert code_session.code.run_code("only_here = 1", "python").success
    other = new_session(image_id="code_latest").code.run_code("only_here", "python")
    assert not other.success and "NameError" in other.error_message


def test_javascript_may_declare_a_constant_again(code_session: Session) -> None:
    for n in (1, 2):
        result = code_session.code.run_code(f"const again = {n}; console.log(again)", "js")
        assert result.success and result.result.strip() == str(n), result.error_message


@pytest.mark.parametrize("language", LANGUAGES)
def test_errors_have_name_value_and_traceback(coder: Session, language: str) -> None:
    code, word = FAIL[language]
    result = coder.code.run_code(code, language)
    assert not result.success and word in result.error_message and result.request_id, result
    assert result.error and result.error.name and result.error.value
    assert coder.code.run_code(HELLO[language], language).success


@pytest.mark.parametrize("language", LANGUAGES)
def test_syntax_errors_are_failures(code_session: Session, language: str) -> None:
    result = code_session.code.run_code("((( nonsense", language)
    assert not result.success and result.error_message, result
    assert code_session.code.run_code(HELLO[language], language).success


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_endless_loop_times_out_and_the_kernel_recovers(new_session: NewSession, language: str) -> None:
    session = new_session(image_id="code_latest")
    assert session.code.run_code(HELLO[language], language).success
    start = time.monotonic()
    result = session.code.run_code(LOOP[language], language, timeout_s=2)
    assert not result.success and "time" in result.error_message.lower(), result
    assert time.monotonic() - start < 40
    assert session.code.run_code(HELLO[language], language).result.strip() == "hello"


def test_handled_exceptions_and_comments_succeed(code_session: Session) -> None:
    handled = code_session.code.run_code("try: 1/0\nexcept ZeroDivisionError: print('caught')", "python")
    assert handled.success and handled.result == "caught\n"
    comment = code_session.code.run_code("# just a comment", "python")
    assert comment.success and comment.results == [] and comment.logs.stdout == []


def test_counts_go_up_by_one(code_session: Session) -> None:
    first, second = (code_session.code.run_code("None", "python").execution_count for _ in range(2))
    assert first is not None and second == first + 1


def test_output_and_errors_are_told_apart(code_session: Session) -> None:
    result = code_session.code.run_code("import sys; print('out'); print('err', file=sys.stderr)", "python")
    assert "".join(result.logs.stdout) == "out\n" and "".join(result.logs.stderr) == "err\n"


DISPLAYS = {
    "html": "HTML('<b>bold</b>')",
    "markdown": "Markdown('**bold**')",
    "latex": "Latex('$x^2$')",
    "svg": "SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')",
    "json": "JSON({'a': 1})",
}


@pytest.mark.parametrize("kind", DISPLAYS)
def test_displays_have_their_format(coder: Session, kind: str) -> None:
    code = f"from IPython.display import *\ndisplay({DISPLAYS[kind]})"
    result = coder.code.run_code(code, "python")
    assert result.success and any(kind in r.formats() for r in result.results), result


def test_charts_of_vega_are_charts(code_session: Session) -> None:
    code = """
class Chart:
    def _repr_mimebundle_(self, **_):
        return {'application/vnd.vegalite.v5+json': {'mark': 'bar'}, 'text/plain': 'chart'}
Chart()"""
    result = code_session.code.run_code(code, "python")
    assert result.results[0].chart == {"mark": "bar"} and result.result == "chart", result


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG\r\n\x1a\n"), ("jpeg", b"\xff\xd8\xff")])
def test_figures_are_images(code_session: Session, kind: str, magic: bytes) -> None:
    code = (
        "import io, matplotlib.pyplot as plt\nfrom IPython.display import Image, display\n"
        "fig = plt.figure(); plt.plot([1, 2, 3]); b = io.BytesIO()\n"
        f"fig.savefig(b, format='{kind}'); plt.close(fig)\ndisplay(Image(b.getvalue(), format='{kind}'))"
    )
    result = code_session.code.run_code(code, "python")
    images = [getattr(r, kind) for r in result.results if getattr(r, kind)]
    assert images and base64.b64decode(images[0]).startswith(magic), result.error_message


def test_a_plotted_figure_is_shown(code_session: Session) -> None:
    result = code_session.code.run_code(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()", "python"
    )
    assert any(r.png for r in result.results), result


def test_a_data_frame_is_text_and_html(code_session: Session) -> None:
    result = code_session.code.run_code("import pandas as pd\npd.DataFrame({'a': [1, 2]})", "python")
    main = next(r for r in result.results if r.is_main_result)
    assert {"text", "html"} <= set(main.formats()) and "<table" in (main.html or "")


@pytest.mark.parametrize("library", ["numpy", "pandas", "matplotlib", "sklearn", "seaborn", "IPython"])
def test_libraries_are_there(code_session: Session, library: str) -> None:
    result = code_session.code.run_code(f"import {library}; print({library}.__version__)", "python")
    assert result.success and result.result.strip(), result.error_message


def test_languages_share_the_files(code_session: Session) -> None:
    assert code_session.code.run_code("open('/tmp/shared', 'w').write('from python')", "python").success
    code = "console.log(require('fs').readFileSync('/tmp/shared', 'utf8'))"
    assert code_session.code.run_code(code, "javascript").result.strip() == "from python"
    assert (
        code_session.code.run_code("cat(readLines('/tmp/shared', warn=FALSE))", "R").result == "from python"
    )
    assert code_session.file_system.read_file("/tmp/shared").content == "from python"


def test_output_of_megabytes_does_not_hang(code_session: Session) -> None:
    result = code_session.code.run_code("print('x' * 3_000_000)", "python")
    assert result.success and result.result.startswith("xxx") and result.request_id


@pytest.mark.parametrize("language", ["cobol", "", "../python"])
def test_other_languages_are_refused(code_session: Session, language: str) -> None:
    result = code_session.code.run_code("1", language)
    assert not result.success and "Unsupported language" in result.error_message
    args = {"code": "1", "language": language}
    asked = code_session.call_mcp_tool("run_code", args)
    assert not asked.success and asked.error_message and asked.request_id


def test_default_image_runs_python_too(new_session: NewSession) -> None:
    result = new_session().code.run_code("print('hi')", "python")
    assert result.success and result.result == "hi\n", result.error_message


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_stream_has_the_same_result(code_session: Session, language: str) -> None:
    chunks: list[str] = []
    result = code_session.code.run_code(HELLO[language], language, stream_beta=True, on_stdout=chunks.append)
    assert result.success and "".join(chunks) == "hello\n" == "".join(result.logs.stdout), result
    two = code_session.code.run_code(SUM[language], language, stream_beta=True)
    assert two.success and "2" in two.result, two


def test_chunks_come_while_the_code_runs(code_session: Session) -> None:
    times: list[float] = []
    code = "import time\nprint('one', flush=True)\ntime.sleep(1)\nprint('two', flush=True)"
    result = code_session.code.run_code(
        code, "python", stream_beta=True, on_stdout=lambda _: times.append(time.monotonic())
    )
    assert result.success and len(times) >= 2, result
    assert times[-1] - times[0] >= 0.8


def test_a_streamed_failure_is_reported(code_session: Session) -> None:
    errors: list[Any] = []
    result = code_session.code.run_code("print('x')\n1/0", "python", stream_beta=True, on_error=errors.append)
    assert not result.success and "ZeroDivisionError" in result.error_message and errors, result
    assert result.logs.stdout == ["x\n"]


def test_rich_results_are_streamed_whole(code_session: Session) -> None:
    code = "from IPython.display import HTML, display\ndisplay(HTML('<b>'))\n'last'"
    result = code_session.code.run_code(code, "python", stream_beta=True)
    assert [r.html for r in result.results if r.html] == ["<b>"]
    assert any(r.is_main_result for r in result.results), result


def test_a_cancelled_stream_lets_the_next_run_start(new_session: NewSession) -> None:
    session = new_session(image_id="code_latest")

    def stop(_: str) -> None:
        raise WsCancelledError

    code = "import time\nprint('started', flush=True)\ntime.sleep(50)"
    start = time.monotonic()
    with pytest.raises(WsCancelledError):
        session.code.run_code(code, "python", stream_beta=True, on_stdout=stop)
    assert session.code.run_code("print('next')", "python").result == "next\n"
    assert time.monotonic() - start < 40


def test_cancelling_an_awaited_run_lets_the_next_start(new_session: NewSession) -> None:
    session = new_session(image_id="code_latest")

    async def main() -> str:
        async with AsyncAgentBay() as client:
            twin = (await client.get(session.session_id)).session
            assert twin is not None
            started = asyncio.Event()
            code = "import time\nprint('started', flush=True)\ntime.sleep(50)"
            task = asyncio.create_task(
                twin.code.run_code(code, "python", stream_beta=True, on_stdout=lambda _: started.set())
            )
            await asyncio.wait_for(started.wait(), 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await twin.code.run_code("print('next')", "python")).result

    start = time.monotonic()
    assert asyncio.run(main()) == "next\n"
    assert time.monotonic() - start < 45
