"""The training schedule: losses, rates and sizes, RAD-NeRF's numbers where it names them ("the paper")."""

from __future__ import annotations

from dataclasses import dataclass

from renderer.errors import BadInput

ADAM_BETAS = (0.9, 0.99)
ADAM_EPSILON = 1e-15
TIGHTENINGS = (0.2, 0.5, 1.0)
"""Shares of the coarse steps; the last comes before rays may spend few samples only."""


def estimated_pose_rate(n_frames: int) -> float:
    """`pose_rate` for a clip whose poses are estimates: the longer it is, the seldomer a step meets each frame and the further it must go.

    3e-4 moved a clip of 160 frames by its pixel and degree, 1e-3 one of 600 frames in a training of few steps; more leads astray.
    """
    return min(max(3e-4, 3e-4 * n_frames / 600), 1e-3)


@dataclass(frozen=True)
class TrainConfig:
    """Defaults end in about 40 minutes on two cores; the paper trains seven hours on a V100 with 256² rays a step."""

    speech_steps: int = 2000
    """Steps in which the audio feature extractor learns the mouth's articulation before the head stage; see `speech`."""
    head_steps: int = 8000
    """Steps of the head stage (paper: 20,000)."""
    lips_steps: int = 1500
    """Steps of the lip fine-tuning (paper: 5,000)."""
    torso_steps: int = 2000
    """Steps of the torso stage (paper: 20,000)."""
    frames_per_step: int = 8
    samples_per_step: int = 49_152
    """Field samples aimed at in one step of the head; the number of rays follows."""
    max_rays_per_step: int = 8192
    torso_pixels_per_step: int = 16_384
    training_samples_per_ray: int = 64
    """Samples a ray may spend at the beginning of the head stage, while the occupancy grid is coarse; then the field's `max_samples`."""
    coarse_share: float = 0.5
    """Of the head stage's steps: those in which rays may do so."""
    network_rate: float = 2e-3
    """Initial Adam rate of networks and embeddings (paper: 5e-4, with many more steps)."""
    grid_rate: float = 1e-2
    """Initial Adam rate of the hash grids (paper: 5e-3)."""
    final_rate: float = 0.1
    """Rates decay exponentially to this share (paper)."""
    ema_decay: float = 0.95
    """Exponential moving average of the weights (paper), taken every 10 steps."""
    entropy_weight: float = 1e-3
    """Of the entropy of a pixel's opacity (paper, equation 5)."""
    dynamic_weight: float = 0.1
    """Of |x_a| outside the face (paper, equation 6)."""
    structure_weight: float = 0.01
    """lambda of the patch loss in lip fine-tuning (paper, equation 7), there LPIPS; see `losses.structural_loss`."""
    distortion_weight: float = 0.01
    """Of mip-NeRF 360's distortion loss, an addition to the paper against floaters."""
    speech_weight: float = 0.002
    """Of the articulation read from the audio code, kept up during the head and lip stages so that the code stays general."""
    speech_frames_per_step: int = 128
    appearance_decay: float = 1e-3
    """Of the squared appearance embeddings."""
    lip_share: float = 0.2
    """Rays of the head stage spent on the lips' box."""
    eye_share: float = 0.05
    """Rays of the head stage spent on the eyes."""
    surround_share: float = 0.1
    """Rays spent anywhere in the picture."""
    structure: str = "ssim"
    """What the structural loss is: ssim, or lpips (alex or vgg) where its weights were given."""
    patch_px: int = 24
    """Side of a lip patch in training pixels."""
    prune_after: int = 200
    """Step from which cells that no training ray sees are dropped from the occupancy grid."""
    pose_rate: float = 0.0
    """Initial Adam rate of the head poses in radians and head units a step, decayed with the rest; 0 keeps the dataset's. An addition
    to the paper; see `pose_refinement`."""
    pose_start_step: int = 500
    """Step of the head stage from which poses are refined (sooner in a short one): before, a field is too blurred to tell where its head
    should be."""
    pose_prior_weight: float = 0.1
    """Of the poses' mean squared update."""
    seed: int = 0
    threads: int = 2
    """Of a CPU. A resumed training equals an uninterrupted one bit for bit if both use the same number."""

    @property
    def coarse_steps(self) -> int:
        """Steps of the head stage in which a ray may spend `training_samples_per_ray`."""
        return int(self.head_steps * self.coarse_share)

    @property
    def tightening_steps(self) -> tuple[int, ...]:
        """Steps of the head stage at which the occupancy grid loses cells that no picture needs: cheaper rays, so more of them."""
        return tuple(dict.fromkeys(round(share * self.coarse_steps) for share in TIGHTENINGS if self.coarse_steps))

    @property
    def pose_steps(self) -> range:
        """Steps of the head stage in which poses are refined.

        They end with the coarse ones: where rays are cut off after a few samples, which ones those are changes with the pose in jumps
        that a gradient does not see, and poses drift (in a small trial their error grew by half again).
        """
        if self.pose_rate == 0.0:
            return range(0)
        return range(min(self.pose_start_step, self.coarse_steps // 2), self.coarse_steps)

    def __post_init__(self) -> None:
        for name in ("speech_steps", "head_steps", "lips_steps", "torso_steps"):
            if not 0 <= getattr(self, name) <= 1_000_000:
                raise BadInput(f"{name} {getattr(self, name)}: 0 to 1,000,000 are possible")
        if self.lip_share + self.eye_share + self.surround_share >= 0.9:
            raise BadInput("lip_share + eye_share + surround_share must leave at least a tenth of the rays to the head")
        if not 0.0 <= self.pose_rate <= 0.1 or self.pose_start_step < 0 or self.pose_prior_weight < 0.0:
            raise BadInput(
                f"pose_rate {self.pose_rate} (0...0.1), pose_start_step {self.pose_start_step} (from 0) "
                f"or pose_prior_weight {self.pose_prior_weight} (from 0) out of range"
            )
        if not 1 <= self.frames_per_step <= 64 or self.samples_per_step < 1024:
            raise BadInput(
                f"frames_per_step {self.frames_per_step} (1...64) or samples_per_step {self.samples_per_step} (from 1024) out of range"
            )


PRESETS: dict[str, dict[str, int | float]] = {
    "cpu": {},
    "gpu": {
        "head_steps": 20_000,
        "lips_steps": 5000,
        "torso_steps": 10_000,
        "frames_per_step": 16,
        "samples_per_step": 262_144,
        "max_rays_per_step": 65_536,
        "patch_px": 48,
    },
    "paper": {
        "speech_steps": 0,
        "head_steps": 20_000,
        "lips_steps": 5000,
        "torso_steps": 20_000,
        "frames_per_step": 1,
        "samples_per_step": 1_048_576,
        "max_rays_per_step": 65_536,
        "torso_pixels_per_step": 65_536,
        "network_rate": 5e-4,
        "grid_rate": 5e-3,
        "distortion_weight": 0.0,
        "speech_weight": 0.0,
        "appearance_decay": 0.0,
        "lip_share": 0.0,
        "eye_share": 0.0,
        "patch_px": 64,
    },
}
"""`cpu`: the defaults. `paper`: RAD-NeRF's numbers (section 4.1), with 256² rays of one frame a step; what it does not have is off.
`gpu`: four times the defaults' steps and more rays in each, for a machine with many cores or a fast device."""
FINEST_RESOLUTION = {"cpu": 512, "gpu": 1024, "paper": 2048}
"""Of the grids, in each preset."""
