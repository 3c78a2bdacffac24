from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from editing.edit.command import main
from editing.score_distillation.command import class_noun_of, config_of, parser, prompt_of
from editing.score_distillation.config import DistillationConfig
from renderer.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

USUAL = ["--method", "vt-sds", "--prompt", "bronze statue of a man", "--out", "x.avatar", "--model", "nowhere/at/all"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--model nowhere/at/all: no such folder"),
        (["--method", "magic"], "--method magic: instruct or vt-sds is possible"),
        (["--out", "x.wrong"], "must end in .avatar"),
        (["--out", "nowhere/x.avatar"], "does not exist"),
        (["--prompt", " "], "--prompt ' '"),
        (["--instruction", "make him old"], "--prompt and --instruction"),
        (["--preset", "endless"], "--preset endless"),
        (["--steps", "0"], "--steps 0"),
        (["--fine-tuning-rate", "7"], "--fine-tuning-rate 7"),
        (["--views", "0", "3"], "--views 0 3"),
        (["--most-time", "0.5", "0.9"], "--most-time 0.5 0.9"),
        (["--least-time", "0.6"], "--least-time 0.6, --most-time 0.98 0.5"),
        (["--last-rate", "0"], "--last-rate 0: above 0"),
        (["--draws", "0"], "--draws 0: 1 to 256"),
        (["--way", "back"], "--way back: encoder or decoder"),
        (["--personal-above", "1001"], "--personal-above 1001"),
        (["--ablation", "everything"], "--ablation everything"),
        (["--render-size", "8"], "--render-size 8"),
        (["--device", "tpu"], "--device tpu"),
        (["--seed", "-1"], "--seed -1"),
    ],
)
def test_vt_sds_answers_bad_input_with_one_line(arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=named) as caught:
        main(["bundled", *USUAL, *arguments])
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_vt_sds_names_what_is_missing() -> None:
    with pytest.raises(BadInput, match="--model is missing"):
        main(["bundled", "--method", "vt-sds", "--prompt", "statue", "--out", "x.avatar"])
    with pytest.raises(BadInput, match="--prompt is missing"):
        main(["bundled", "--method", "vt-sds", "--model", "a/b", "--out", "x.avatar"])


def test_a_prompt_is_derived_from_an_instruction() -> None:
    assert prompt_of(None, "make him a bronze statue") == "A bronze statue of a man"
    assert prompt_of("Photo of a panda", None) == "Photo of a panda"
    with pytest.raises(BadInput, match="no prompt can be derived"):
        prompt_of(None, "something else entirely, please")
    assert [class_noun_of(p) for p in ("A statue of a man", "photo of a woman", "photo of a panda")] == ["man", "woman", "person"]


def test_options_reach_the_configuration_and_the_paper_preset_is_the_papers() -> None:
    config = config_of(parser().parse_args(["a", "--preset", "paper"]))
    assert config == DistillationConfig(), "the defaults are the paper's"
    options = ["--views", "3", "2", "--time-stamps", "4", "--steps", "7", "--fine-tuning-steps", "5", "--guidance", "3", "--hold-geometry"]
    config = config_of(parser().parse_args(["a", *options, "--ablation", "no-annealing", "single-token"]))
    assert (config.keyframes.yaws, config.keyframes.pitches, config.keyframes.time_stamps) == (3, 2, 4)
    assert (config.appearance.steps, config.fine_tuning.steps, config.guidance.guidance) == (7, 5, 3.0)
    assert not config.appearance.geometry and config.single_token and config.guidance.most_time == (0.98, 0.98)
