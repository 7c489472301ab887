"""Judging what a test image says (KTAP version 1): a pure function from its console to test cases.

The rules are those of `cargo xtask test`: only lines of the protocol count that the system itself printed, behind the word
that was drawn for the boot, and what is missing is a failure: a plan
that is not kept, no totals, no verdict, no power-off. Nothing here knows of labgrid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

HEADER = "KTAP version 1"
_RESULT = re.compile(r"(not ok|ok) (\d+) (\S+)(?:.*? # (.*))?")
_STARTED = re.compile(r"# run (\d+) (\S+)")
_PLAN = re.compile(r"1\.\.(\d+)\s*")
_TOTALS = re.compile(r"# totals: pass:(\d+) fail:(\d+) skip:(\d+)\s*")
_VERDICT = re.compile(r"asphodel-test: (PASS|FAIL)\s*")
_END = re.compile(r"asphodel: (?:power off|restart), status (\d+)\s*")
_PANIC = "asphodel: PANIC"
_INIT_ENDS = "asphodel: init "
# The word with which the reason of a failed test begins, for each declared ending.
_REASONS = {"fail": "failed", "panic": "panicked", "hang": "timed out", "leak": "leaked"}


class Outcome(Enum):
    """What came of a test."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Case:
    """A test, what came of it, and why it failed or was skipped."""

    name: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """All that is known of a run: its tests, and what is wrong with the report as a whole."""

    cases: list[Case]
    problems: list[str]

    @property
    def good(self) -> bool:
        """Whether nothing failed."""
        return not self.problems and all(case.outcome is not Outcome.FAILED for case in self.cases)


@dataclass
class _Transcript:
    """What was read."""

    header: bool = False
    plan: int | None = None
    points: list[tuple[int, Case]] = field(default_factory=list)
    started: dict[int, str] = field(default_factory=dict)
    totals: tuple[int, int, int] | None = None
    verdict: bool | None = None
    panic: str | None = None
    init_ends: str | None = None
    status: int | None = None

    def count(self, outcome: Outcome) -> int:
        return sum(case.outcome is outcome for _, case in self.points)


def end_status(line: str) -> int | None:
    """The status with which the system ends, when the line says that it does."""
    match = _END.fullmatch(line)
    return int(match[1]) if match else None


def is_panic(line: str) -> bool:
    """Whether the line says that the system panics."""
    return line.startswith(_PANIC)


def system_lines(console: str, word: str) -> list[str]:
    """The lines that the system itself printed: those behind the boot's word; all, if there is none."""
    lines = [line.rstrip("\r") for line in console.split("\n")]
    prefix = f"{word} "
    return [line.removeprefix(prefix) for line in lines if line.startswith(prefix)] if word else lines


def judge(console: str, expect: list[str], ended: str = "the deadline passed", word: str = "") -> Verdict:
    """Judges a console of a boot with this word.

    `expect` is what the image declares: empty when all tests are to pass. `ended` says why listening ended, where the
    system itself has not said that it powers off or restarts.
    """
    transcript = _read(system_lines(console, word))
    how = _how(transcript, ended)
    match expect[0].split() if expect else []:
        case ["no-verdict"]:
            hung = transcript.verdict is None and transcript.panic is None and transcript.status is None and ended == "the deadline passed"
            return _whole("(no verdict)", hung, f"it was to hang without a verdict, but {how}")
        case ["no-report"]:
            silent = transcript.verdict is None and not transcript.points and transcript.panic is None
            return _whole("(no report)", silent and transcript.status is not None, f"it was to end without a report, but {how}")
        case ["system-panic"]:
            return _whole("(system panic)", transcript.panic is not None, "the system did not panic")
        case ["init-ends", status]:
            good = transcript.init_ends is not None and transcript.panic is None and transcript.status == int(status)
            return _whole("(init ends)", good, f"init was to end with {status}, but {how}")
    problems = _problems(transcript, how)
    if expect:
        return Verdict(_declared(transcript, expect), problems)
    cases = [case for _, case in transcript.points]
    numbers = {number for number, _ in transcript.points}
    for number in range(1, (transcript.plan or 0) + 1):
        if number in numbers:
            continue
        if number in transcript.started:
            cases.append(Case(transcript.started[number], Outcome.FAILED, f"no result: {how} while it ran"))
        else:
            cases.append(Case(f"test {number}", Outcome.FAILED, f"it never ran: {how}"))
    return Verdict(cases, problems)


