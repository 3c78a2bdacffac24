"""An audio encoder that costs nothing: two classes, "silence" and "sound", by the level of each step. Written as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from renderer.audio.encoder import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, EncoderSpec

FEATURE_DIM = 40
WINDOW_SAMPLES = 1680
LOOK_AHEAD_MS = 72.5
GAIN = -400.0
"""Log-probability of silence for each unit of a step's mean square: -10 from an amplitude of 0.16 on."""


def write_tiny_encoder(path: Path, gain: float = GAIN) -> None:
    """Class 0 is silence, all others are sound; `gain` makes encoders with different hashes."""
    spec = EncoderSpec(id=str(path), feature_dim=FEATURE_DIM, window_samples=WINDOW_SAMPLES, look_ahead_ms=LOOK_AHEAD_MS, sha256="")
    constants = {
        "gain": np.array(gain, np.float32),
        "floor": np.array(-10.0, np.float32),
        "zero": np.array(0.0, np.float32),
        "sound_shape": np.array([1, 1, FEATURE_DIM - 1], np.int64),
        "starts": np.array([40], np.int64),
        "ends": np.array([680], np.int64),
        "axis": np.array([1], np.int64),
        "steps": np.array([0, 2, 320], np.int64),
        "last": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Slice", [INPUT_NAME, "starts", "ends", "axis"], ["hop"]),
        helper.make_node("Reshape", ["hop", "steps"], ["by_step"]),
        helper.make_node("Mul", ["by_step", "by_step"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["power"], axes=[2], keepdims=1),
        helper.make_node("Mul", ["power", "gain"], ["silence_raw"]),
        helper.make_node("Clip", ["silence_raw", "floor", "zero"], ["silence"]),
        helper.make_node("Sub", ["floor", "silence"], ["sound_one"]),
        helper.make_node("Tile", ["sound_one", "sound_shape"], ["sound"]),
        helper.make_node("Concat", ["silence", "sound"], [OUTPUT_NAME], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["n", WINDOW_SAMPLES])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["n", 2, FEATURE_DIM])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: spec.metadata()})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
