"""Machine time, tried on numbers and on a process that sleeps."""

import subprocess
import time

import pytest
from machine_time import MachineTime, granted


@pytest.mark.parametrize(
    ("wall", "ran", "waited", "expected"),
    [(1.0, 0.0, 0.0, 1.0), (1.0, 4.0, 0.0, 1.0), (1.0, 0.1, 0.9, 0.1), (1.0, 0.01, 0.09, 0.91), (1.0, 2.0, 2.0, 0.5)],
)
def test_granted(wall: float, ran: float, waited: float, expected: float) -> None:
    assert granted(wall, ran, waited) == pytest.approx(expected)


def test_sleep_counts_fully() -> None:
    with subprocess.Popen(["sleep", "10"]) as sleeper:
        begun, machine = time.monotonic(), MachineTime(sleeper.pid)
        time.sleep(0.3)
        passed = machine.elapsed()
        assert 0.1 < passed <= time.monotonic() - begun
        sleeper.kill()
