"""Machine time: the time in which an emulator's threads could run; the deadlines of emulated places count it.

The rule is that of tools/xtask/src/machine_time.rs: of the time in which threads were runnable, the part in which they
ran; time in which all slept counts fully. Where the host does not count, it is the wall clock.
"""

from __future__ import annotations

import time
from pathlib import Path

# The span over which runs and waits are compared, in seconds.
_SPAN = 2.0


class MachineTime:
    """The machine time of one process, in seconds, from now on."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._begun, self._passed, self._before = time.monotonic(), 0.0, self._count()

    def elapsed(self) -> float:
        """How much has passed."""
        now, counted = time.monotonic(), self._count()
        ran, waited = (
            sum(max(0.0, count[which] - self._before.get(thread, (0.0, 0.0))[which]) for thread, count in counted.items())
            for which in (0, 1)
        )
        passed = self._passed + granted(now - self._begun, ran, waited)
        if now - self._begun >= _SPAN:
            self._begun, self._passed, self._before = now, passed, counted
        return passed

    def _count(self) -> dict[str, tuple[float, float]]:
        """How long each thread has run, and has waited for a CPU."""
        counts = {}
        try:
            for task in self._tasks.iterdir():
                ran, waited, *_ = (task / "schedstat").read_text().split()
                counts[task.name] = (int(ran) / 1e9, int(waited) / 1e9)
        except OSError:
            # The emulator, or one of its threads, has just ended.
            pass
        return counts


def granted(wall: float, ran: float, waited: float) -> float:
    """The machine time in a span of `wall`, in which all threads together `ran` and `waited` for a CPU."""
    if ran + waited <= wall:
        return wall - waited
    return wall * ran / (ran + waited)
