"""How far an edit is, for whoever watches: `OUT.edit/progress.json`, replaced as a whole at each change.

Keys: `round`, `rounds` (from 1), `stage`, `step`, `steps` of the stage, `share` of the whole edit (0...1, never falling), `eta_s` (None
until there is something to judge by), `previews` (names of pictures in the folder, oldest first), `preview` (the newest, or None).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREPARING = "preparing"
PREPARING_SHARE = 0.08
"""Of the whole edit, at the default schedule on two cores."""
STAGE_ENDS = {"rendering": 0.04, "editing": 0.12, "head": 0.54, "torso": 0.66, "patches": 0.86, "lip patches": 1.0}
"""Share of a round that is done when a stage ends, as found in short edits; an unknown stage leaves the share as it is."""
LEAST_SHARE_FOR_ETA = 0.05


class EditProgress:
    """Adds share and remaining time to what the stages report."""

    def __init__(self, rounds: int, now_s: Callable[[], float], stage_ends: Mapping[str, float] = STAGE_ENDS) -> None:
        """`now_s` is a clock that does not run backwards; `stage_ends` are the stages of a round after `preparing`, in their order."""
        self._rounds, self._now_s, self._stage_ends = rounds, now_s, stage_ends
        self._share = 0.0
        self._first: tuple[float, float] | None = None
        """Time and share at the first report of this run: one that was stopped goes on from there."""

    def whole(self, round_: int, state: dict[str, Any]) -> dict[str, Any]:
        """`state` has `stage`, `step` and `steps`; `round_` counts from 1."""
        self._share = max(self._share, self._share_of(round_, state))
        now_s = self._now_s()
        self._first = self._first or (now_s, self._share)
        gained = self._share - self._first[1]
        eta_s = (now_s - self._first[0]) / gained * (1.0 - self._share) if gained > LEAST_SHARE_FOR_ETA else None
        return {
            "round": round_,
            "rounds": self._rounds,
            **state,
            "share": round(self._share, 4),
            "eta_s": None if eta_s is None else round(eta_s, 1),
        }

    def _share_of(self, round_: int, state: dict[str, Any]) -> float:
        done = min(1.0, state["step"] / max(1, state["steps"]))
        if state["stage"] == PREPARING:
            return PREPARING_SHARE * done
        if state["stage"] not in self._stage_ends:
            return 0.0
        ends = list(self._stage_ends.values())
        place = list(self._stage_ends).index(state["stage"])
        begin = ends[place - 1] if place else 0.0
        in_round = begin + (ends[place] - begin) * done
        return PREPARING_SHARE + (1.0 - PREPARING_SHARE) * (round_ - 1 + in_round) / self._rounds