def _read(lines: list[str]) -> _Transcript:
    transcript, reason = _Transcript(), ""
    for line in lines:
        if line == HEADER:
            transcript.header = True
        elif match := _PLAN.fullmatch(line):
            transcript.plan = int(match[1]) if transcript.plan is None else transcript.plan
        elif match := _STARTED.match(line):
            transcript.started.setdefault(int(match[1]), match[2])
            reason = ""
        elif line.startswith("# reason: "):
            reason = line.removeprefix("# reason: ")
        elif match := _TOTALS.fullmatch(line):
            transcript.totals = (int(match[1]), int(match[2]), int(match[3]))
        elif match := _VERDICT.fullmatch(line):
            transcript.verdict = match[1] == "PASS"
        elif match := _RESULT.fullmatch(line):
            transcript.points.append((int(match[2]), _case(match, reason)))
            reason = ""
        elif is_panic(line):
            transcript.panic = transcript.panic or line
        elif line.startswith(_INIT_ENDS):
            transcript.init_ends = transcript.init_ends or line
        if (status := end_status(line)) is not None:
            transcript.status = status
    return transcript


def _case(match: re.Match[str], reason: str) -> Case:
    result, _, name, directive = match.groups()
    if result == "not ok":
        return Case(name, Outcome.FAILED, reason or "no reason reported")
    if directive is not None and directive.startswith("SKIP"):
        return Case(name, Outcome.SKIPPED, directive.removeprefix("SKIP").strip())
    return Case(name, Outcome.PASSED)


def _how(transcript: _Transcript, ended: str) -> str:
    """How the run ended, in words."""
    if transcript.status is not None:
        return f"the system ended with status {transcript.status}"
    return f"the system panicked ({transcript.panic})" if transcript.panic else ended


def _whole(name: str, good: bool, why: str) -> Verdict:
    """The verdict on an image that is one single case."""
    return Verdict([Case(name, Outcome.PASSED) if good else Case(name, Outcome.FAILED, why)], [])


def _problems(transcript: _Transcript, how: str) -> list[str]:
    """What is wrong with the report, whatever came of the tests."""
    problems = []
    if transcript.status is None:
        problems.append(how)
    elif transcript.panic:
        problems.append(transcript.panic)
    if not transcript.header:
        problems.append(f"there is no `{HEADER}`")
    problems += _plan_problems(transcript)
    counts = (transcript.count(Outcome.PASSED), transcript.count(Outcome.FAILED), transcript.count(Outcome.SKIPPED))
    if transcript.totals is None:
        problems.append("there are no totals")
    elif transcript.totals != counts:
        problems.append("the totals do not fit the results")
    if transcript.verdict is None:
        problems.append("there is no verdict")
    elif transcript.verdict != (counts[1] == 0):
        problems.append("the verdict does not fit the results")
    elif transcript.status is not None and transcript.verdict != (transcript.status == 0):
        problems.append(f"the status {transcript.status} does not fit the verdict")
    return problems


def _plan_problems(transcript: _Transcript) -> list[str]:
    """Whether the tests were those that were announced, each reported once, in order, under its name."""
    if transcript.plan is None:
        return ["there is no plan"]
    if transcript.plan == 0:
        return ["there is no test in it"]
    numbers = [number for number, _ in transcript.points]
    if len(numbers) > transcript.plan or numbers != list(range(1, len(numbers) + 1)):
        return [f"{transcript.plan} tests were planned, reported were {numbers}"]
    for number, case in transcript.points:
        if transcript.started.get(number, case.name) != case.name:
            return [f"test {number} ended under another name, {case.name}"]
    return []


def _declared(transcript: _Transcript, expect: list[str]) -> list[Case]:
    """A case for each declared test, and one for each that is not declared."""
    endings = {name: ending for ending, name in (words.split() for words in expect)}
    results = {case.name: case for _, case in transcript.points}
    cases = []
    for name, ending in endings.items():
        result = results.get(name)
        if result is None:
            cases.append(Case(name, Outcome.FAILED, "it reported no result"))
        elif ending == "pass":
            good = result.outcome is Outcome.PASSED
            cases.append(_compared(name, ending, result, good))
        else:
            good = result.outcome is Outcome.FAILED and result.reason.startswith(_REASONS[ending])
            cases.append(_compared(name, ending, result, good))
    for name in results.keys() - endings.keys():
        cases.append(Case(name, Outcome.FAILED, "it is not declared with `expect:`"))
    return cases


def _compared(name: str, ending: str, result: Case, good: bool) -> Case:
    if good:
        return Case(name, Outcome.PASSED)
    return Case(name, Outcome.FAILED, f"`{ending}` was expected, reported was {result.outcome.value} {result.reason}".strip())
