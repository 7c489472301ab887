"""The lab's pytest: each image on each place, and each test that an image reports as a case of its own.

A case is named `IMAGE on PLACE` and the test's name, in the terminal and in JUnit. What `test_image` itself comes to is the
report of the image as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from images import Image, Ran
from ktap import Case, Outcome
from labgrid import Environment
from labgrid.pytestplugin.hooks import LABGRID_ENV_KEY

CASES = pytest.StashKey[tuple[str, list[Case]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("asphodel")
    group.addoption("--images", type=Path, help="directory that `cargo xtask image --tests --out` has written")
    group.addoption("--only", default="", help="names of images, with commas between them")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives `place` and `image` all their values."""
    if "place" in metafunc.fixturenames:
        env = metafunc.config.stash[LABGRID_ENV_KEY]
        metafunc.parametrize("place", list(env.config.get_targets()) if env else [])
    if "image" in metafunc.fixturenames:
        images = _images(metafunc.config)
        metafunc.parametrize("image", images, ids=[image.name for image in images])


def _images(config: pytest.Config) -> list[Image]:
    """The images that are asked for."""
    directory: Path | None = config.getoption("images")
    if directory is None:
        return []
    try:
        entries = json.loads((directory / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"--images: {error}") from error
    images = [Image(**{**entry, "file": directory / entry["file"]}) for entry in entries]
    only = [name for name in config.getoption("only").split(",") if name]
    if missing := set(only) - {image.name for image in images}:
        raise pytest.UsageError(f"--only: there is no image {', '.join(sorted(missing))}")
    return [image for image in images if not only or image.name in only]


@pytest.fixture(scope="session")
def images(pytestconfig: pytest.Config) -> dict[str, Image]:
    """The images that are asked for, by name."""
    return {image.name: image for image in _images(pytestconfig)}


@pytest.fixture(scope="session")
def first_place(env: Environment) -> str:
    """A place that any image may be run on."""
    return next(iter(env.config.get_targets()))


@pytest.fixture(scope="session")
def run(env: Environment, pytestconfig: pytest.Config) -> Callable[[str, Image], Ran]:
    """Runs an image on a place, and keeps what it said beside the images, in `logs`."""
    logs: Path = pytestconfig.getoption("images").parent / "logs"
    logs.mkdir(exist_ok=True)

    def run_image(place: str, image: Image) -> Ran:
        ran = env.get_target(place).get_driver("Strategy", activate=False).run(image)
        (logs / f"{image.name}-on-{place}.log").write_text(ran.console)
        return ran

    return run_image


@pytest.fixture
def report_cases(request: pytest.FixtureRequest) -> Callable[[str, list[Case]], None]:
    """Has cases reported under a common name."""

    def report(name: str, cases: list[Case]) -> None:
        request.node.stash[CASES] = (name, cases)

    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    report = yield
    if call.when == "call" and CASES in item.stash:
        name, cases = item.stash[CASES]
        for case in cases:
            for one in _reports(item, name, case):
                item.ihook.pytest_runtest_logreport(report=one)
    return report


def _reports(item: pytest.Item, name: str, case: Case) -> list[pytest.TestReport]:
    """The reports of a case: what came of it, and that nothing follows."""
    path = str(item.path)
    nodeid = f"{name}::{case.name}"
    why = {Outcome.PASSED: None, Outcome.FAILED: case.reason, Outcome.SKIPPED: (path, 0, f"Skipped: {case.reason}")}
    common = {"nodeid": nodeid, "location": (path, None, case.name), "keywords": {}}
    result = pytest.TestReport(**common, outcome=case.outcome.value, longrepr=why[case.outcome], when="call")
    return [result, pytest.TestReport(**common, outcome="passed", longrepr=None, when="teardown")]
