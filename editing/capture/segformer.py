"""Face parsing by a SegFormer network through transformers, where it can be downloaded or lies in a folder.

The network's own label names decide what is what (`id2label`), so any face-parsing checkpoint with CelebAMask-HQ's names works; the
default is `jonathandinu/face-parsing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from editing.capture.labels import LABELS, paint_face
from renderer.errors import BackendUnavailable, BadInput

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

DEFAULT_MODEL = "jonathandinu/face-parsing"
OURS: dict[str, str] = {
    "background": "background",
    "skin": "face", "nose": "face", "eye_g": "face", "l_ear": "face", "r_ear": "face", "ear_r": "face",
    "l_eye": "eye", "r_eye": "eye", "l_brow": "brow", "r_brow": "brow",
    "mouth": "mouth", "u_lip": "lips", "l_lip": "lips",
    "hair": "hair", "hat": "hair",
    "neck": "neck", "neck_l": "neck", "cloth": "cloth",
}  # fmt: skip
"""CelebAMask-HQ's names to ours; glasses, earrings and hats move with the head."""


class SegformerParser:
    """Runs the network on whole frames."""

    def __init__(self, model: str = DEFAULT_MODEL) -> None:
        try:
            from transformers import AutoImageProcessor, SegformerForSemanticSegmentation
        except ImportError as error:
            raise BackendUnavailable("face parsing by SegFormer needs transformers: pip install visavis[editing]") from error
        try:
            self._processor: Any = AutoImageProcessor.from_pretrained(model)  # type: ignore[no-untyped-call]
            network: Any = SegformerForSemanticSegmentation.from_pretrained(model)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise BadInput(
                f"--parser-model {model}: not a SegFormer that can be loaded here ({reason}); --parser grabcut needs none"
            ) from error
        self._network = network.eval()
        names = {int(k): str(v) for k, v in network.config.id2label.items()}
        unknown = sorted(set(names.values()) - set(OURS))
        if unknown:
            raise BadInput(f"--parser-model {model}: its classes {', '.join(unknown)} are not those of face parsing (CelebAMask-HQ)")
        self._ids = np.array([LABELS[OURS[names[k]]] for k in range(len(names))], np.uint8)

    def __call__(
        self, frame: UInt8[np.ndarray, "size size 3"], landmarks: Float[np.ndarray, "478 3"], pose: Float[np.ndarray, "4 4"]
    ) -> UInt8[np.ndarray, "size size"]:
        """Ids of `labels.LABELS`; eyes, brows, lips and teeth from the landmarks, which are finer."""
        import torch
        import torch.nn.functional as functional

        with torch.no_grad():
            logits = self._network(**self._processor(images=frame, return_tensors="pt")).logits
            large = functional.interpolate(logits, size=frame.shape[:2], mode="bilinear", align_corners=False)
        labels = self._ids[large.argmax(1)[0].numpy()]
        paint_face(labels, frame, landmarks[:, :2])
        return labels
