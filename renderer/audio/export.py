"""Any wav2vec 2.0 with a connectionist head as an encoder in ONNX form.

`load_encoder` takes "bundled", an exported `.onnx` file, a folder with a transformers `Wav2Vec2ForCTC`, or its name on
the Hugging Face hub. The last two are exported once into the user's cache ($XDG_CACHE_HOME/visavis/encoders) and run
from there afterwards, without torch. The graph holds everything: the model's own normalisation of a window, the network,
the choice of the hop's steps and the clipped logarithm of the softmax.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.audio.encoder import (
    BUNDLED,
    INPUT_NAME,
    LOG_PROBABILITY_FLOOR,
    METADATA_KEY,
    OUTPUT_NAME,
    AudioEncoder,
    EncoderSpec,
)
from renderer.audio.framing import (
    HOP_STEPS,
    RECEPTIVE_SAMPLES,
    STEP_SAMPLES,
    look_ahead_of_steps,
    window_of_steps,
)
from renderer.errors import BackendUnavailable, BadInput
from renderer.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from torch import Tensor

DEFAULT_WINDOW_STEPS = 50
DEFAULT_FUTURE_STEPS = 3
ONNX_OPSET = 17
UNIT_VARIANCE_EPSILON = 1e-7  # of transformers' Wav2Vec2FeatureExtractor
_HASH_BLOCK_BYTES = 1 << 20
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
# Weights of fewer elements keep float32: norms and biases, which are a hundredth of the size.
_MIN_PACKED_ELEMENTS = 4096


def load_encoder(name: str) -> AudioEncoder:
    """The encoder called `name`: "bundled", a hub name, a folder, or an exported .onnx file."""
    if name == BUNDLED:
        return AudioEncoder.bundled()
    path = Path(name)
    if path.suffix == ".onnx":
        return AudioEncoder.from_onnx(path)
    if not name or not (path.is_dir() or _HUB_NAME.fullmatch(name)):
        raise BadInput(f'encoder {name!r}: "bundled", an .onnx file, a folder or a hub name such as org/name is possible')
    cached = cache_folder() / f"{_cache_key(name)}.onnx"
    if not cached.exists():
        export_wav2vec2(name, cached)
    return AudioEncoder.from_onnx(cached)


def cache_folder() -> Path:
    """Where exported encoders are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "visavis" / "encoders"


def _cache_key(name: str) -> str:
    digest = hashlib.sha256(f"{name} {DEFAULT_WINDOW_STEPS} {DEFAULT_FUTURE_STEPS}".encode())
    folder = Path(name)
    if folder.is_dir():  # a folder may be trained on: its content decides
        for path in sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".bin")):
            digest.update(path.name.encode())
            with path.open("rb") as content:
                while block := content.read(_HASH_BLOCK_BYTES):
                    digest.update(block)
    return digest.hexdigest()[:32]


def export_wav2vec2(name: str, out: Path, window_steps: int = DEFAULT_WINDOW_STEPS, future_steps: int = DEFAULT_FUTURE_STEPS) -> Path:
    """Export a transformers `Wav2Vec2ForCTC`, by folder or hub name, with its own normalisation."""
    try:
        import torch
        from transformers import AutoConfig, AutoFeatureExtractor, Wav2Vec2ForCTC
    except ImportError as error:
        raise BackendUnavailable(f"encoder {name!r} needs torch and transformers once: pip install visavis[editing]") from error
    try:
        config = AutoConfig.from_pretrained(name)
        if config.model_type != "wav2vec2":
            raise BadInput(f"encoder {name!r} is a {config.model_type!r} model; a wav2vec2 model for CTC is needed")
        network: Any = Wav2Vec2ForCTC.from_pretrained(name, dtype=torch.float32)
        extractor_class: Any = AutoFeatureExtractor
        extractor = extractor_class.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"encoder {name!r} cannot be loaded: {reason}") from error
    if extractor.sampling_rate != SAMPLE_RATE_HZ:
        raise BadInput(f"encoder {name!r} hears {extractor.sampling_rate} Hz; {SAMPLE_RATE_HZ} Hz is needed")
    normalise = _unit_variance if extractor.do_normalize else _unchanged
    write_onnx(network, normalise, name, _labels(name, network), out, window_steps, future_steps)
    return out


