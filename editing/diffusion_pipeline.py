"""A pipeline of diffusers from a hub name or a folder, or one clear line why it cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from editing.foreign_errors import short_reason
from renderer.errors import BadInput


def load_pipeline(kind: str, model: str, *, asked: str, wanted: str, otherwise: str = "") -> Any:
    """The pipeline of diffusers' class `kind`, without safety checker and progress bars.

    `asked`, `wanted` and `otherwise` are parts of the line that says why not: what the user named, what would be right, and what can be
    had without a download. Raises BadInput.
    """
    try:
        import diffusers

        pipeline_class: Any = getattr(diffusers, kind)
    except ImportError as error:
        raise BadInput(f"{asked}: needs diffusers: pip install visavis[editing]") from error
    folder = Path(model).expanduser()
    is_path = model.startswith((".", "~", "/")) or "\\" in model or model.count("/") != 1
    if is_path and not folder.is_dir():
        raise BadInput(f"{asked}: no such folder; wanted is {wanted}")
    if folder.is_dir() and not (folder / "model_index.json").is_file():
        raise BadInput(f"{asked}: the folder has no model_index.json; diffusers' save_pretrained writes one")
    try:
        pipeline = pipeline_class.from_pretrained(
            str(folder) if folder.is_dir() else model,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    except Exception as error:  # diffusers, huggingface_hub and safetensors raise what they like
        line = f"{asked}: cannot be loaded ({short_reason(error)}); wanted is {wanted}"
        raise BadInput(f"{line}; {otherwise}" if otherwise else line) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
