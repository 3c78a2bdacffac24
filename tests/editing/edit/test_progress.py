from __future__ import annotations

from editing.edit.progress import STAGE_ENDS, EditProgress


def state(stage: str, step: int, steps: int) -> dict[str, object]:
    return {"stage": stage, "step": step, "steps": steps}


def test_share_grows_over_all_stages_to_the_whole() -> None:
    progress = EditProgress(2, lambda: 0.0)
    stages = [(1, "preparing")] + [(round_, stage) for round_ in (1, 2) for stage in STAGE_ENDS]
    shares = [progress.whole(round_, state(stage, step, 4))["share"] for round_, stage in stages for step in range(5)]
    assert shares == sorted(shares) and shares[0] == 0.0 and shares[-1] == 1.0


def test_an_unknown_stage_leaves_the_share_as_it_is() -> None:
    progress = EditProgress(1, lambda: 0.0)
    before = progress.whole(1, state("head", 1, 2))["share"]
    assert progress.whole(1, state("polishing", 5, 10))["share"] == before > 0


def test_remaining_time_follows_what_this_run_has_done() -> None:
    now_s = [100.0]
    progress = EditProgress(1, lambda: now_s[0])
    first = progress.whole(1, state("head", 0, 10))
    assert first["eta_s"] is None, "nothing to judge by"
    now_s[0] = 120.0
    later = progress.whole(1, state("torso", 0, 10))
    gained, left = later["share"] - first["share"], 1.0 - later["share"]
    assert abs(later["eta_s"] - 20.0 / gained * left) < 1.0
