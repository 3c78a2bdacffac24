"""A whole edit, step by step in a folder beside the avatar that it makes, so that it can be stopped anywhere and go on.

Besides what every job keeps there (`job_folder`):

OUT.edit/frames.npy      what the field rendered at the beginning of the round
OUT.edit/edited.npy      the dataset: every frame as it was last edited
OUT.edit/edited_K.png    frames before and after the editor, as soon as the first of round K are edited
OUT.edit/round_K.avatar  the avatar after round K; the rounds' checkpoint beside it
OUT.edit/round_K.png     original, edited and rendered frames, and refined ones (omega 0.4 and 0.8)
OUT.edit/round_K.npy     the rendered ones of them
OUT.preview.png          in the end: original, rounds and omega of one frame; stays
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.edit.edited_clip import edited_clip
from editing.edit.job_folder import JobFolder
from editing.edit.optimise import Learning, OptimisationSteps, one_appearance, optimised
from editing.edit.originals import Originals
from editing.edit.progress import PREPARING, EditProgress
from editing.edit.refiner_losses import open_features
from editing.edit.schedule import EditSchedule, Round
from editing.image_editors.editor import EditSettings
from renderer import __version__
from renderer.avatar import Lineage
from renderer.avatar_file import file_sha256, load_avatar, save_avatar
from renderer.images import encode_picture
from renderer.poster import draw_poster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jaxtyping import Int, UInt8

    from editing.image_editors.editor import ImageEditor
    from editing.train.stages import StepReport
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

SHEET_FRAMES = 6
SHEET_REFINE_WEIGHTS = (0.4, 0.8)
"""The paper's figures and table 4 show these."""
PAIRS_SHOWN = 3
PROGRESS_EVERY_STEPS = 10
SAVE_EVERY_FRAMES = 20
"""Edited frames that a stop may lose."""


@dataclass(frozen=True)
class EditRequest:
    """What is asked for."""

    instruction: str
    schedule: EditSchedule = field(default_factory=EditSchedule)
    steps: OptimisationSteps = field(default_factory=OptimisationSteps)
    image_guidance: float = 1.5
    strength: float = 1.0
    seed: int = 0
    threads: int = 2
    learning: Learning = field(default_factory=Learning)

    def settings(self, round_: Round) -> EditSettings:
        """Of the image editor in one round. Raises BadInput for what no editor could do."""
        return EditSettings(self.instruction, round_.text_guidance, self.image_guidance, round_.steps, self.seed, self.strength)


