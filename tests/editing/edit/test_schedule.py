from __future__ import annotations

from typing import Any

import pytest

from editing.edit.schedule import EditSchedule
from renderer.errors import BadInput


def test_progressive_rounds_follow_equation_3() -> None:
    plan = EditSchedule(rounds=3).plan(200)
    assert [(r.text_guidance, r.steps) for r in plan] == [(3.0, 10), (4.5, 15), (6.0, 20)]
    assert all(r.frames == tuple(range(200)) and not r.original_condition for r in plan)
    assert [r.steps for r in EditSchedule(rounds=4).plan(8)] == [10, 13, 16, 20], "rounded down"
    assert [(r.text_guidance, r.steps) for r in EditSchedule(rounds=1).plan(8)] == [(6.0, 20)]


def test_one_time_update_is_one_round_at_full_guidance() -> None:
    (only,) = EditSchedule("one-time").plan(5)
    assert (only.text_guidance, only.steps, only.original_condition, only.share) == (6.0, 20, False, 1.0)


def test_iterative_update_edits_a_few_frames_at_a_time_beside_their_originals() -> None:
    plan = EditSchedule("iterative").plan(25)
    assert len(plan) == 20 and all(r.original_condition for r in plan)
    first_pass = [k for r in plan[:10] for k in r.frames]
    assert first_pass == list(range(25)) == [k for r in plan[10:] for k in r.frames]
    assert sum(r.share for r in plan) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"strategy": "slowly"}, "--strategy slowly"),
        ({"rounds": 0}, "--rounds 0"),
        ({"frames": 1}, "--frames 1"),
        ({"text_guidance": (6.0, 3.0)}, "--text-guidance 6 3"),
        ({"diffusion_steps": (0, 20)}, "--diffusion-steps 0 20"),
    ],
)
def test_schedule_names_what_is_wrong(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        EditSchedule(**wrong)
