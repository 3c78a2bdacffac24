"""The whole training: head, lips, torso; weights' moving average; checkpoints; the avatar file at the end.

A run that was interrupted and resumed equals an uninterrupted one bit for bit on a CPU with the same number of threads: one generator
draws everything, time decides nothing but when a checkpoint is written, and no sum of the native operators depends on which thread came
first. On a GPU sums are taken in any order, so a resumed run goes on from the same state and then differs by rounding.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from editing.joints import eased, eased_poses
from editing.train.config import ADAM_BETAS, ADAM_EPSILON
from editing.train.emotion_tensors import with_emotion, without_emotion
from editing.train.engine import NativeEngine
from editing.train.interruption import InterruptBetweenSteps
from editing.train.losses import rate_at
from editing.train.occupancy import MaximumOccupancy, visual_hull
from editing.train.pose_refinement import PoseRefinement
from editing.train.speech import SpeechLessons, speech_loss
from editing.train.stages import HeadStage, StepReport, TorsoStage, torso_bounds, torso_cells
from editing.train.tight_occupancy import tight_occupancy
from renderer import __version__
from renderer.avatar import TORSO_MASK_RESOLUTION, Avatar, EncoderIdentity, Lineage
from renderer.errors import BadInput
from renderer.field import training_library
from renderer.field.parameters import parameter_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from editing.lpips import Lpips
    from editing.train.clip import TrainingClip
    from editing.train.config import TrainConfig
    from editing.train.engine import Engine
    from renderer.audio.encoder import AudioEncoder
    from renderer.field.config import FieldConfig
    from renderer.field.torch_field import TorchField

CHECKPOINT_EVERY_S = 120.0
EMA_EVERY = 10
SPEECH_EVERY = 4
"""Steps of the head and lip stages from one lesson of the audio side to the next: each is a fifth of a step's work."""
TIGHTENING_FRAMES, TIGHTENING_WEIGHT = 30, 0.02
"""Frames looked at in the middle of the head stage, and the least weight of a cell that is kept then. It need not be solid: while a field
is learned, much of what becomes skin is mist (dropping it cost 5 dB)."""
RENDERED_SAMPLES = 32
"""Samples that a ray of the finished avatar may spend. Training's 16 are enough for the views it has seen; a ray that grazes a cheek from
a side it has not uses them up in front of the hair behind, and the wall would show through. Next to no ray needs them: no time is lost."""
STAGES = ("speech", "head", "lips", "torso")
PARTS = {"head": ("head.", "audio.", "attention."), "torso": ("torso.",)}
"""Tensors that a part's stages learn, by the beginning of their names."""
READ_OUT_INITIAL = 0.05

if TYPE_CHECKING:
    Report = Callable[[str, int, int, StepReport], None]


