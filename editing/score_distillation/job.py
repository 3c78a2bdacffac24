"""A whole edit by score distillation, step by step in a folder beside the avatar that it makes; it can be stopped anywhere and go on.

Besides what every job keeps there (`edit.job_folder`):

OUT.edit/prior.npy             pictures of the class that the pre-trained network made so far, as latents
OUT.edit/fine_tuning.state     the network that is being fine-tuned, or is: weights, Adam, step
OUT.edit/distillation.state    the appearance, Adam, step
OUT.edit/edited_1.png          keyframes, and what the fine-tuned network makes of their identifiers
OUT.edit/round_K.png           keyframes: original, and the avatar after K eighths of the distillation
OUT.preview.png                in the end: one frame, original, after each quarter; stays

Steps draw their randomness from the seed and their own number, and the states hold everything else, so a job that was stopped or killed
ends with the same bytes (on a CPU, with the same number of threads).
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from editing.edit.job_folder import JobFolder
from editing.edit.originals import Moments
from editing.edit.progress import PREPARING, EditProgress
from editing.score_distillation.appearance import Appearance
from editing.score_distillation.config import DistillationConfig
from editing.score_distillation.fine_tuning import FineTuner, prior_latents
from editing.score_distillation.identifiers import class_label, label, random_identifiers
from editing.score_distillation.keyframes import choose_keyframes
from editing.score_distillation.vt_sds import Distillation
from editing.train.engine import engine_of
from editing.train.interruption import InterruptBetweenSteps
from editing.whole_files import write_whole
from renderer import __version__
from renderer.avatar import Lineage
from renderer.avatar_file import file_sha256
from renderer.errors import BadInput
from renderer.field import training_library
from renderer.images import encode_picture, quantise
from renderer.poster import draw_poster

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from jaxtyping import Float, UInt8
    from torch import Tensor

    from editing.score_distillation.keyframes import Keyframe
    from editing.score_distillation.latent_diffusion import LatentDiffusion
    from renderer.audio.encoder import AudioEncoder
    from renderer.avatar import Avatar

METHOD = "vt-sds"
PRIOR, FINE_TUNING, DISTILLATION = "prior pictures", "fine-tuning", "distillation"
STAGE_ENDS = {PRIOR: 0.05, FINE_TUNING: 0.45, DISTILLATION: 1.0}
"""Share of the work that is done when a stage ends; a guess, for models differ."""
SAVE_EVERY_S = 120.0
PROGRESS_EVERY_STEPS = 10
LARGEST_RENDER_PX = 256
"""The paper's."""
SHEETS = 8
SHOWN = 6
"""Keyframes on a sheet."""
SHOWN_SAMPLING_STEPS = 30
SHIFT_SEED, CHOICE_SEED, SHOWN_SEED = 21, 22, 23
OCCUPANCY_FRAMES = 60
"""Of the clip, spread over it, that decide how far shapes have grown."""


@dataclass(frozen=True)
class DistillationRequest:
    """What is asked for."""

    prompt: str
    """What the avatar shall be a picture of, such as “a bronze statue of a man”."""
    class_noun: str = "person"
    config: DistillationConfig = field(default_factory=DistillationConfig)
    seed: int = 0
    threads: int = 2
    """Of a CPU."""

    def __post_init__(self) -> None:
        for name, words in (("--prompt", self.prompt), ("--class-noun", self.class_noun)):
            if not words.strip() or any(ord(letter) < 32 for letter in words):
                raise BadInput(f"{name} {words!r}: words in one line are wanted")
        if not 0 <= self.seed < 2**31:
            raise BadInput(f"--seed {self.seed}: 0 to {2**31 - 1} is possible")


