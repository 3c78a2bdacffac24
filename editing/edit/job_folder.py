"""What a job needs to be stopped anywhere and to go on: a folder beside the avatar that it makes, where nothing is ever half-written.

OUT.edit/request.json    what was asked for; another request does not go on from it
OUT.edit/progress.json   for whoever watches, see `progress`

Files appear under another name first, and the folder is renamed before it is removed.
"""

from __future__ import annotations

import io
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.request_file import note_request, was_begun_with
from editing.whole_files import write_whole
from renderer.avatar_file import save_avatar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from renderer.avatar import Avatar


class JobFolder:
    """The folder of one job. Every write raises BadInput where the disk is full; what was there before then stays."""

    def __init__(self, out: Path) -> None:
        """`out` is the avatar file that the job will make; nothing is written yet."""
        self.out, self.path = out, job_folder(out)

    def begin(self, wanted: Mapping[str, Any]) -> None:
        """Note what is asked for; BadInput where the folder was begun with something else."""
        if was_begun_with(self.path, wanted, "remove that folder (or pass --restart)"):
            return
        self.path.mkdir(exist_ok=True)
        note_request(self.path, wanted)

    def write(self, name: str, data: bytes) -> None:
        """A file as a whole."""
        write_whole(self.path / name, lambda path: path.write_bytes(data))

    def save(self, name: str, array: np.ndarray) -> None:
        """An array as a .npy file."""
        data = io.BytesIO()
        np.save(data, array)
        self.write(name, data.getvalue())

    def note_progress(self, whole: Mapping[str, Any]) -> None:
        self.write("progress.json", json.dumps(whole).encode())

    def finish(self, avatar: Avatar, preview: bytes) -> str:
        """Put the avatar and its preview in their places and remove the folder; returns the avatar file's SHA-256."""
        # Inside the folder first: what a kill leaves half-written must not lie beside the avatars.
        self.write("preview.png", preview)
        finished = self.path / self.out.name
        sha256 = save_avatar(avatar, finished)
        (self.path / "preview.png").replace(self.out.with_suffix(".preview.png"))
        finished.replace(self.out)
        discard(self.path)
        return sha256


def job_folder(out: Path) -> Path:
    """Where a job that makes `out` keeps what it needs to go on."""
    return out.with_name(f"{out.stem}.edit")


def discard(folder: Path) -> None:
    """Remove a job's folder: whole at once, as far as another job can see, also where the removal is cut short."""
    removed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(removed, ignore_errors=True)
    if folder.is_dir():
        folder.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)
