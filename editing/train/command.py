"""`python -m editing train`: a dataset becomes an avatar."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderer.command_line import OneLineParser
from renderer.errors import BadInput

if TYPE_CHECKING:
    from editing.dataset import Dataset
    from editing.lpips import Lpips
    from editing.train.config import TrainConfig
    from editing.train.stages import StepReport
    from editing.train.trainer import Trainer
    from renderer.audio.encoder import AudioEncoder, EncoderSpec
    from renderer.field.config import FieldConfig

DESCRIPTION = "Train an avatar from a dataset (made by `synthesize` or `capture`)."


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    prog = "python -m editing train"
    p = OneLineParser(prog=prog, usage=f"{prog} DATASET --out A.avatar [options]", description=DESCRIPTION)
    p.add_argument("dataset", type=Path, help="dataset folder")
    p.add_argument("--out", type=Path, required=True, help="avatar file to write (*.avatar)")
    p.add_argument("--speech", type=Path, nargs="*", default=[], help="more datasets to learn the mouth from (their sound and tracks)")
    p.add_argument("--start-from", help="avatar (file or name) whose weights to begin with: another encoder, a longer clip")
    p.add_argument("--name", help="its name (default: the file's stem)")
    p.add_argument("--encoder", default="bundled", help="audio encoder: bundled, a hub name, a folder or an .onnx file")
    p.add_argument("--look-ahead-ms", type=float, default=160.0, help="whole audio look-ahead in ms (default 160)")
    p.add_argument("--preset", choices=("cpu", "gpu", "paper"), default="cpu", help="schedule: two cores, a fast device, RAD-NeRF's own")
    p.add_argument("--device", metavar="cpu|cuda[:N]", help="default cpu; with presets gpu and paper cuda, if there is one")
    p.add_argument("--finest-resolution", type=int, help="finest level of the grids (default 512, 1024 or 2048 by the preset)")
    p.add_argument("--speech-steps", type=int, help="steps for the audio side alone (default 2000; paper 0)")
    p.add_argument("--head-steps", type=int, help="steps of the head stage (default 8000; gpu, paper 20000)")
    p.add_argument("--lips-steps", type=int, help="steps of the lip fine-tuning (default 1500; gpu, paper 5000)")
    p.add_argument("--torso-steps", type=int, help="steps of the torso stage (default 2000; gpu 10000, paper 20000)")
    p.add_argument("--lpips-backbone", type=Path, metavar="FILE", help="torchvision's AlexNet or VGG-16 (or LPIPS_BACKBONE); else SSIM")
    p.add_argument("--lpips-linear", type=Path, metavar="FILE", help="alex.pth or vgg.pth of lpips (or LPIPS_LINEAR)")
    p.add_argument(
        "--refine-poses",
        action=argparse.BooleanOptionalAction,
        help="learn head poses too (default: where they are estimates; those of synthesize are true)",
    )
    p.add_argument(
        "--emotion",
        action=argparse.BooleanOptionalAction,
        help="learn the dataset's emotion labels (default: where it has several)",
    )
    p.add_argument("--consent", help="of the person shown: who agreed, when, to what; kept in the avatar (asked for where it is missing)")
    p.add_argument("--hold-out", default="none", metavar="none|every:N|last:N", help="frames kept from training, to evaluate on")
    p.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    p.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    p.add_argument("--restart", action="store_true", help="ignore a checkpoint of an earlier run")
    return p


def main(argv: list[str]) -> int:
    """Run the command."""
    arguments = parser().parse_args(argv)
    if arguments.out.suffix != ".avatar":
        raise BadInput(f"--out {arguments.out}: the name must end in .avatar")
    if not arguments.out.parent.is_dir():
        raise BadInput(f"--out {arguments.out}: the folder {arguments.out.parent} does not exist")
    if not 1 <= arguments.threads <= 256:
        raise BadInput(f"--threads {arguments.threads}: 1 to 256 are possible")

    from editing.dataset import Dataset
    from editing.lpips import open_lpips
    from editing.train.clip import TrainingClip, training_frames
    from editing.train.config import FINEST_RESOLUTION
    from editing.train.device import choose_device, describe_device
    from editing.train.engine import engine_of
    from editing.train.speech import SpeechLessons
    from editing.train.trainer import Trainer
    from renderer.audio.export import load_encoder
    from renderer.avatar_file import save_avatar
    from renderer.library import open_avatar
    from renderer.poster import draw_poster

    device = choose_device(arguments.device, arguments.preset)
    dataset = Dataset.open(arguments.dataset)
    subject = subject_with_consent(dataset.meta.subject, arguments.consent)
    encoder = load_encoder(arguments.encoder)
    lpips = open_lpips(arguments.lpips_backbone, arguments.lpips_linear, device)
    config = config_for(arguments, dataset, lpips)
    finest = arguments.finest_resolution or FINEST_RESOLUTION[arguments.preset]
    field_config = field_config_for(dataset, encoder.spec, arguments.look_ahead_ms, finest, learns_emotion(arguments.emotion, dataset))
    print(describe_device(device, arguments.device, arguments.preset), flush=True)
    print(f"reading {dataset.meta.n_frames} frames and their sound", flush=True)
    clip = TrainingClip(dataset, encoder, field_config, arguments.hold_out)
    checkpoint = arguments.out.with_suffix(".checkpoint")
    speech = [Dataset.open(path) for path in arguments.speech]
    frames = [clip.frames, *(training_frames(d, "none") for d in speech)]
    lessons = SpeechLessons([dataset, *speech], encoder, field_config.audio_window, frames)
    trainer = Trainer(clip, lessons, field_config, config, checkpoint, lpips, engine_of(device))
    if arguments.start_from:
        trainer.start_from(open_avatar(arguments.start_from))
    if checkpoint.exists() and not arguments.restart:
        trainer.load_checkpoint()
        print(f"going on from {checkpoint}: {trainer.stage} step {trainer.step}", flush=True)
    progress = Progress(arguments.out.with_suffix(".progress.json"))
    previews = Previews(trainer, encoder, arguments.out)
    try:

        def report(stage: str, step: int, n_steps: int, result: StepReport) -> None:
            progress(stage, step, n_steps, result)
            previews(stage, step, n_steps)

        trainer.run(report)
    except KeyboardInterrupt:
        print(f"\ninterrupted; run the same command again to go on from {checkpoint}", flush=True)
        return 130
    finally:
        progress.close()
    avatar = trainer.avatar(arguments.name or arguments.out.stem, encoder).replace(subject=subject)
    sha256 = save_avatar(avatar.replace(poster=draw_poster(avatar, encoder.silence_features())), arguments.out)
    checkpoint.unlink(missing_ok=True)
    print(f"wrote {arguments.out} (SHA-256 {sha256[:12]}…) after {trainer.seconds / 60:.1f} minutes of training")
    return 0


def subject_with_consent(subject: dict[str, str], consent: str | None) -> dict[str, str]:
    """The dataset's subject; a person's with their statement of consent, which is asked for on a terminal. Raises BadInput without one."""
    if subject.get("kind") != "person":
        if consent is not None:
            raise BadInput(f"--consent: the dataset shows no person ({subject.get('kind')}), so nobody has to agree")
        return dict(subject)
    statement = consent if consent is not None else subject.get("consent", "")
    if not statement.strip() and consent is None and sys.stdin.isatty():
        statement = input("Who is shown, and do they agree to this avatar? (kept in the avatar) ")
    if not statement.strip():
        raise BadInput(
            '--consent is needed for an avatar of a person, e.g. --consent "Ada Example agreed on 1 May 2026 to her use in calls"'
        )
    return {**subject, "consent": statement.strip()}


def config_for(arguments: argparse.Namespace, dataset: Dataset, lpips: Lpips | None = None) -> TrainConfig:
    """The schedule that the options ask for, with the dataset's own default for its poses."""
    from editing.train.config import PRESETS, TrainConfig, estimated_pose_rate
    from editing.train.pose_refinement import poses_are_estimated

    stages = ("speech_steps", "head_steps", "lips_steps", "torso_steps")
    steps = {name: getattr(arguments, name) for name in stages if getattr(arguments, name) is not None}
    refine = poses_are_estimated(dataset) if arguments.refine_poses is None else arguments.refine_poses
    pose_rate = estimated_pose_rate(dataset.meta.n_frames) if refine else 0.0
    settings: dict[str, Any] = {**PRESETS[arguments.preset], **steps}
    structure = "ssim" if lpips is None else f"lpips {lpips.name}"
    return TrainConfig(seed=arguments.seed, threads=arguments.threads, pose_rate=pose_rate, structure=structure, **settings)


