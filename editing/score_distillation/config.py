"""Numbers of an edit by score distillation; defaults are AvatarStudio's ("the paper", section 4.1) where it names them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from renderer.errors import BadInput

ABLATIONS = ("single-token", "no-time-stamps", "no-pre-trained", "no-annealing")
"""The paper's section 4.6: one identifier for all keyframes as in DreamBooth (figure 13); views at the first frame alone (figures 14 and
15); v and K of equation 10 set to 0 (figure 16); the maximum time step held (figure 17)."""
ENCODER, DECODER = WAYS = ("encoder", "decoder")
"""The paper's, and the other; see `vt_sds`."""
NOMINAL_TIME_STEPS = 1000
"""Of Stable Diffusion's schedule, which the paper's K counts in."""


@dataclass(frozen=True)
class KeyframeConfig:
    """Which pictures of the avatar the diffusion model learns (section 3.2.2)."""

    yaws: int = 8
    """Views across the range of yaw in which the field is defined, and..."""
    pitches: int = 3
    """...across that of pitch; yaws × pitches are the paper's 24 cameras."""
    time_stamps: int = 6
    """Further frames, as they are in the clip, that differ most from the mean of the condition codes."""

    def __post_init__(self) -> None:
        if not 1 <= self.yaws <= 64 or not 1 <= self.pitches <= 64:
            raise BadInput(f"--views {self.yaws} {self.pitches}: 1 to 64 of each are possible")
        if not 0 <= self.time_stamps <= 200:
            raise BadInput(f"--time-stamps {self.time_stamps}: 0 to 200 are possible")


@dataclass(frozen=True)
class FineTuningConfig:
    """View-and-time-specific fine-tuning (section 3.2.1)."""

    steps: int = 28_000
    batch: int = 3
    """Keyframes a step, all with the same noise."""
    rate: float = 5e-5
    """Of Adam."""
    token_rate: float = 1e-3
    """Of Adam, for the labels' embeddings (see `fine_tuning`; the paper names none)."""
    weight_limit: float = 1.0
    """Of w_t in equation 6 (see `fine_tuning`); 1: all time steps count the same."""
    prior_pictures: int = 100
    """Pictures of the class that the pre-trained model makes for the prior preservation loss; 0: without that loss. The paper names no
    number; DreamBooth takes about 100 times the subject's pictures a few at a time."""
    prior_weight: float = 1.0
    """lambda of DreamBooth's prior preservation loss."""
    prior_steps: int = 50
    """Of DDIM, for the pictures of the class."""
    prior_guidance: float = 7.5

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= 1_000_000:
            raise BadInput(f"--fine-tuning-steps {self.steps}: 0 to 1,000,000 are possible")
        if not 1 <= self.batch <= 64:
            raise BadInput(f"--fine-tuning-batch {self.batch}: 1 to 64 is possible")
        if not 0.0 < self.rate <= 0.1:
            raise BadInput(f"--fine-tuning-rate {self.rate:g}: above 0, to 0.1, is possible")
        if not 1.0 <= self.weight_limit <= 1000.0:
            raise BadInput(f"--weight-limit {self.weight_limit:g}: 1 to 1000 is possible")
        if not 0.0 <= self.token_rate <= 1.0:
            raise BadInput(f"--token-rate {self.token_rate:g}: 0 to 1 is possible")
        if not 0 <= self.prior_pictures <= 10_000:
            raise BadInput(f"--prior-pictures {self.prior_pictures}: 0 to 10,000 are possible")
        if not 1 <= self.prior_steps <= NOMINAL_TIME_STEPS:
            raise BadInput(f"prior steps {self.prior_steps}: 1 to {NOMINAL_TIME_STEPS} are possible")


@dataclass(frozen=True)
class GuidanceConfig:
    """View-and-time-aware score distillation (section 3.3)."""

    guidance: float = 10.0
    """w of equation 10."""
    pretrained_share: float = 0.6
    """v of equation 10 where t > K; it is 1 where t <= K."""
    personal_above: int = 600
    """K, of 1000 time steps: above it the fine-tuned model says what the keyframe holds."""
    least_time: float = 0.02
    """Share of the schedule from which t is drawn (Poole et al. 2022). A small model, which tells styles apart only in much noise,
    wants more."""
    most_time: tuple[float, float] = (0.98, 0.5)
    """Its other end at the first step and at the last; in between it falls evenly (Lin et al. 2022, Magic3D)."""
    draws: int = 1
    """Noises and time steps for each render, whose mean is the score; the paper's is one."""
    way: str = ENCODER
    """By which the score goes from the latent to the render, one of `WAYS`; see `vt_sds`."""

    def __post_init__(self) -> None:
        if not 0.0 < self.guidance <= 200.0:
            raise BadInput(f"--guidance {self.guidance:g}: above 0, to 200, is possible")
        if not 0.0 <= self.pretrained_share <= 1.0:
            raise BadInput(f"--pretrained-share {self.pretrained_share:g}: 0 to 1 is possible")
        if not 0 <= self.personal_above <= NOMINAL_TIME_STEPS:
            raise BadInput(f"--personal-above {self.personal_above}: 0 to {NOMINAL_TIME_STEPS} is possible")
        first, last = self.most_time
        if not 0.0 <= self.least_time < last <= first <= 1.0:
            raise BadInput(
                f"--least-time {self.least_time:g}, --most-time {first:g} {last:g}: wanted are three shares of the schedule, the first "
                "below the others, the last at most the second"
            )
        if not 1 <= self.draws <= 256:
            raise BadInput(f"--draws {self.draws}: 1 to 256 are possible")
        if self.way not in WAYS:
            raise BadInput(f"--way {self.way}: {' or '.join(WAYS)} is possible")