class DistillationJob:
    """One edit of one avatar."""

    def __init__(
        self, source: Path, avatar: Avatar, out: Path, request: DistillationRequest, model: LatentDiffusion, encoder: AudioEncoder
    ) -> None:
        """Raises BadInput where OUT.edit was begun with another request, or the text encoder cannot read the prompt."""
        torch.set_num_threads(request.threads)
        training_library.set_threads(request.threads)
        self._source, self._avatar, self._request, self._model, self._encoder = source, avatar, request, model, encoder
        self._prompt = model.words([request.prompt])
        self._parent = file_sha256(source)
        self.folder = JobFolder(out)
        identity = {"method": METHOD, "parent": self._parent, "model": model.name, "version": __version__}
        wanted = {**identity, **dataclasses.asdict(request)}
        wanted.pop("threads")
        self.folder.begin(wanted)
        self._progress = EditProgress(1, time.monotonic, STAGE_ENDS)

    def run(self, note: Callable[[dict[str, Any]], None], watch: Callable[[int, Appearance], None] | None = None) -> str:
        """Make the avatar and remove the folder; returns the file's SHA-256. `note` gets what progress.json gets.

        `watch` is called with the number of steps done and the appearance before the first step of the distillation and after each. A
        KeyboardInterrupt or a fault leaves the folder as it is: the same request goes on from there.
        """
        request, config, model = self._request, self._request.config, self._model
        report = self._reporter(note)
        with InterruptBetweenSteps() as interrupt:
            report(PREPARING, 0, 1)
            keyframes = choose_keyframes(self._avatar, self._encoder, config.keyframes)
            render_px = config.render_px or min(LARGEST_RENDER_PX, 2 * model.size_px)
            appearance = Appearance(self._avatar, keyframes, config.appearance, render_px, engine_of(model.device), model.size_px)
            pictures = self._shown(appearance, range(len(keyframes)))
            with torch.no_grad():
                latents = torch.cat([model.encode(_tensor(picture).to(model.device)) for picture in pictures])
            labels = model.words([label(word, request.class_noun) for word in self.identifiers(len(keyframes))])
            report(PREPARING, 1, 1)
            network, labels = self._fine_tuned(latents, labels, report, interrupt)
            self._show_identifiers(network, pictures, latents, labels)
            distillation = Distillation(model, network, self._prompt, labels, config.guidance, request.seed)
            self._distil(appearance, distillation, keyframes, pictures, report, interrupt, watch)
            return self._finish(appearance, pictures)

    def identifiers(self, n: int) -> list[str]:
        """Of `n` keyframes: a word for each, or one for all."""
        words = random_identifiers(1 if self._request.config.single_token else n, self._request.seed)
        return words * n if self._request.config.single_token else words

    # --- the diffusion model ---------------------------------------------------------------------------------------------

    def _fine_tuned(
        self, latents: Float[Tensor, "n c h w"], labels: Float[Tensor, "n tokens size"], report: _Report, interrupt: InterruptBetweenSteps
    ) -> tuple[torch.nn.Module, Float[Tensor, "n tokens size"]]:
        """The fine-tuned network, held, in the pre-trained one's precision, and what it calls the keyframes."""
        request, model = self._request, self._model
        config = request.config.fine_tuning
        prior_words = model.words([class_label(request.class_noun)])
        prior = self._prior(latents, prior_words, report, interrupt) if config.prior_weight and config.steps else latents[:0]
        tuner = FineTuner(model, latents, labels, prior, prior_words, config, request.seed)
        self._load("fine_tuning.state", tuner.load_state)
        saved_s = time.monotonic()
        done = tuner.n_done
        while tuner.n_done < config.steps:
            loss = tuner.step()
            report(FINE_TUNING, tuner.n_done, config.steps, loss=round(loss, 5))
            last = tuner.n_done == config.steps
            if last or interrupt.asked or time.monotonic() - saved_s > SAVE_EVERY_S:
                # The optimiser is not needed any more once the fine-tuning is done.
                self._save("fine_tuning.state", tuner.network_state() if last else tuner.state())
                saved_s = time.monotonic()
            interrupt.check()
        if done == config.steps:
            report(FINE_TUNING, done, config.steps)
        network = tuner.network.requires_grad_(False).eval()
        return network if model.unet.dtype == torch.float32 else network.to(model.unet.dtype), tuner.labels

    def _prior(
        self, latents: Float[Tensor, "n c h w"], words: Float[Tensor, "1 tokens size"], report: _Report, interrupt: InterruptBetweenSteps
    ) -> Float[Tensor, "n_prior c h w"]:
        path, config = self.folder.path / "prior.npy", self._request.config.fine_tuning
        made = np.load(path) if path.is_file() else latents[:0].cpu().numpy()
        while len(made) < config.prior_pictures:
            more = prior_latents(self._model, words, latents, config, self._request.seed, len(made), interrupt.check)
            made = np.concatenate([made, more.cpu().numpy()])
            self.folder.save(path.name, made)
            report(PRIOR, len(made), config.prior_pictures)
            interrupt.check()
        return torch.from_numpy(made).to(latents)

    def _show_identifiers(
        self,
        network: torch.nn.Module,
        pictures: UInt8[np.ndarray, "n h w 3"],
        latents: Float[Tensor, "n c h w"],
        labels: Float[Tensor, "n tokens size"],
    ) -> None:
        """Keyframes, and below them what the network makes of their labels."""
        if (self.folder.path / "edited_1.png").is_file():
            return
        chosen, model = _spread(len(pictures)), self._model
        noise = model.noise((self._request.seed, SHOWN_SEED), 1, latents).expand(len(chosen), -1, -1, -1)
        made = model.decode(model.sample(network, noise, labels[chosen], SHOWN_SAMPLING_STEPS))
        size = pictures.shape[1:3]
        below = torch.nn.functional.interpolate(made, size, mode="bilinear", antialias=True)
        rows = [np.hstack(list(pictures[chosen])), np.hstack([quantise(p.permute(1, 2, 0).cpu().numpy()) for p in below])]
        self.folder.write("edited_1.png", encode_picture(np.vstack(rows), "png"))

    # --- the appearance --------------------------------------------------------------------------------------------------

    def _distil(
        self,
        appearance: Appearance,
        distillation: Distillation,
        keyframes: Sequence[Keyframe],
        pictures: UInt8[np.ndarray, "n h w 3"],
        report: _Report,
        interrupt: InterruptBetweenSteps,
        watch: Callable[[int, Appearance], None] | None,
    ) -> None:
        request = self._request
        n_steps = request.config.appearance.steps
        self._load("distillation.state", appearance.load_state)
        saved_s = time.monotonic()
        if watch:
            watch(appearance.n_done, appearance)
        while appearance.n_done < n_steps:
            step = appearance.n_done
            rng = np.random.default_rng((request.seed, CHOICE_SEED, step))
            keyframe, shift = int(rng.integers(len(keyframes))), rng.uniform(-0.5, 0.5, 2)
            shown = appearance.show(keyframe, (float(shift[0]), float(shift[1])))
            surrogate, score = distillation.surrogate(shown.picture, keyframe, step, n_steps)
            appearance.step(surrogate + appearance.entropy(shown))
            done = appearance.n_done
            report(DISTILLATION, done, n_steps, error=round(score.error, 4))
            if watch:
                watch(done, appearance)
            for k in (k for k in range(1, SHEETS + 1) if done == max(1, n_steps * k // SHEETS)):
                self._sheet(k, appearance, pictures)
            if interrupt.asked or time.monotonic() - saved_s > SAVE_EVERY_S:
                self._save("distillation.state", appearance.state())
                saved_s = time.monotonic()
            interrupt.check()
        self._save("distillation.state", appearance.state())

    def _sheet(self, number: int, appearance: Appearance, pictures: UInt8[np.ndarray, "n h w 3"]) -> None:
        chosen = _spread(len(pictures))
        now = self._shown(appearance, chosen)
        self.folder.save(f"round_{number}.npy", now)
        rows = [np.hstack(list(row)) for row in (pictures[chosen], now)]
        self.folder.write(f"round_{number}.png", encode_picture(np.vstack(rows), "png"))

    def _shown(self, appearance: Appearance, keyframes: Sequence[int]) -> UInt8[np.ndarray, "n h w 3"]:
        """Keyframes as they are now."""
        with torch.no_grad():
            return np.stack([quantise(appearance.show(k).picture[0].permute(1, 2, 0).cpu().numpy()) for k in keyframes])

    def _finish(self, appearance: Appearance, pictures: UInt8[np.ndarray, "n h w 3"]) -> str:
        request, avatar, name = self._request, self._avatar, self.folder.out.stem
        moments = Moments.of(avatar, self._encoder, OCCUPANCY_FRAMES)
        edited = appearance.avatar([moments.condition(k) for k in range(len(moments.indices))])
        schedule = {"method": METHOD, "class_noun": request.class_noun, **dataclasses.asdict(request.config)}
        lineage = Lineage(
            program_version=__version__,
            seed=request.seed,
            schedule=json.dumps(schedule, sort_keys=True),
            parent_sha256=self._parent,
            instruction=request.prompt,
            editor=f"{METHOD}:{self._model.name}",
        )
        edited = edited.replace(name=name, lineage=lineage)
        edited = edited.replace(poster=draw_poster(edited, self._encoder.silence_features()))
        middle = _spread(len(pictures))[SHOWN // 2 if len(pictures) >= SHOWN else 0]
        row = [pictures[middle]]
        for k in range(2, SHEETS + 1, 2):
            path = self.folder.path / f"round_{k}.npy"
            if path.is_file():
                row.append(np.load(path)[list(_spread(len(pictures))).index(middle)])
        return self.folder.finish(edited, encode_picture(np.hstack(row), "png"))

    # --- files -----------------------------------------------------------------------------------------------------------

    def _load(self, name: str, load: Callable[[dict[str, Tensor]], None]) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.folder.path / name
        if not path.is_file():
            return
        try:
            # Cloned, because the file's memory is not aligned as torch aligns its own, and products may round differently there.
            load({key: tensor.clone() for key, tensor in load_file(path).items()})
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise BadInput(f"{path} cannot be used ({error}); remove {self.folder.path} or pass --restart") from error

    def _save(self, name: str, tensors: dict[str, Tensor]) -> None:
        from safetensors.torch import save_file

        kept = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        write_whole(self.folder.path / name, lambda path: save_file(kept, path))

    def _reporter(self, note: Callable[[dict[str, Any]], None]) -> _Report:
        def report(stage: str, step: int, steps: int, **more: float) -> None:
            if stage in (FINE_TUNING, DISTILLATION) and step % PROGRESS_EVERY_STEPS and step != steps:
                return
            previews = sorted((path.name for path in self.folder.path.glob("round_*.png")), key=lambda name: int(name[6:-4]))
            edited = self.folder.path / "edited_1.png"
            newest = previews[-1] if previews else edited.name if edited.is_file() else None
            whole = self._progress.whole(1, {"stage": stage, "step": step, "steps": steps, **more})
            whole |= {"previews": previews, "preview": newest}
            self.folder.note_progress(whole)
            note(whole)

        return report


if TYPE_CHECKING:
    from typing import Protocol

    class _Report(Protocol):
        def __call__(self, stage: str, step: int, steps: int, **more: float) -> None: ...


def _spread(n: int) -> list[int]:
    """At most `SHOWN` of `n`."""
    return [int(k) for k in np.unique(np.linspace(0, n - 1, SHOWN).astype(int))]


def _tensor(picture: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 3 h w"]:
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255.0