def learns_emotion(asked: bool | None, dataset: Dataset) -> bool:
    """Whether the field is to take an emotion: as asked, else where the dataset's labels differ."""
    return dataset.has_emotions() if asked is None else asked


def field_config_for(
    dataset: Dataset, encoder: EncoderSpec, look_ahead_ms: float, finest_resolution: int, emotional: bool = False
) -> FieldConfig:
    """The field's shape for a dataset: its head box and regions, the encoder's features, the mean pose; with an emotion if `emotional`."""
    from renderer.emotion import EMOTION_DIM
    from renderer.field.config import AudioWindowConfig, FieldConfig, GridConfig, RegionConfig, TorsoConfig

    translation = dataset.track.camera_from_head[:, :3, 3].mean(0)
    return FieldConfig(
        feature_dim=encoder.feature_dim,
        head_centre=dataset.meta.head_box.centre,
        head_half_extent=dataset.meta.head_box.half_extent,
        audio_region=RegionConfig(dataset.meta.audio_region.centre, dataset.meta.audio_region.radii),
        eye_region=RegionConfig(dataset.meta.eye_region.centre, dataset.meta.eye_region.radii),
        audio_window=AudioWindowConfig(look_ahead_ms=look_ahead_ms, encoder_look_ahead_ms=encoder.look_ahead_ms),
        spatial_grid=GridConfig(3, finest_resolution=finest_resolution),
        audio_grid=GridConfig(2, finest_resolution=finest_resolution),
        torso=TorsoConfig(
            grid=GridConfig(2, finest_resolution=finest_resolution),
            reference_translation=(float(translation[0]), float(translation[1]), float(translation[2])),
        ),
        n_appearances=dataset.meta.n_frames,
        emotion_dim=EMOTION_DIM if emotional else 0,
    )