class FurtherStages(Protocol):
    """Stages after the torso's, which another command adds to a training; they share its interruption and its checkpoint."""

    steps: Mapping[str, int]
    """Of each stage, in their order."""

    def step(self, trainer: Trainer, stage: str, index: int) -> StepReport:
        """Leaves gradients on the field's head, if the stage learns it. Whatever is random is drawn from `trainer.rng`."""
        ...

    def rate(self, stage: str, index: int) -> float | None:
        """Share of the head's initial rates in this step; None where the head is held."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """What the stages have learned besides the field."""
        ...

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """The inverse of `state`."""
        ...

    def identity(self) -> str:
        """Another one does not go on from a checkpoint."""
        ...


class Trainer:
    """Runs the stages in order; every piece of state that a resumed run needs lives here."""

    def __init__(
        self,
        clip: TrainingClip,
        lessons: SpeechLessons | None,
        field_config: FieldConfig,
        config: TrainConfig,
        checkpoint: Path,
        lpips: Lpips | None = None,
        engine: Engine | None = None,
        frozen: tuple[str, ...] = (),
        further: FurtherStages | None = None,
    ) -> None:
        """Without an `engine`, the native one. `lpips` has to lie on the engine's device. Without `lessons` there is no speech stage.

        Tensors whose names begin with one of `frozen` stay as they are.
        """
        torch.set_num_threads(config.threads)
        training_library.set_threads(config.threads)
        self.clip, self.lessons, self.config, self.checkpoint = clip, lessons, config, checkpoint
        self.engine = engine or NativeEngine()
        self.field = self.engine.field(field_config)
        self.field.initialise(torch.Generator().manual_seed(config.seed))
        self.read_out = torch.nn.Linear(field_config.audio_dim, 1 if lessons is None else lessons.n_targets)
        with torch.no_grad():
            self.read_out.weight.normal_(0.0, READ_OUT_INITIAL, generator=torch.Generator().manual_seed(config.seed))
            self.read_out.bias.zero_()
        self.read_out.to(self.engine.device)
        self.average = {name: self.field[name].detach().clone() for name in parameter_shapes(field_config)}
        self.rng = np.random.default_rng(config.seed)
        self.further = further
        self._steps = {stage: int(getattr(config, f"{stage}_steps")) for stage in STAGES} | dict(further.steps if further else {})
        self._stages = tuple(self._steps)
        self.stage, self.step = self._stages[0], 0
        captured = clip.dataset.track.camera_from_head
        clip.use_poses(captured)  # another training of this clip may have refined them
        self.frozen = frozen
        for name in self.average:
            self.field[name].requires_grad_(not name.startswith(frozen))
        self.poses = PoseRefinement(captured, config.pose_prior_weight, clip.frames)
        self.occupancy = MaximumOccupancy(visual_hull(clip, field_config), self.engine.device)
        self.head = HeadStage(self.field, clip, self.occupancy, config, self.rng, self.engine, lpips)
        self.optimisers = {part: self._optimiser(part) for part in PARTS}
        self.tables = {
            name: self.engine.grid_table(self.field[name])
            for name in self.average
            if name.endswith("grid") and self.field[name].requires_grad
        }
        self.seconds = 0.0

    def start_from(self, avatar: Avatar) -> None:
        """Begin with the weights and the occupancy of an avatar instead of random ones. Raises BadInput if the shapes differ.

        What an avatar without emotion has not learned begins at zero; of one with emotion, a field without it takes the neutral face.
        """
        avatar = with_emotion(avatar) if self.field.config.emotion_dim else without_emotion(avatar)
        shapes = parameter_shapes(self.field.config)
        for name, shape in parameter_shapes(avatar.field_config).items():
            if shapes[name] != shape and not name.endswith("appearance"):
                raise BadInput(f"avatar {avatar.name!r} cannot be the start: its tensor {name!r} is {shape}, {shapes[name]} is needed")
        with torch.no_grad():
            for name, mean in self.average.items():
                if shapes[name] == avatar.tensors[name].shape:
                    self.field[name].copy_(torch.from_numpy(avatar.tensors[name]))
                    mean.copy_(self.field[name])
        if avatar.occupancy.shape == tuple(self.occupancy.grid.shape):
            self.occupancy.grid = torch.from_numpy(avatar.occupancy).to(self.engine.device) & self.occupancy.hull
            self.occupancy.seen = self.occupancy.grid.reshape(-1).float()

    def _optimiser(self, part: str) -> torch.optim.Adam:
        """Adam of a part's networks and embeddings; its grids have their own, lazy one."""
        names = [n for n in parameter_shapes(self.field.config) if n.startswith(PARTS[part]) and not n.endswith("grid")]
        names = [n for n in names if self.field[n].requires_grad]
        parameters = [self.field[n] for n in names]
        if part == "head":
            parameters += [self.read_out.weight, self.read_out.bias]
        return torch.optim.Adam(parameters, betas=ADAM_BETAS, eps=ADAM_EPSILON)

    def run(self, report: Report) -> None:
        """All remaining steps. A KeyboardInterrupt leaves a checkpoint behind and is raised again.

        One that comes in the middle of a step is kept until its end; where that cannot be, the checkpoint of before stays.
        """
        torso = TorsoStage(self.field, self.clip, self.config, self.rng)
        stages, steps = self._stages, self._steps
        last_saved = time.monotonic()
        within_step = False
        with InterruptBetweenSteps() as interrupt:
            try:
                for stage in stages[stages.index(self.stage) :]:
                    while self.step < steps[stage]:
                        began, within_step = time.monotonic(), True
                        result = self._step(stage, steps[stage], torso)
                        within_step = False
                        self.seconds += time.monotonic() - began
                        report(stage, self.step, steps[stage], result)
                        interrupt.check()
                        if time.monotonic() - last_saved > CHECKPOINT_EVERY_S:
                            self.save_checkpoint()
                            last_saved = time.monotonic()
                    if stage != stages[-1]:
                        self.stage, self.step = stages[stages.index(stage) + 1], 0
            except KeyboardInterrupt:
                if not within_step:
                    self.save_checkpoint()
                raise
        self.save_checkpoint()

    def _step(self, stage: str, n_steps: int, torso: TorsoStage) -> StepReport:
        part = "torso" if stage == "torso" else "head"
        if stage == "speech":
            result = self._speech_step(1.0)
        elif stage == "torso":
            result = torso.step(self.step)
        elif self.further is not None and stage in self.further.steps:
            result = self.further.step(self, stage, self.step)
            rate = self.further.rate(stage, self.step)
            if rate is None:
                self.step += 1
                return result
            self._move(part, rate)
            return self._counted(part, result)
        else:
            if stage == "head" and self.step in self.config.tightening_steps:
                self._tighten()
            if self.lessons is not None and self.config.speech_weight > 0 and self.step % SPEECH_EVERY == 0:
                self._speech_step(self.config.speech_weight * SPEECH_EVERY)
            # Lip patches alone would let the rest of the head drift, so every other step is an ordinary one.
            lips = stage == "lips" and self.step % 2 == 0
            pose_steps = self.config.pose_steps if stage == "head" else range(0)
            refine = self.step in pose_steps
            result = self.head.step(self.step, lips, self.poses if refine else None)
            if refine:
                done = pose_steps.index(self.step)
                self.poses.step(rate_at(done, len(pose_steps), self.config.pose_rate, self.config.final_rate))
                if done == len(pose_steps) - 1:
                    self._settle_poses()
        self._optimise(part, stage, n_steps)
        return self._counted(part, result)

    def _counted(self, part: str, result: StepReport) -> StepReport:
        self.step += 1
        if self.step % EMA_EVERY == 0:
            self._average(PARTS[part])
        return result

    def _settle_poses(self) -> None:
        """The refinement is done: from now on everything uses its poses, the torso, the occupancy and the avatar's track among it."""
        self.clip.use_poses(self.poses.settled().numpy())

    def _speech_step(self, weight: float) -> StepReport:
        assert self.lessons is not None
        n = self.config.speech_frames_per_step
        windows, targets = self.lessons.batch(n, self.rng)
        loss = speech_loss(self.field, self.read_out, windows.to(self.engine.device), targets.to(self.engine.device))
        (weight * loss).backward()
        return StepReport(loss.detach(), float("nan"), n, n)

    def _optimise(self, part: str, stage: str, n_steps: int) -> None:
        share = self.config.final_rate if stage == "lips" else rate_at(self.step, n_steps, 1.0, self.config.final_rate)
        self._move(part, share, grids=stage != "speech")

    def _move(self, part: str, share: float, grids: bool = True) -> None:
        optimiser = self.optimisers[part]
        for group in optimiser.param_groups:
            group["lr"] = self.config.network_rate * share
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        for name, table in self.tables.items():
            if name.startswith(PARTS[part]) and grids:
                table.adam_step(self.config.grid_rate * share, ADAM_BETAS, ADAM_EPSILON)

    @torch.no_grad()
    def _average(self, prefixes: tuple[str, ...]) -> None:
        # A short run's average must not remember its random start.
        decay = min(self.config.ema_decay, (1 + self.step / EMA_EVERY) / (10 + self.step / EMA_EVERY))
        for name, mean in self.average.items():
            if name.startswith(prefixes):
                mean.lerp_(self.field[name], 1.0 - decay)

    # --- checkpoints -------------------------------------------------------------------------------------------------------

    def save_checkpoint(self) -> None:
        """Everything needed to go on, as safetensors (no pickle), through a temporary file. Any engine can take it up."""
        from safetensors.torch import save_file

        tensors: dict[str, torch.Tensor] = {}
        for name in self.average:
            tensors[f"field/{name}"] = self.field[name].detach()
            tensors[f"average/{name}"] = self.average[name]
        for part, optimiser in self.optimisers.items():
            for i, parameter in enumerate(p for group in optimiser.param_groups for p in group["params"]):
                for key, value in optimiser.state.get(parameter, {}).items():
                    tensors[f"adam/{part}/{i}/{key}"] = value
        for name, table in self.tables.items():
            tensors[f"table/{name}/first"], tensors[f"table/{name}/second"] = table.first_moment, table.second_moment
        for name, value in self.poses.state_dict().items():
            tensors[f"poses/{name}"] = value
        if self.further is not None:
            tensors |= {f"further/{name}": value.detach() for name, value in self.further.state().items()}
        tensors["read_out/weight"], tensors["read_out/bias"] = self.read_out.weight.detach(), self.read_out.bias.detach()
        tensors["occupancy/hull"] = self.occupancy.hull
        tensors["occupancy/grid"] = self.occupancy.grid
        tensors["occupancy/seen"] = self.occupancy.seen
        state = {
            "stage": self.stage,
            "step": self.step,
            "seconds": self.seconds,
            "samples_per_ray": self.head.samples_per_ray,
            "table_steps": {name: table.n_steps for name, table in self.tables.items()},
            "rng": self.rng.bit_generator.state,
            "identity": self._identity(),
        }
        temporary = self.checkpoint.with_name(f".{self.checkpoint.name}.{os.getpid()}.partial")
        save_file({name: tensor.cpu() for name, tensor in tensors.items()}, temporary, metadata={"state": json.dumps(state)})
        temporary.replace(self.checkpoint)

    def load_checkpoint(self) -> None:
        """Go on from `checkpoint`. Raises BadInput if it belongs to another dataset or configuration."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.checkpoint, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
                if state["identity"] != self._identity():
                    raise BadInput(
                        f"{self.checkpoint} was made with another dataset or configuration; delete it or pass --restart to begin anew"
                    )
                # Cloned, because the file's memory is not aligned as torch aligns its own, and products may round differently there.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError) as error:
            raise BadInput(f"{self.checkpoint} is not a usable checkpoint ({error}); delete it or pass --restart") from error
        with torch.no_grad():
            for name, mean in self.average.items():
                self.field[name].copy_(tensors[f"field/{name}"])
                mean.copy_(tensors[f"average/{name}"])
            self.read_out.weight.copy_(tensors["read_out/weight"])
            self.read_out.bias.copy_(tensors["read_out/bias"])
        for part, optimiser in self.optimisers.items():
            for i, parameter in enumerate(p for group in optimiser.param_groups for p in group["params"]):
                prefix = f"adam/{part}/{i}/"
                saved = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
                if saved:
                    # Adam counts its steps on the CPU, wherever the parameter lies.
                    optimiser.state[parameter] = {n: t if n == "step" else t.to(parameter.device) for n, t in saved.items()}
        for name, table in self.tables.items():
            first, second = tensors[f"table/{name}/first"], tensors[f"table/{name}/second"]
            table.load_state_dict({"first": first, "second": second, "n_steps": state["table_steps"][name], "average": None})
        self.poses.load_state_dict({n.removeprefix("poses/"): t for n, t in tensors.items() if n.startswith("poses/")})
        if self.further is not None:
            self.further.load_state({n.removeprefix("further/"): t for n, t in tensors.items() if n.startswith("further/")})
        self.occupancy.hull = tensors["occupancy/hull"].to(self.engine.device)
        self.occupancy.grid = tensors["occupancy/grid"].to(self.engine.device)
        self.occupancy.seen = tensors["occupancy/seen"].to(self.engine.device)
        self.stage, self.step, self.seconds = state["stage"], state["step"], state["seconds"]
        self.rng.bit_generator.state = state["rng"]
        self.head.samples_per_ray = state["samples_per_ray"]
        steps = self.config.pose_steps
        if steps and (self._stages.index(self.stage), self.step) >= (self._stages.index("head"), steps.stop):
            self._settle_poses()

    def _identity(self) -> str:
        config = dataclasses.asdict(self.config)
        config.pop("threads")
        identity = [self.clip.identity, self.field.config.to_json(), config, list(self.frozen)]
        return json.dumps(identity + ([self.further.identity()] if self.further else []), sort_keys=True)

    # --- result ------------------------------------------------------------------------------------------------------------

    def avatar(self, name: str, encoder: AudioEncoder) -> Avatar:
        """The trained avatar, from the weights' moving average."""
        self.occupancy.prune()
        rng = np.random.default_rng(self.config.seed)
        tight = tight_occupancy(self._averaged(), self.clip, self.engine, self.occupancy.cells(), rng)
        return self._avatar(name, encoder, tight)

    def _averaged(self) -> TorchField:
        averaged = self.engine.field(self.field.config)
        with torch.no_grad():
            for tensor, mean in self.average.items():
                averaged[tensor].copy_(mean)
        return averaged

    def _tighten(self) -> None:
        """Before rays may spend few samples only, leave them only cells that matter: in thick hair the others would use them up."""
        rng = np.random.default_rng(self.config.seed)
        grid = self.occupancy.cells()
        tight = tight_occupancy(self._averaged(), self.clip, self.engine, grid, rng, TIGHTENING_FRAMES, TIGHTENING_WEIGHT, ())
        self.occupancy.tighten(tight)

    def snapshot(self, name: str, encoder: AudioEncoder) -> Avatar:
        """The avatar as it is in the middle of a training, which goes on as if nobody had looked."""
        return self._avatar(name, encoder, self.occupancy.cells().copy())

    def _avatar(self, name: str, encoder: AudioEncoder, occupancy: np.ndarray) -> Avatar:
        dataset, config = self.clip.dataset, self.config
        schedule: dict[str, Any] = {s: getattr(config, f"{s}_steps") for s in STAGES}
        schedule["dataset"] = self.clip.fingerprint
        return Avatar(
            name=name,
            field_config=dataclasses.replace(self.field.config, max_samples=max(RENDERED_SAMPLES, self.field.config.max_samples)),
            tensors={n: t.cpu().numpy().copy() for n, t in self.average.items()},
            occupancy=occupancy,
            torso_mask=torso_cells(torso_bounds(self.clip), TORSO_MASK_RESOLUTION),
            background=np.asarray(dataset.background).copy(),
            camera=dataset.meta.camera,
            fps=dataset.meta.fps,
            pose_track=eased_poses(np.asarray(self.clip.poses, np.float32), dataset.meta.joints),
            eye_track=eased(np.asarray(dataset.track.eye_ratio, np.float32), dataset.meta.joints),
            audio_track=np.asarray(self.clip.features.steps, np.float32),
            encoder=EncoderIdentity(encoder.spec.id, encoder.spec.feature_dim, encoder.spec.sha256, encoder.spec.look_ahead_ms),
            subject=dict(dataset.meta.subject),
            lineage=Lineage(program_version=__version__, seed=config.seed, schedule=json.dumps(schedule, sort_keys=True)),
        )
