"""How labgrid's targets run an image: an emulator boots it, a board gets it over its serial line.

Both strategies have `run`, which gives what the system said and why listening ended. `conftest.py` calls it.
labgrid itself imports this file, once: nothing else may.
"""

from __future__ import annotations

import contextlib
import os
import pty
import secrets
import select
import subprocess
import tempfile
import tty
from typing import Any

import attr
import ktap
import pexpect
from images import Image, Ran
from labgrid.factory import target_factory
from labgrid.strategy import Strategy, StrategyError
from machine_time import MachineTime

DEADLINE = "the deadline passed"
# The boot argument with the word that the system's own lines begin with.
WORD = "console-word="
# Seconds that a panicking system may take to its end.
GRACE = 5.0
# Seconds from power on to the loader's first answer.
BOOT = 60
# What `cargo xtask send` says of an image that does not end.
LATE = "did not end in time"


def _receive(console: Any, patience: float) -> bytes | None:
    """What comes next on a console; `None` when nothing comes in time, nothing at all when the line is closed."""
    try:
        return console.read(timeout=patience)
    except pexpect.TIMEOUT:
        return None


@target_factory.reg_driver
@attr.s(eq=False)
class EmulatorStrategy(Strategy):
    """Boots each image in an emulator of its own."""

    bindings = {"qemu": "QEMUDriver"}

    def run(self, image: Image) -> Ran:
        """Boots the image and listens until the system ends, its deadline in machine time has passed, or the emulator is gone."""
        self.target.env.config.data["images"]["image"] = str(image.file)
        word = secrets.token_hex(8)
        self.qemu.boot_args = f"{WORD}{word} {image.append}".strip()
        self.target.activate(self.qemu)
        try:
            self.qemu.on()
            return self._listen(image.deadline, word)
        finally:
            # Also of an emulator that has ended by itself; the command line is made anew for the next image.
            with contextlib.suppress(BrokenPipeError):
                self.target.deactivate(self.qemu)

    def _listen(self, deadline: float, word: str) -> Ran:
        received, seen, until, machine = b"", 0, deadline, MachineTime(self.qemu._child.pid)
        while (left := until - machine.elapsed()) > 0:
            piece = _receive(self.qemu, min(left, 1.0))
            if piece == b"":
                return Ran(received.decode(errors="replace"), "the emulator ended before the system powered off", word)
            received += piece or b""
            whole = received.rfind(b"\n") + 1
            for line in ktap.system_lines(received[seen:whole].decode(errors="replace"), word):
                if ktap.end_status(line) is not None:
                    until = 0.0
                elif ktap.is_panic(line):
                    until = min(until, machine.elapsed() + GRACE)
            seen = max(seen, whole)
        return Ran(received.decode(errors="replace"), DEADLINE, word)


@target_factory.reg_driver
@attr.s(eq=False)
class BoardStrategy(Strategy):
    """Turns a board on, whose card boots the chain loader, and has `cargo xtask send` give it the image.

    The sender gets a pseudo-terminal, and the strategy passes the bytes on to the console that labgrid has, near or far.
    """

    bindings = {"power": "PowerProtocol", "console": "ConsoleProtocol"}

    def run(self, image: Image) -> Ran:
        """Starts the board anew, sends the image and listens until the system ends or its deadline has passed."""
        self.target.activate(self.power)
        self.target.activate(self.console)
        self.power.cycle()
        board, host = pty.openpty()
        word = secrets.token_hex(8)
        try:
            tty.setraw(host)
            with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
                command = [os.environ["ASPHODEL_XTASK"], "send", "--serial", os.ttyname(host)]
                command += ["--append", f"{WORD}{word} end=restart {image.append}".strip(), "--wait", str(BOOT)]
                command += ["--timeout", str(image.deadline), str(image.file)]
                with subprocess.Popen(command, stdout=said, stderr=complaints) as sender:
                    self._pass_bytes(board, sender)
                said.seek(0)
                complaints.seek(0)
                return self._ran(said.read().decode(errors="replace"), complaints.read().decode(errors="replace"), word)
        finally:
            os.close(board)
            os.close(host)
            self.power.off()

    def _pass_bytes(self, board: int, sender: subprocess.Popen[bytes]) -> None:
        """Passes bytes in both directions while the sender runs."""
        while sender.poll() is None:
            while select.select([board], [], [], 0)[0]:
                self._send(os.read(board, 4096))
            piece = _receive(self.console, 0.02)
            if piece == b"":
                sender.terminate()
                raise StrategyError("the board's console is closed")
            if piece:
                os.write(board, piece)

    def _send(self, data: bytes) -> None:
        """Sends all of it: a console may take less than it is given."""
        while data:
            data = data[self.console.write(data) :]

    @staticmethod
    def _ran(console: str, complaints: str, word: str) -> Ran:
        if LATE in complaints:
            return Ran(console, DEADLINE, word)
        if not console:
            raise StrategyError(f"the board did not take the image: {complaints.strip()}")
        return Ran(console, complaints.strip() or "the sender ended", word)
