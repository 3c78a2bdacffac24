"""How much work an edit is, by name: rounds, frames and steps. Needs nothing but Python, so that a page can list them."""

from __future__ import annotations

from dataclasses import dataclass

from renderer.errors import BadInput


@dataclass(frozen=True)
class EditPreset:
    """All rounds together; what is given on the command line wins."""

    rounds: int
    """K."""
    frames: int
    """N."""
    head_steps: int = 0
    torso_steps: int = 0
    patch_steps: int = 0
    lips_steps: int = 0
    patch_epochs: int = 0
    """In place of `patch_steps`: as many of the frames."""
    lips_epochs: int = 0
    as_paper: bool = False
    """Field and refiner learn together, from patches alone, at the paper's sizes and rates (`optimise.Learning`)."""

    def patch_steps_for(self, n_frames: int) -> int:
        return self.patch_steps + self.patch_epochs * n_frames

    def lips_steps_for(self, n_frames: int) -> int:
        return self.lips_steps + self.lips_epochs * n_frames


PRESETS: dict[str, EditPreset] = {
    "draft": EditPreset(rounds=1, frames=40, head_steps=500, torso_steps=250, patch_steps=150, lips_steps=120),
    "standard": EditPreset(rounds=3, frames=200, head_steps=2400, torso_steps=900, patch_steps=600, lips_steps=600),
    "thorough": EditPreset(rounds=5, frames=300, head_steps=6000, torso_steps=2400, patch_steps=1500, lips_steps=1500),
    "paper": EditPreset(rounds=3, frames=200, torso_steps=20_000, patch_epochs=300, lips_epochs=100, as_paper=True),
}
"""`draft` is a first look, `standard` ends in minutes on two cores. `paper`: Instruct-NeuralTalker, "Implementation Details"; the torso's
steps are RAD-NeRF's; hours on a GPU, days on a CPU."""


def preset_named(name: str) -> EditPreset:
    """Raises BadInput for a name that is not known."""
    if name not in PRESETS:
        raise BadInput(f"--preset {name}: one of {', '.join(PRESETS)} is possible")
    return PRESETS[name]
