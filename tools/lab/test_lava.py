"""The LAVA jobs: what their monitor makes of consoles, read as LAVA's dispatcher reads them, with pexpect.

Consoles are made up, and recorded of images that run on the first place. No LAVA server is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest
import yaml
from images import Image, Ran
from ktap import HEADER, Outcome, judge, system_lines
from test_ktap import BAD, GOOD

JOBS = sorted((Path(__file__).parent / "lava").glob("*.yaml"))
RESULTS = {Outcome.PASSED: "pass", Outcome.FAILED: "fail", Outcome.SKIPPED: "skip"}


def monitor(job: Path, word: str) -> dict[str, Any]:
    """The one monitor of a job that got this word."""
    actions = yaml.safe_load(job.read_text().replace("WORD", word))["actions"]
    assert [next(iter(action)) for action in actions] == ["deploy", "boot", "test"]
    (one,) = actions[-1]["test"]["monitors"]
    return one


def case_id(name: str) -> str:
    """A name as LAVA makes it one of its own."""
    return re.sub(r"\W+", "_", name.strip().lower())


def seen_by_lava(monitor: dict[str, Any], console: str, tmp_path: Path) -> dict[str, str]:
    """The test cases that LAVA makes of a console: waits for the start, then for end or results, whatever comes first."""
    path = tmp_path / "console"
    path.write_text(console)
    child = pexpect.spawn("cat", [str(path)], encoding="utf-8", timeout=10)
    child.expect(monitor["start"])
    results = {}
    while child.expect([monitor["end"], monitor["pattern"]]) == 1:
        found = child.match.groupdict()
        results[case_id(found["test_case_id"])] = monitor["fixupdict"][found["result"]]
    child.close(force=True)
    return results


def spoken(console: str, word: str) -> str:
    """A console as the system prints it, behind the word, with what a program prints between its lines."""
    return "".join(f"ok 7 forged\n{word} {line}\n" for line in console.splitlines())


def expected(console: str) -> dict[str, str]:
    """The test cases that there should be: those of the judgement, and the image's own verdict."""
    results = {case_id(case.name): RESULTS[case.outcome] for case in judge(console, []).cases}
    return results | {"asphodel_test": "pass" if "asphodel-test: PASS" in console else "fail"}


@pytest.fixture(params=JOBS, ids=lambda job: job.stem)
def job(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_passes_skips_and_failures_are_told_apart(job: Path, tmp_path: Path) -> None:
    for console in (GOOD, BAD):
        results = seen_by_lava(monitor(job, "w0rd"), spoken(console, "w0rd"), tmp_path)
        assert results == expected(console)
        assert results["exit_skipped"] == "skip"


def test_a_console_that_ends_early_has_no_end(job: Path, tmp_path: Path) -> None:
    with pytest.raises(pexpect.EOF):
        seen_by_lava(monitor(job, "w0rd"), spoken(GOOD.split("asphodel-test")[0], "w0rd"), tmp_path)


@pytest.mark.parametrize("name", ["smp_online", "selftest_fail"])
def test_real_consoles_become_test_cases(
    name: str, job: Path, images: dict[str, Image], run: Callable[[str, Image], Ran], first_place: str, tmp_path: Path
) -> None:
    if name not in images:
        pytest.skip(f"{name} is not among the images")
    ran = run(first_place, images[name])
    assert HEADER in ran.console
    results = seen_by_lava(monitor(job, ran.word), ran.console, tmp_path)
    assert results == expected("\n".join(system_lines(ran.console, ran.word)))
    assert len(results) > 1 and ("fail" in results.values()) is (name == "selftest_fail")
