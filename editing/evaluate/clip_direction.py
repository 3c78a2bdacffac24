"""CLIP direction: does the picture change the way the captions do?

    ΔI = E_I(edited) − E_I(original),  ΔT = E_T(after) − E_T(before),  direction = ΔI · ΔT / (|ΔI| |ΔT|)

(Gal et al. 2022, StyleGAN-NADA, whose loss is 1 − direction; Instruct-NeuralTalker reports the similarity.) E are CLIP's embeddings at unit
length. Consistency, of Instruct-NeRF2NeRF (Haque et al. 2023), needs no captions: the cosine of ΔI of two successive frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from editing.foreign_errors import short_reason
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Float32, UInt8

    from editing.evaluate.captions import Captions

EXAMPLE = "openai/clip-vit-base-patch32"
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_SCALE = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's, of colours 0…1."""
BATCH_FRAMES = 8


class Clip:
    """A CLIP model of transformers."""

    def __init__(self, model: str) -> None:
        """From a hub name or a folder; BadInput where it cannot be had or is no CLIP."""
        self.name = model
        self._model, self._tokenizer = _load(model)
        self._size_px = int(self._model.config.vision_config.image_size)

    def pictures(self, pictures: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float32[np.ndarray, "n dim"]:
        """Their embeddings, of unit length."""
        import torch

        found = []
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH_FRAMES):
                batch = torch.cat([self._prepared(picture) for picture in pictures[start : start + BATCH_FRAMES]])
                # The projections are called by themselves: what get_image_features returns depends on transformers' version.
                seen = self._model.vision_model(pixel_values=batch).pooler_output
                found.append(torch.nn.functional.normalize(self._model.visual_projection(seen), dim=-1).numpy())
        return np.concatenate(found)

    def texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "n dim"]:
        """Their embeddings, of unit length."""
        import torch

        longest = int(self._model.config.text_config.max_position_embeddings)
        words = self._tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            read = self._model.text_model(input_ids=words["input_ids"], attention_mask=words["attention_mask"]).pooler_output
            return np.asarray(torch.nn.functional.normalize(self._model.text_projection(read), dim=-1).numpy())

    def _prepared(self, picture: UInt8[np.ndarray, "h w 3"]) -> Any:
        """As CLIP's own preparation: the shorter side to the network's size (bicubic), the middle square."""
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255.0
        height, width = picture.shape[:2]
        scale = self._size_px / min(height, width)
        size = (max(self._size_px, round(height * scale)), max(self._size_px, round(width * scale)))
        pixels = torch.nn.functional.interpolate(pixels, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0.0, 1.0)
        top, left = (size[0] - self._size_px) // 2, (size[1] - self._size_px) // 2
        pixels = pixels[..., top : top + self._size_px, left : left + self._size_px]
        return (pixels - torch.tensor(PIXEL_MEAN)[:, None, None]) / torch.tensor(PIXEL_SCALE)[:, None, None]


def text_direction(clip: Clip, captions: Captions) -> Float32[np.ndarray, " dim"]:
    """ΔT. BadInput for captions that CLIP takes for the same."""
    before, after = clip.texts([captions.before, captions.after])
    if float(np.linalg.norm(after - before)) < 1e-6:
        raise BadInput(f"captions {captions.before!r} and {captions.after!r}: CLIP sees no difference; two different ones are wanted")
    return np.asarray(after - before)


def direction_similarity(
    original: Float[np.ndarray, "n dim"], edited: Float[np.ndarray, "n dim"], text: Float[np.ndarray, " dim"]
) -> float | None:
    """Mean over the frames; a frame that the edit leaves as it is points nowhere and counts 0. None where no frame was changed."""
    change = edited - original
    lengths = np.linalg.norm(change, axis=1)
    if not (lengths > 1e-9).any():
        return None
    cosines = change @ text / (np.maximum(lengths, 1e-9) * np.linalg.norm(text))
    return float(cosines.mean())


def direction_consistency(changes: Float[np.ndarray, "n dim"], next_changes: Float[np.ndarray, "n dim"]) -> float | None:
    """Mean cosine of the changes ΔI of frames and of the frames after them. None where nothing was changed."""
    lengths = np.linalg.norm(changes, axis=1) * np.linalg.norm(next_changes, axis=1)
    known = lengths > 1e-12
    return float(((changes * next_changes).sum(1)[known] / lengths[known]).mean()) if known.any() else None


def _load(model: str) -> tuple[Any, Any]:
    try:
        from transformers import AutoTokenizer, CLIPModel
    except ImportError as error:
        raise BadInput("CLIP needs transformers: pip install visavis[editing]") from error
    folder = Path(model).expanduser()
    is_path = model.startswith((".", "~", "/")) or "\\" in model or model.count("/") != 1
    wanted = f"a CLIP model in a folder, or a hub name such as {EXAMPLE}, was expected"
    if is_path and not folder.is_dir():
        raise BadInput(f"--clip {model}: no such folder; {wanted}")
    source = str(folder) if folder.is_dir() else model
    load: Any = CLIPModel.from_pretrained
    try:
        network, report = load(source, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(source)
    except Exception as error:  # transformers, huggingface_hub and safetensors raise what they like
        raise BadInput(f"--clip {model}: cannot be loaded ({short_reason(error)}); {wanted}") from error
    # A foreign model is loaded with random numbers for what it lacks.
    lacking = sorted(name for name in report["missing_keys"] if not name.endswith("position_ids"))
    if lacking:
        raise BadInput(f"--clip {model}: lacks {lacking[0]} and {len(lacking) - 1} more tensors of a CLIP model; {wanted}")
    return network.eval().requires_grad_(False), tokenizer
