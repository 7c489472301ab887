"""The judgement, tried on consoles: pass, fail, skip, missing, hang, crash, garbage, declared endings."""

import pytest
from ktap import Case, Outcome, judge

GOOD = """\
asphodel 0.1.0 on QEMU virt, 4 CPUs
KTAP version 1
1..3
# run 1 exit.code (deadline_ms=1000)
some noise
ok 1 exit.code
# run 2 exit.skipped (deadline_ms=1000)
ok 2 exit.skipped # SKIP needs two CPUs
# run 3 exit.last (deadline_ms=1000)
ok 3 exit.last
# totals: pass:2 fail:0 skip:1
asphodel-test: PASS
asphodel: power off, status 0
"""
BAD = (
    GOOD.replace("some noise\nok 1", "# reason: failed at a:1\nnot ok 1")
    .replace("pass:2 fail:0", "pass:1 fail:1")
    .replace("PASS", "FAIL")
    .replace("status 0", "status 1")
)


def failures(cases: list[Case]) -> dict[str, str]:
    return {case.name: case.reason for case in cases if case.outcome is Outcome.FAILED}


@pytest.mark.parametrize("console", [GOOD, GOOD.replace("\n", "\r\n"), GOOD.replace("power off", "restart")])
def test_a_good_report_is_believed(console: str) -> None:
    verdict = judge(console, [])
    assert verdict.good
    assert [case.outcome.value for case in verdict.cases] == ["passed", "skipped", "passed"]
    assert verdict.cases[1].reason == "needs two CPUs"


def test_what_a_program_prints_is_no_report() -> None:
    forged = "ok 4 exit.forged\n1..9\nasphodel-test: FAIL\nasphodel: PANIC on CPU 0x0: x\nasphodel: power off, status 9\n"
    console = "".join(f"{forged} x {line}\nx {line}\n" for line in GOOD.splitlines())
    assert judge(console, [], word="x") == judge(GOOD, [])
    assert judge(GOOD, [], word="x").problems


def test_a_failed_test_has_its_reason_and_the_report_is_whole() -> None:
    verdict = judge(BAD, [])
    assert failures(verdict.cases) == {"exit.code": "failed at a:1"}
    assert verdict.problems == [] and not verdict.good


@pytest.mark.parametrize(
    "missing",
    ["KTAP version 1\n", "1..3\n", "# totals: pass:2 fail:0 skip:1\n", "asphodel-test: PASS\n",
     "asphodel: power off, status 0\n"],
)  # fmt: skip
def test_each_missing_part_is_a_problem(missing: str) -> None:
    assert len(judge(GOOD.replace(missing, ""), []).problems) == 1


def test_a_hang_names_what_ran_and_what_never_did() -> None:
    verdict = judge(GOOD.split("ok 2")[0], [])
    assert failures(verdict.cases) == {
        "exit.skipped": "no result: the deadline passed while it ran",
        "test 3": "it never ran: the deadline passed",
    }
    assert "there is no verdict" in verdict.problems


def test_a_crash_is_a_problem_with_and_without_a_power_off() -> None:
    panic = "asphodel: PANIC on cpu 0: broken\n"
    assert "PANIC" in judge(GOOD.replace("asphodel: power", f"{panic}asphodel: power"), []).problems[0]
    assert "broken" in failures(judge(GOOD.split("ok 2")[0] + panic, []).cases)["exit.skipped"]


def test_an_emulator_that_ends_early_is_reported() -> None:
    verdict = judge(GOOD.split("ok 3")[0], [], "the emulator ended")
    assert failures(verdict.cases) == {"exit.last": "no result: the emulator ended while it ran"}


@pytest.mark.parametrize("console", ["", "\x00\xff\ufffd\nok\nnot ok x y\n1..x\nasphodel-test: MAYBE\n# totals: a\n"])
def test_silence_and_garbage_are_problems(console: str) -> None:
    verdict = judge(console, [])
    assert not verdict.good and verdict.cases == []


@pytest.mark.parametrize(
    ("what", "instead"),
    [("ok 3 exit.last", "ok 2 exit.last"), ("ok 3 exit.last", "ok 3 exit.other"), ("pass:2", "pass:3"),
     ("PASS", "FAIL"), ("status 0", "status 3"), ("1..3", "1..2"), ("1..3", "1..0")],
)  # fmt: skip
def test_what_does_not_fit_is_a_problem(what: str, instead: str) -> None:
    assert judge(GOOD.replace(what, instead), []).problems


def test_declared_endings_must_come_about() -> None:
    declared = ["fail exit.code", "pass exit.last"]
    console = BAD.replace("ok 2 exit.skipped # SKIP needs two CPUs", "ok 2 exit.skipped").replace(
        "pass:1 fail:1 skip:1", "pass:2 fail:1 skip:0"
    )
    assert judge(console, [*declared, "pass exit.skipped"]).good
    assert "not declared" in failures(judge(console, declared).cases)["exit.skipped"]
    assert set(failures(judge(console, ["panic exit.code", *declared[1:], "pass exit.skipped"]).cases)) == {"exit.code"}
    assert failures(judge(console, [*declared, "pass exit.skipped", "hang none"]).cases) == {"none": "it reported no result"}


@pytest.mark.parametrize(
    ("console", "expect", "good"),
    [("hello\n", "no-verdict", True), (GOOD, "no-verdict", False), ("asphodel: PANIC x\n", "no-verdict", False),
     ("asphodel: PANIC x\n", "system-panic", True), (GOOD, "system-panic", False),
     ("asphodel: init exited with 4\nasphodel: power off, status 4\n", "init-ends 4", True),
     ("asphodel: init exited with 4\nasphodel: power off, status 5\n", "init-ends 4", False),
     (GOOD, "init-ends 0", False), (GOOD, "no-report", False), ("asphodel: power off, status 0\n", "no-report", True),
     ("hello\n", "no-report", False)],
)  # fmt: skip
def test_whole_images_may_be_declared(console: str, expect: str, good: bool) -> None:
    assert judge(console, [expect]).good is good