def _unit_variance(windows: Float[Tensor, "n n_samples"]) -> Float[Tensor, "n n_samples"]:
    centred = windows - windows.mean(1, keepdim=True)
    return centred * (centred.square().mean(1, keepdim=True) + UNIT_VARIANCE_EPSILON).rsqrt()


def _unchanged(windows: Float[Tensor, "n n_samples"]) -> Float[Tensor, "n n_samples"]:
    return windows


def _labels(name: str, network: Any) -> tuple[str, ...]:
    """Names of the classes, where the model's folder or cached hub files hold a vocabulary."""
    from transformers import AutoTokenizer

    try:
        vocabulary = AutoTokenizer.from_pretrained(name).get_vocab()
    except (OSError, ValueError, TypeError, KeyError):  # models are published without one
        return ()
    names = {index: token for token, index in vocabulary.items()}
    size = int(network.config.vocab_size)
    return tuple(names.get(index, f"<{index}>") for index in range(size))


def write_onnx(
    network: Any,
    normalise: Callable[[Float[Tensor, "n n_samples"]], Float[Tensor, "n n_samples"]],
    encoder_id: str,
    labels: tuple[str, ...],
    out: Path,
    window_steps: int,
    future_steps: int,
    packed: bool = False,
) -> EncoderSpec:
    """Write a `Wav2Vec2ForCTC` as an encoder file.

    `packed` multiplies matrices in integers (dynamic quantisation, the activations' scale taken from each window by
    itself) and keeps convolutions as float16, unpacked when the file is loaded: smaller and quicker.
    """
    try:
        import onnx
        import torch
    except ImportError as error:
        raise BackendUnavailable("exporting an encoder needs torch and onnx: pip install visavis[editing]") from error
    config = network.config
    receptive, stride = 1, 1
    for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
        receptive += (kernel - 1) * stride
        stride *= step
    if (receptive, stride) != (RECEPTIVE_SAMPLES, STEP_SAMPLES):
        raise BadInput(
            f"encoder {encoder_id!r} sees {receptive} samples every {stride}; {RECEPTIVE_SAMPLES} every {STEP_SAMPLES} is needed"
        )
    spec = EncoderSpec(
        id=encoder_id,
        feature_dim=int(config.vocab_size),
        window_samples=window_of_steps(window_steps),
        look_ahead_ms=look_ahead_of_steps(future_steps) * 1000 / SAMPLE_RATE_HZ,
        sha256="",
        labels=labels,
    )

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, windows: Tensor) -> Tensor:
            logits = self.network(normalise(windows)).logits
            last = window_steps - future_steps
            features = torch.log_softmax(logits[:, last - HOP_STEPS : last], -1)
            return features.clamp(LOG_PROBABILITY_FLOOR, 0.0)

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        unfinished = Path(scratch) / out.name
        with torch.no_grad(), warnings.catch_warnings():
            # The tracer warns of every shape that it takes for constant; windows have one shape.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Graph().eval(),
                (torch.zeros(2, spec.window_samples),),
                str(unfinished),
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                dynamic_axes={INPUT_NAME: {0: "n"}, OUTPUT_NAME: {0: "n"}},
                opset_version=ONNX_OPSET,
                dynamo=False,
            )
        model = _pack(unfinished) if packed else onnx.load(str(unfinished))
        onnx.helper.set_model_props(model, {METADATA_KEY: spec.metadata()})
        onnx.save(model, str(unfinished))
        written = AudioEncoder.from_onnx(unfinished).spec  # what cannot be loaded is not kept
        unfinished.rename(out)
    return written


def _pack(path: Path) -> Any:
    """The model of `path` with matrices as 7-bit integers and every other large weight as float16."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantised = path.with_suffix(".quantised.onnx")
    # Seven bits: with eight, processors without a dot-product instruction for bytes saturate and give other features.
    quantize_dynamic(str(path), str(quantised), ["MatMul"], weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
    model = onnx.load(str(quantised))
    graph = model.graph
    restoring = []
    for weight in list(graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= _MIN_PACKED_ELEMENTS:
            graph.initializer.remove(weight)
            graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), f"{weight.name}.half"))
            restoring.append(helper.make_node("Cast", [f"{weight.name}.half"], [weight.name], to=TensorProto.FLOAT))
    for position, node in enumerate(restoring):
        graph.node.insert(position, node)
    return model