@dataclass(frozen=True)
class AppearanceConfig:
    """What of the avatar is optimised, and how fast."""

    steps: int = 10_000
    network_rate: float = 1e-3
    """Of Adam."""
    grid_rate: float = 1e-3
    finest_cells: int | None = None
    """Levels of the grids with more cells along the head's box, or the picture, are held. None: as many as the diffusion model has pixels:
    finer ones it cannot see, and Adam, whose steps are as long for small gradients as for large ones, would fill them with noise."""
    last_rate: float = 1.0
    """Share of both rates that is left at the last step; they fall evenly in their logarithm. The paper names none."""
    entropy_weight: float = 0.01
    """Of equation 9, as a mean over rays, beside a score that is a mean over latents. The paper names no number."""
    geometry: bool = True
    """Whether density moves too. Otherwise only the layers that follow it do, and every shape stays exactly as it was."""
    torso: bool = True
    """Whether the shoulders' colours move; their deformation does not."""
    growth_cells: int = 0
    """Occupancy cells by which shapes may grow beyond the avatar's, where geometry moves. What the field holds beyond its cells was never
    seen: one cell more costs a few crumbs at the hair's edge (about 44 dB) before anything is learned."""

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1_000_000:
            raise BadInput(f"--steps {self.steps}: 1 to 1,000,000 are possible")
        for name, rate in (("--network-rate", self.network_rate), ("--grid-rate", self.grid_rate)):
            if not 0.0 < rate <= 0.1:
                raise BadInput(f"{name} {rate:g}: above 0, to 0.1, is possible")
        if self.finest_cells is not None and not 1 <= self.finest_cells <= 1 << 14:
            raise BadInput(f"--finest-cells {self.finest_cells}: 1 to {1 << 14} are possible")
        if not 0.0 < self.last_rate <= 1.0:
            raise BadInput(f"--last-rate {self.last_rate:g}: above 0, to 1, is possible")
        if not 0.0 <= self.entropy_weight <= 10.0:
            raise BadInput(f"--entropy-weight {self.entropy_weight:g}: 0 to 10 is possible")
        if not 0 <= self.growth_cells <= 8:
            raise BadInput(f"--growth {self.growth_cells}: 0 to 8 cells are possible")


@dataclass(frozen=True)
class DistillationConfig:
    """A whole edit."""

    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig)
    fine_tuning: FineTuningConfig = field(default_factory=FineTuningConfig)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    single_token: bool = False
    """One identifier for all keyframes, as in DreamBooth: an ablation."""
    render_px: int | None = None
    """Height of the rendered picture. None: 256 as in the paper, or twice the diffusion model's if that is less."""
    model_px: int | None = None
    """Height or width, whichever is smaller, to which a render is brought for the diffusion model. None: what it was made for (Stable
    Diffusion: 512)."""

    def __post_init__(self) -> None:
        for name, size in (("--render-size", self.render_px), ("--model-size", self.model_px)):
            if size is not None and not 16 <= size <= 2048:
                raise BadInput(f"{name} {size}: 16 to 2048 pixels are possible")

    def without(self, ablation: str) -> DistillationConfig:
        """With one of `ABLATIONS`. Raises BadInput for a name that is not known."""
        if ablation == "single-token":
            return dataclasses.replace(self, single_token=True)
        if ablation == "no-time-stamps":
            return dataclasses.replace(self, keyframes=dataclasses.replace(self.keyframes, time_stamps=0))
        if ablation == "no-pre-trained":
            return dataclasses.replace(self, guidance=dataclasses.replace(self.guidance, pretrained_share=0.0, personal_above=0))
        if ablation == "no-annealing":
            held = (self.guidance.most_time[0], self.guidance.most_time[0])
            return dataclasses.replace(self, guidance=dataclasses.replace(self.guidance, most_time=held))
        raise BadInput(f"--ablation {ablation}: one of {', '.join(ABLATIONS)} is possible")


@dataclass(frozen=True)
class DistillationSteps:
    """Of one preset."""

    fine_tuning: int
    appearance: int
    prior_pictures: int


STEPS: dict[str, DistillationSteps] = {
    "draft": DistillationSteps(400, 400, 12),
    "standard": DistillationSteps(2000, 2000, 50),
    "thorough": DistillationSteps(8000, 5000, 100),
    "paper": DistillationSteps(28_000, 10_000, 100),
}
"""By the names of `edit.presets`. `paper`: about an hour on an A100 for the appearance alone, as the paper says; the others are shorter."""


def steps_named(preset: str) -> DistillationSteps:
    """Raises BadInput for a name that is not known."""
    if preset not in STEPS:
        raise BadInput(f"--preset {preset}: one of {', '.join(STEPS)} is possible")
    return STEPS[preset]
