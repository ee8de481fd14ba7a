"""Commands: bash semantics, limits, and what outlives a call."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from acceptance.conftest import NewSession
from agentbay import AsyncAgentBay, CommandResult, Session


@pytest.mark.parametrize(
    ("command", "stdout"),
    [
        ("echo hi", "hi\n"),
        ("printf 'a\\nb'", "a\nb"),
        ("true", ""),
        ("echo one | tr a-z A-Z", "ONE\n"),
        ("f() { echo \"$1-$2\"; }\nf a 'b c'", "a-b c\n"),
        ("for i in {1..3}; do echo $i; done", "1\n2\n3\n"),
        ("[[ abc == a* ]] && echo yes", "yes\n"),
        ("diff <(echo a) <(echo a) && echo same", "same\n"),
        ("x=5; echo $((x * 2))", "10\n"),
        ("cat <<'X'\n$HOME \"q\" 'q'\nX", "$HOME \"q\" 'q'\n"),
        ("echo ü世😀", "ü世😀\n"),
        ("printf 'a\\0b\\x01c'", "a\0b\x01c"),
        ("echo out; echo err >&2", "out\n"),
    ],
)
def test_commands_are_run_by_bash(way: Session, command: str, stdout: str) -> None:
    result = way.command.execute_command(command)
    assert result.success and result.stdout == stdout and result.exit_code == 0, result
    assert result.output == result.stdout + result.stderr and result.error_message == "" and result.request_id


@pytest.mark.parametrize("code", [1, 2, 42, 126, 255])
def test_a_failing_command_keeps_its_output_and_code(way: Session, code: int) -> None:
    result = way.command.run(f"echo out; echo err >&2; exit {code}")
    assert not result.success and result.exit_code == code
    assert (result.stdout, result.stderr, result.output) == ("out\n", "err\n", "out\nerr\n")
    assert result.error_message == "err\n" and result.trace_id


def test_codes_of_commands_not_found_and_killed(session: Session) -> None:
    missing = session.command.run("no_such_command_here")
    assert missing.exit_code == 127 and "not found" in missing.stderr
    assert session.command.run("kill -9 $$").exit_code == 137
    silent = session.command.run("exit 7")
    assert silent.exit_code == 7 and silent.error_message


def test_a_timeout_kills_the_whole_group_and_the_session_goes_on(way: Session) -> None:
    start = time.monotonic()
    result = way.command.run("(sleep 61.5 & sleep 61.5; true) | cat", timeout_ms=1000)
    assert not result.success and "[timeout]" in result.error_message and result.output == "", result
    assert time.monotonic() - start < 30
    assert (
        way.command.run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep 61[.]5'").stdout
        == "0\n"
    )


def test_no_command_is_cut_at_fifty_seconds(code_session: Session, linux_session: Session) -> None:
    def wait(session: Session) -> CommandResult:
        return session.command.run("sleep 55; echo done", timeout_ms=120_000)

    with ThreadPoolExecutor() as pool:
        for result in pool.map(wait, (code_session, linux_session)):
            assert result.success and result.stdout == "done\n", result


def test_cwd_holds_for_one_command(way: Session, folder: str) -> None:
    path = f"{folder}/a 'dir' $x"
    assert way.file_system.create_directory(path).success
    assert way.command.run("pwd", cwd=path).stdout == path + "\n"
    assert way.command.run("pwd").stdout != path + "\n"
    assert not way.command.run("pwd", cwd=folder + "/missing").success


def test_environment_variables_are_literal_and_hold_for_one_command(way: Session) -> None:
    envs = {"A": 'it\'s "$HOME"; `id`\nnew\\line', "ü": "x", "EMPTY": ""}
    result = way.command.run('printf "%s|%s" "$A" "${EMPTY-unset}"', envs=envs)
    assert result.stdout == envs["A"] + "|", result
    assert way.command.run('echo "${A-unset}"').stdout == "unset\n"


def test_background_processes_outlive_the_call(session: Session, folder: str) -> None:
    start = time.monotonic()
    command = f"nohup sh -c 'sleep 2; echo done > {folder}/x' >/dev/null 2>&1 & echo started"
    assert session.command.run(command).stdout == "started\n"
    assert time.monotonic() - start < 2
    wait = session.command.run(
        f"until [ -s {folder}/x ]; do sleep 0.1; done; cat {folder}/x", timeout_ms=20_000
    )
    assert wait.stdout == "done\n", wait


def test_a_process_that_keeps_the_output_open_does_not_hold_the_call(session: Session) -> None:
    start = time.monotonic()
    assert session.command.run("sleep 30 & echo started").stdout == "started\n"
    assert time.monotonic() - start < 20


def test_concurrent_commands_overlap(session: Session) -> None:
    async def main() -> tuple[list[CommandResult], float]:
        async with AsyncAgentBay() as client:
            twin = (await client.get(session.session_id)).session
            assert twin is not None
            start = time.monotonic()
            results = await asyncio.gather(*(twin.command.run(f"sleep 2; echo {n}") for n in range(5)))
            return results, time.monotonic() - start

    results, took = asyncio.run(main())
    assert [r.stdout for r in results] == [f"{n}\n" for n in range(5)]
    assert took < 8, f"5 commands of 2 s took {took:.1f} s"


def test_output_of_megabytes_is_whole(way: Session) -> None:
    result = way.command.run("head -c 3000000 /dev/zero | tr '\\0' x")
    assert result.success and result.stdout == "x" * 3_000_000


def test_endless_output_is_bounded_and_marked(new_session: NewSession) -> None:
    session = new_session()
    result = session.command.run("head -c 500000000 /dev/zero | tr '\\0' x; echo end", timeout_ms=120_000)
    assert (
        len(result.stdout) < 500_000_000
        and "truncated" in (result.output + result.error_message)[-4000:].lower()
    )
    assert session.command.run("echo alive").stdout == "alive\n"


def test_bytes_that_are_no_text_do_not_break_the_answer(way: Session) -> None:
    result = way.command.run("printf '\\xff\\xfe ok'")
    assert result.success and result.stdout.endswith(" ok")


def test_a_command_of_a_megabyte_is_answered(way: Session) -> None:
    result = way.command.run(": " + "x" * 1_000_000 + "\necho end")
    assert (result.success and result.stdout == "end\n") or result.error_message
    assert result.request_id and way.command.run("echo alive").stdout == "alive\n"


@pytest.mark.parametrize("timeout_ms", [-1, -(2**40), 2**70])
def test_senseless_timeouts_are_refused(way: Session, timeout_ms: int) -> None:
    result = way.command.run("echo hi", timeout_ms=timeout_ms)
    assert not result.success and result.error_message and result.request_id, result
