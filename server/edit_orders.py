"""What the page says when it orders an edit, and what it is told of one. JSON over HTTP; the types are part of `/docs`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_INSTRUCTION_LETTERS = 300
HUB_NAME = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"

EditState = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
ENDED: frozenset[EditState] = frozenset({"done", "failed", "cancelled", "interrupted"})
RESUMABLE: frozenset[EditState] = frozenset({"failed", "cancelled", "interrupted"})


class EditOrder(BaseModel):
    """An edit of one of the shelf's avatars; `python -m editing edit --help` explains the words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    avatar: str
    """Name from `/api/avatars`."""
    instruction: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_INSTRUCTION_LETTERS)]
    """In English."""
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=60, pattern=r"^[^\W_][\w .-]*$")] | None = None
    """Of the new style; null: made of the instruction."""
    editor: Annotated[str, StringConstraints(pattern=rf"^(builtin|ip2p|{HUB_NAME})$")] = "builtin"
    strength: float = Field(default=1.0, gt=0.0, le=1.0)
    preset: Annotated[str, StringConstraints(pattern=r"^[a-z]+$")] = "standard"
    strategy: Annotated[str, StringConstraints(pattern=r"^[a-z-]+$")] = "progressive"
    rounds: int | None = Field(default=None, ge=1, le=20)
    """null: the preset's."""
    frames: int | None = Field(default=None, ge=4, le=1000)
    """null: the preset's."""
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _instruction_says_something(self) -> EditOrder:
        if not self.instruction:
            raise ValueError("the instruction is empty; say what to change, such as “make him look like a bronze statue”")
        if any(ord(letter) < 32 for letter in self.instruction):
            raise ValueError("the instruction has a control character; one line of plain English is wanted")
        return self

    def options(self) -> list[str]:
        """Of `python -m editing edit`. Joined by "=", so that nothing a user writes can be taken for an option."""
        given: dict[str, Any] = {
            "instruction": self.instruction,
            "editor": self.editor,
            "strength": self.strength,
            "preset": self.preset,
            "strategy": self.strategy,
            "rounds": self.rounds,
            "frames": self.frames,
            "seed": self.seed,
        }
        return [f"--{name}={value}" for name, value in given.items() if value is not None]


class EditInfo(BaseModel):
    """One edit as the page shows it."""

    id: str
    name: str
    """Of the style that it makes."""
    avatar: str
    """The one that is edited."""
    instruction: str
    editor: str
    state: EditState
    resumable: bool
    message: str = ""
    """One line: why it failed."""
    stage: str | None = None
    round: int | None = None
    rounds: int | None = None
    share: float = 0.0
    """Of the work that is done, 0...1."""
    eta_s: float | None = None
    preview: str | None = None
    """Address of the newest preview picture, relative to the page."""
    created_s: float
    """Seconds since 1970."""


class Instruction(BaseModel):
    """Something that the built-in editor understands."""

    name: str
    example: str
    changes: str
    colours: list[str]


class EditOptions(BaseModel):
    """What an order may say here."""

    available: bool
    reason: str = ""
    """One line: what is missing where no edit can run."""
    editors: list[str] = []
    strategies: list[str] = []
    presets: dict[str, dict[str, int]] = {}
    instructions: list[Instruction] = []


def style_name(avatar: str, instruction: str) -> str:
    """A short file name: "presenter" and "make her look like a bronze statue" become "presenter-bronze-statue"."""
    idle = {
        "a",
        "an",
        "the",
        "her",
        "him",
        "his",
        "it",
        "them",
        "make",
        "turn",
        "give",
        "look",
        "looks",
        "like",
        "into",
        "as",
        "what",
        "if",
    }
    idle |= {"had", "has", "put", "some", "on", "with", "to", "of", "please", "she", "he", "they", "add", "be"}
    words = [word for word in re.findall(r"[a-z0-9]+", instruction.lower()) if word not in idle]
    return "-".join([avatar, *words[:4]])[:60].rstrip("-")
