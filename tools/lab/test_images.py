"""Each test image on each place of the environment file."""

from collections.abc import Callable

from images import Image, Ran
from ktap import Case, judge


def test_image(
    place: str,
    image: Image,
    run: Callable[[str, Image], Ran],
    report_cases: Callable[[str, list[Case]], None],
) -> None:
    """Runs the image. Its tests become cases; this one fails when its report is not whole."""
    ran = run(place, image)
    verdict = judge(ran.console, image.expect, ran.ended, ran.word)
    report_cases(f"{image.name} on {place}", verdict.cases)
    assert not verdict.problems, "; ".join(verdict.problems)