EVERY_S = 60.0
"""Between preview pictures, wall time."""


class Previews:
    """NAME.preview.png every `every_s` seconds and NAME.preview.mp4 at the end of each stage that has something to show."""

    def __init__(self, trainer: Trainer, encoder: AudioEncoder, out: Path) -> None:
        self._trainer, self._encoder = trainer, encoder
        self._picture, self._clip = out.with_suffix(".preview.png"), out.with_suffix(".preview.mp4")
        self._last_s = time.monotonic()
        self.every_s = EVERY_S

    def __call__(self, stage: str, step: int, n_steps: int) -> None:
        from editing.train import preview

        ended = step == n_steps
        if stage == "speech" or not (ended or time.monotonic() - self._last_s > self.every_s):
            return
        avatar = self._trainer.snapshot("preview", self._encoder)
        preview.write_pictures(self._picture, avatar, self._trainer.clip, self._trainer.config.threads)
        if ended:
            preview.write_clip(self._clip, avatar, self._trainer.clip, self._trainer.config.threads)
        self._last_s = time.monotonic()


class Progress:
    """A bar for people and a small JSON file for whoever watches the job (`stage`, `step`, `steps`, `psnr_db`, `samples_per_s`)."""

    EVERY_S = 2.0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bar: object | None = None
        self._stage = ""
        self._psnr_db, self._samples, self._since, self._written = math.nan, 0, 0.0, 0.0

    def __call__(self, stage: str, step: int, n_steps: int, report: StepReport) -> None:
        from tqdm import tqdm

        if stage != self._stage:
            self.close()
            self._stage, self._bar = stage, tqdm(total=n_steps, initial=step - 1, desc=stage, unit="step", mininterval=1.0)
            self._psnr_db, self._samples, self._since = report.psnr_db, 0, time.monotonic()
        bar = self._bar
        assert isinstance(bar, tqdm)
        self._psnr_db = 0.98 * self._psnr_db + 0.02 * report.psnr_db
        self._samples += report.n_samples
        bar.update(1)
        now = time.monotonic()
        if now - self._written > self.EVERY_S or step == n_steps:
            rate = self._samples / max(1e-6, now - self._since)
            quality = f"loss {float(report.loss):.3f}" if math.isnan(report.psnr_db) else f"PSNR {self._psnr_db:.1f} dB"
            density = report.n_samples / report.n_rays
            bar.set_postfix_str(f"{quality}, {rate / 1e3:.0f}k samples/s, {density:.1f} samples/ray", refresh=False)
            state = {"stage": stage, "step": step, "steps": n_steps, "loss": float(report.loss), "samples_per_s": round(rate)}
            temporary = self._path.with_suffix(".partial")
            temporary.write_text(json.dumps(state))
            temporary.replace(self._path)
            self._samples, self._since, self._written = 0, now, now

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()  # type: ignore[attr-defined]
            self._bar = None
        self._path.unlink(missing_ok=True)
