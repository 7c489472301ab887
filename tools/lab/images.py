"""What an image is, and what comes of running it: the words that tests and strategies share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Image:
    """An image, as the manifest of `cargo xtask image --tests` has it."""

    name: str
    file: Path
    append: str
    expect: list[str]
    deadline: int


@dataclass(frozen=True)
class Ran:
    """What the system said, why listening ended, unless the system said so itself, and the word of its own lines."""

    console: str
    ended: str
    word: str