class EditJob:
    """One edit of one avatar."""

    def __init__(
        self,
        source: Path,
        avatar: Avatar,
        out: Path,
        request: EditRequest,
        editor: ImageEditor,
        encoder: AudioEncoder,
        vgg: Path | None = None,
    ) -> None:
        """`vgg` is torchvision's VGG-16 for the refiner's losses, in place of the filter bank.

        Raises BadInput where the instruction cannot be followed, or where OUT.edit was begun with another request.
        """
        editor.check(request.instruction)
        self._avatar, self._out, self._request, self._editor, self._encoder = avatar, out, request, editor, encoder
        self._features = open_features(vgg)
        self._features_name = "filter bank" if vgg is None else f"VGG-16 {file_sha256(vgg)[:16]}"
        self._job = JobFolder(out)
        self._folder = self._job.path
        self._parent = file_sha256(source)
        identity = {"parent": self._parent, "editor": self._editor.name, "features": self._features_name, "version": __version__}
        wanted = {**identity, **dataclasses.asdict(self._request)}
        wanted.pop("threads")
        self._job.begin(wanted)

    def run(self, note: Callable[[dict[str, Any]], None]) -> str:
        """Make the avatar and remove the folder; returns the file's SHA-256. `note` gets what progress.json gets.

        A KeyboardInterrupt or a fault leaves the folder as it is: the same request goes on from there.
        """
        request = self._request
        done = self._rounds_done()
        n_rounds = len(request.schedule.plan(min(request.schedule.frames, len(self._avatar.pose_track))))
        progress = EditProgress(n_rounds, time.monotonic)
        preparing = self._reporter(note, progress, min(done, n_rounds - 1))
        originals = Originals.of(self._avatar, self._encoder, request.schedule.frames, request.threads, preparing.preparing)
        n = len(originals.pictures)
        plan = request.schedule.plan(n)
        start = one_appearance(self._avatar, n)
        avatar = start if done == 0 else load_avatar(self._round(done))
        for index in range(done, len(plan)):
            round_ = plan[index]
            report = self._reporter(note, progress, index)
            rendered = self._rendered(index, avatar, originals, report)
            edited = self._edited(index, round_, rendered, originals, report)
            clip = edited_clip(self._avatar, originals, edited, self._encoder, f"{self._parent[:16]} {request.instruction} round {index}")
            checkpoint = self._folder / f"round_{index + 1}.checkpoint"
            avatar = optimised(
                avatar,
                clip,
                originals.pictures,
                self._encoder,
                request.steps.share(round_.share),
                request.learning,
                self._features,
                checkpoint,
                report.training,
                request.threads,
                request.seed + index,
            )
            self._sheet(index + 1, avatar, originals, edited)
            save_avatar(avatar, self._round(index + 1))
            # The file's grids are rounded; a run that was not stopped goes on with the same ones.
            avatar = load_avatar(self._round(index + 1))
            for name in (checkpoint.name, f"frames_{index + 1}.npy", f"round_{index}.avatar"):
                (self._folder / name).unlink(missing_ok=True)
        return self._finish(avatar, originals, len(plan))

    def _finish(self, avatar: Avatar, originals: Originals, n_rounds: int) -> str:
        whole, learning = self._avatar, self._request.learning
        schedule = {**json.loads(json.dumps(dataclasses.asdict(self._request.schedule))), **dataclasses.asdict(self._request.steps)}
        schedule |= {"field_on_patches": learning.on_patches, "refiner": learning.refiner is not None, "features": self._features_name}
        lineage = Lineage(
            program_version=__version__,
            seed=self._request.seed,
            schedule=json.dumps(schedule, sort_keys=True),
            parent_sha256=self._parent,
            instruction=self._request.instruction,
            editor=self._editor.name,
        )
        # The original's tracks: styles of one person share them, so a swap moves no head.
        avatar = avatar.replace(
            name=self._out.stem,
            field_config=dataclasses.replace(avatar.field_config, n_appearances=1),
            tensors={**avatar.tensors, **one_appearance(avatar, 1).tensors},
            pose_track=whole.pose_track,
            eye_track=whole.eye_track,
            audio_track=whole.audio_track,
            lineage=lineage,
        )
        avatar = avatar.replace(poster=draw_poster(avatar, self._encoder.silence_features()))
        return self._job.finish(avatar, self._preview(avatar, originals, n_rounds))

    # --- one round -------------------------------------------------------------------------------------------------------

    def _rendered(self, index: int, avatar: Avatar, originals: Originals, report: _Reporter) -> UInt8[np.ndarray, "n h w 3"]:
        """What the field shows now; in the first round that is the original."""
        path = self._folder / f"frames_{index + 1}.npy"
        if path.is_file():
            return np.asarray(np.load(path))
        frames = range(len(originals.pictures))
        rendered = originals.pictures
        if index > 0:
            progress = report.counting("rendering", len(frames))
            rendered = originals.moments.render(avatar, frames, self._request.threads, progress=progress)
        self._job.save(path.name, rendered)
        return rendered

    def _edited(
        self, index: int, round_: Round, rendered: UInt8[np.ndarray, "n h w 3"], originals: Originals, report: _Reporter
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """The dataset after this round's update. Frames that are edited stay so if the job is stopped in between."""
        path, marks = self._folder / "edited.npy", self._folder / "edited_in_round.npy"
        edited = np.array(np.load(path)) if path.is_file() else originals.pictures.copy()
        last_round = np.load(marks) if marks.is_file() else np.full(len(edited), -1)
        todo = [k for k in round_.frames if last_round[k] < index]
        settings, count = self._request.settings(round_), report.counting("editing", len(round_.frames))
        for first in range(0, len(todo), SAVE_EVERY_FRAMES):
            chosen = np.array(todo[first : first + SAVE_EVERY_FRAMES])
            condition = originals.pictures[chosen] if round_.original_condition else None
            already = len(round_.frames) - len(todo) + first
            edited[chosen] = self._editor.edit(
                rendered[chosen],
                condition,
                settings,
                indices=[int(k) for k in originals.moments.indices[chosen]],
                guide=originals.guide.part(chosen),
                progress=lambda done, already=already: count(already + done),  # type: ignore[misc]
            )
            last_round[chosen] = index
            self._job.save(path.name, edited)
            self._job.save(marks.name, last_round)
            if first == 0:
                shown = chosen[np.unique(np.linspace(0, len(chosen) - 1, PAIRS_SHOWN).astype(int))]
                pairs = np.vstack([np.hstack(list(pictures[shown])) for pictures in (originals.pictures, edited)])
                self._job.write(f"edited_{index + 1}.png", encode_picture(pairs, "png"))
        return edited

    def _sheet(self, number: int, avatar: Avatar, originals: Originals, edited: UInt8[np.ndarray, "n h w 3"]) -> None:
        chosen = self._shown(len(edited))
        weights = (0.0,) if avatar.refiner is None else (0.0, *SHEET_REFINE_WEIGHTS)
        frames = [int(k) for k in chosen]
        shown = [originals.moments.render(avatar, frames, self._request.threads, refine_weight=weight) for weight in weights]
        self._job.save(f"round_{number}.npy", shown[0])
        rows = [np.hstack(list(row)) for row in (originals.pictures[chosen], edited[chosen], *shown)]
        self._job.write(f"round_{number}.png", encode_picture(np.vstack(rows), "png"))

    def _preview(self, avatar: Avatar, originals: Originals, n_rounds: int) -> bytes:
        """The frame in the middle, a row of it: original; after the first, a middle and the last round; with the refiner's detail."""
        chosen = self._shown(len(originals.pictures))
        middle = len(chosen) // 2
        rounds = [int(k) for k in np.unique(np.linspace(1, n_rounds, min(3, n_rounds)).astype(int))]
        row = [originals.pictures[chosen[middle]], *(np.load(self._folder / f"round_{k}.npy")[middle] for k in rounds)]
        if avatar.refiner is not None:
            frame = [int(chosen[middle])]
            row += [originals.moments.render(avatar, frame, self._request.threads, refine_weight=w)[0] for w in SHEET_REFINE_WEIGHTS]
        return encode_picture(np.hstack(row), "png")

    def _shown(self, n_frames: int) -> Int[np.ndarray, " at_most"]:
        return np.unique(np.linspace(0, n_frames - 1, SHEET_FRAMES).astype(int))

    # --- files -----------------------------------------------------------------------------------------------------------

    def _round(self, number: int) -> Path:
        return self._folder / f"round_{number}.avatar"

    def _rounds_done(self) -> int:
        return max((int(path.stem.removeprefix("round_")) for path in self._folder.glob("round_*.avatar")), default=0)

    def _reporter(self, note: Callable[[dict[str, Any]], None], progress: EditProgress, index: int) -> _Reporter:
        def write(state: dict[str, Any]) -> None:
            previews = sorted((path.name for path in self._folder.glob("round_*.png")), key=lambda name: int(name[6:-4]))
            edited = self._folder / f"edited_{index + 1}.png"
            newest = edited.name if edited.is_file() else previews[-1] if previews else None
            whole = progress.whole(index + 1, state) | {"previews": previews, "preview": newest}
            self._job.note_progress(whole)
            note(whole)

        return _Reporter(write)


class _Reporter:
    """Tells one round's stages."""

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write

    def preparing(self, done: int, total: int) -> None:
        """Frames that were rendered and looked at before the first round."""
        self._write({"stage": PREPARING, "step": done, "steps": total})

    def counting(self, stage: str, total: int) -> Callable[[int], None]:
        """To be called with the number of frames that are done."""
        return lambda done: self._write({"stage": stage, "step": done, "steps": total})

    def training(self, stage: str, step: int, n_steps: int, result: StepReport) -> None:
        if step % PROGRESS_EVERY_STEPS == 0 or step == n_steps:
            self._write({"stage": stage, "step": step, "steps": n_steps, "psnr_db": round(result.psnr_db, 2)})
