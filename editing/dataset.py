"""A talking-head dataset on disk: what `synthesize` and `capture` write, and `train` and `evaluate` read.

A folder; while it is being written it is called NAME.partial.

meta.json        DatasetMeta
audio.wav        16 kHz mono PCM16, exactly n_frames / fps long; frame k shows the audio from k / fps s on
frames.npy       uint8 [n, H, W, 3] RGB
labels.npy       uint8 [n, H, W], ids of meta.labels
background.npy   uint8 [H, W, 3] clean plate
track.npz        Track
transcript.json  visemes, emotions, sentences with phone times
preview.mp4      for people

Camera: OpenCV (x right, y down, z forward), pixel centres at +0.5. Head frame: x image-right, y up, z out of the face.
"""

from __future__ import annotations

import hashlib
import json
import sys
import wave
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.emotion import Emotion, emotion_code
from renderer.errors import BadInput
from renderer.types import FPS, SAMPLE_RATE_HZ, Camera

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int, Int16, UInt8

FORMAT = 1
SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FPS
_PCM16_SCALE = 32767.0


@dataclass(frozen=True)
class HeadBox:
    """A cube in the head frame that holds the whole head, hair included, in every pose."""

    centre: tuple[float, float, float]
    """head frame"""
    half_extent: float
    """half the cube's edge"""


@dataclass(frozen=True)
class Region:
    """An ellipsoid in the head frame."""

    centre: tuple[float, float, float]
    """head frame"""
    radii: tuple[float, float, float]
    """along x, y, z"""


@dataclass(frozen=True)
class DatasetMeta:
    """What meta.json says."""

    fps: int
    """pictures a second: 25"""
    n_frames: int
    """number of pictures"""
    camera: Camera
    """intrinsics in pixels, and the picture's size"""
    subject: dict[str, str]
    """{"kind": "synthetic", "name": …} or {"kind": "person", "consent": …}"""
    seed: int
    """of the take"""
    voices: tuple[str, ...]
    """who speaks"""
    head_box: HeadBox
    """where the field lives"""
    audio_region: Region
    """outside of it speech moves nothing"""
    eye_region: Region
    """holds both eyes, lids and all that moves with a blink"""
    labels: dict[str, int]
    """label name to id"""
    landmark_names: tuple[str, ...]
    """order of the landmarks"""
    generator: str
    """program and version"""
    joints: tuple[int, ...] = ()
    """first pictures of the clips after the first, where it was put together from several: there head and face jump"""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.camera.width, self.camera.height


@dataclass(frozen=True)
class Track:
    """Per-picture truth or estimates."""

    camera_from_head: Float32[np.ndarray, "n 4 4"]
    """pose: x_camera = pose @ x_head"""
    landmarks: Float32[np.ndarray, "n n_landmarks 2"]
    """pixels"""
    eye_ratio: Float32[np.ndarray, " n"]
    """0 closed … 1 as open as the clip's 98th percentile"""
    lip_opening: Float32[np.ndarray, " n"]
    """gap between the inner lips over the mouth's width at rest"""
    viseme: Int16[np.ndarray, " n"]
    """index into the transcript's visemes"""
    emotion: Int16[np.ndarray, " n"]
    """index into the transcript's emotions"""
    emotion_intensity: Float32[np.ndarray, " n"]
    """0 … 1"""
    usable: Bool[np.ndarray, " n"] | None = None
    """frames that may be trained on and measured; None: all. The others only keep the sound going"""
    articulation: Float32[np.ndarray, "n n_parameters"] | None = None
    """the presenter's parameters; synthetic takes only"""
    articulation_names: tuple[str, ...] = ()
    """their names"""


@dataclass(frozen=True)
class Dataset:
    """An opened dataset; pictures and labels are memory-mapped and read-only."""

    path: Path
    """its folder"""
    meta: DatasetMeta
    """meta.json"""
    frames: UInt8[np.ndarray, "n height width 3"]
    """RGB"""
    labels: UInt8[np.ndarray, "n height width"]
    """ids of meta.labels"""
    background: UInt8[np.ndarray, "height width 3"]
    """clean plate"""
    track: Track
    """per-picture truth"""
    transcript: dict[str, Any]
    """transcript.json"""

    @staticmethod
    def open(path: Path | str) -> Dataset:
        """Open and check a dataset folder; BadInput names what is wrong with it."""
        path = Path(path)
        if not path.is_dir():
            partial = path.with_name(path.name + ".partial")
            hint = f"; {partial} is unfinished, run its command again" if partial.is_dir() else ""
            raise BadInput(f"{path} is not a dataset folder{hint}")
        meta = _meta_from_json(path / "meta.json", _read_json(path / "meta.json"))
        width, height = meta.size
        n = meta.n_frames
        dataset = Dataset(
            path,
            meta,
            _open_array(path / "frames.npy", (n, height, width, 3)),
            _open_array(path / "labels.npy", (n, height, width)),
            _open_array(path / "background.npy", (height, width, 3)),
            _open_track(path / "track.npz", n, len(meta.landmark_names)),
            _read_json(path / "transcript.json"),
        )
        _check_audio(path / "audio.wav", n)
        return dataset

    def audio(self) -> Float32[np.ndarray, " n_samples"]:
        """The sound, float32 in -1…1 at 16 kHz."""
        with wave.open(str(self.path / "audio.wav"), "rb") as file:
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return np.asarray(pcm.astype(np.float32) / _PCM16_SCALE)

    def usable(self) -> Bool[np.ndarray, " n"]:
        """Frames that may be trained on and measured."""
        return np.ones(self.meta.n_frames, bool) if self.track.usable is None else self.track.usable

    def label_index(self) -> Int[np.ndarray, " n"]:
        """Number of each frame's emotion label: frames of one number have the same emotion with the same intensity."""
        labels = np.stack([self.track.emotion, self.track.emotion_intensity], 1)
        return np.asarray(np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1))

    def has_emotions(self) -> bool:
        """Whether the frames that can be used show more than one emotion label."""
        return len(np.unique(self.label_index()[self.usable()])) > 1

    def emotion(self, frame: int) -> Emotion:
        """What this frame is labelled with. Raises BadInput for an emotion that an avatar does not know."""
        names = self.transcript.get("emotions", [])
        index = int(self.track.emotion[frame])
        if not 0 <= index < len(names):
            raise BadInput(f"{self.path}: frame {frame} has emotion {index}; its transcript names {len(names)}")
        try:
            return Emotion(str(names[index]), float(self.track.emotion_intensity[frame]))
        except BadInput as error:
            raise BadInput(f"{self.path}: frame {frame}: {error}") from error

    def emotion_codes(self) -> Float32[np.ndarray, "n 8"]:
        """Every frame's emotion as the field takes it (`renderer.emotion`). Raises BadInput as `emotion` does."""
        firsts, number = np.unique(self.label_index(), return_index=True)[1], self.label_index()
        return np.stack([emotion_code(self.emotion(int(frame))) for frame in firsts])[number]

    def fingerprint(self) -> str:
        """SHA-256 of what describes it: its meta data, track and sound."""
        digest = hashlib.sha256()
        for name in ("meta.json", "track.npz", "audio.wav"):
            digest.update((self.path / name).read_bytes())
        return digest.hexdigest()


def held_out_frames(spec: str, n_frames: int) -> Int[np.ndarray, " n"]:
    """Indices of the frames kept from training: `none`, `every:N` (every N-th), `last:N`. Raises BadInput for anything else."""
    kind, _, text = spec.partition(":")
    if spec == "none":
        return np.zeros(0, np.int64)
    if kind not in ("every", "last") or not text.isdecimal() or int(text) < 1:
        raise BadInput(f"--hold-out {spec}: none, every:N or last:N is possible")
    count = int(text)
    if kind == "every":
        return np.arange(count - 1, n_frames, count)
    if count >= n_frames:
        raise BadInput(f"--hold-out {spec}: the dataset has {n_frames} frames")
    return np.arange(n_frames - count, n_frames)


# ---- reading -------------------------------------------------------------------------------------------------------
def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path} cannot be read; a dataset holds one") from error
    except ValueError as error:
        raise BadInput(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInput(f"{path} holds a {type(value).__name__}, wanted a JSON object")
    return value


def _meta_from_json(path: Path, value: dict[str, Any]) -> DatasetMeta:
    found = value.get("format")
    if found != FORMAT:
        raise BadInput(f"{path}: format is {found!r}, this program reads {FORMAT}")
    try:
        meta = DatasetMeta(
            fps=int(value["fps"]),
            n_frames=int(value["n_frames"]),
            camera=Camera(**value["camera"]),
            subject={str(k): str(v) for k, v in value["subject"].items()},
            seed=int(value["seed"]),
            voices=tuple(value["voices"]),
            head_box=HeadBox(_triple(value["head_box"]["centre"]), float(value["head_box"]["half_extent"])),
            audio_region=_region(value["audio_region"]),
            eye_region=_region(value["eye_region"]),
            labels={str(k): int(v) for k, v in value["labels"].items()},
            landmark_names=tuple(value["landmark_names"]),
            generator=str(value["generator"]),
            joints=tuple(int(frame) for frame in value.get("joints", ())),
        )
    except KeyError as error:
        raise BadInput(f"{path} lacks the key {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{path} has a value of the wrong kind: {error}") from error
    if meta.fps != FPS:
        raise BadInput(f"{path}: {meta.fps} frames a second, this program works at {FPS}")
    if meta.n_frames < 1:
        raise BadInput(f"{path}: {meta.n_frames} frames, wanted at least 1")
    return meta


def _triple(value: Any) -> tuple[float, float, float]:
    x, y, z = (float(part) for part in value)
    return x, y, z


def _region(value: dict[str, Any]) -> Region:
    return Region(_triple(value["centre"]), _triple(value["radii"]))


def _open_array(path: Path, shape: tuple[int, ...]) -> UInt8[np.ndarray, ...]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as an array: {error}") from error
    if array.dtype != np.uint8 or array.shape != shape:
        raise BadInput(f"{path} is {array.dtype} {array.shape}, wanted uint8 {shape}")
    return np.asanyarray(array)


def _open_track(path: Path, n: int, n_landmarks: int) -> Track:
    wanted: dict[str, tuple[type, tuple[int, ...]]] = {
        "camera_from_head": (np.float32, (n, 4, 4)),
        "landmarks": (np.float32, (n, n_landmarks, 2)),
        "eye_ratio": (np.float32, (n,)),
        "lip_opening": (np.float32, (n,)),
        "viseme": (np.int16, (n,)),
        "emotion": (np.int16, (n,)),
        "emotion_intensity": (np.float32, (n,)),
    }
    values: dict[str, Any] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for name, (dtype, shape) in wanted.items():
                if name not in file:
                    raise BadInput(f"{path} lacks the array {name!r}")
                array = file[name]
                if array.dtype != dtype or array.shape != shape:
                    raise BadInput(f"{path}: {name} is {array.dtype} {array.shape}, wanted {np.dtype(dtype).name} {shape}")
                values[name] = array
            if "usable" in file:
                usable = file["usable"]
                if usable.dtype != np.bool_ or usable.shape != (n,) or not usable.any():
                    raise BadInput(f"{path}: usable must be bool {(n,)} with at least one frame")
                values["usable"] = usable
            if "articulation" in file:
                values["articulation"] = file["articulation"]
                values["articulation_names"] = tuple(str(name) for name in file["articulation_names"])
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as arrays: {error}") from error
    return Track(**values)


def _check_audio(path: Path, n_frames: int) -> None:
    try:
        with wave.open(str(path), "rb") as file:
            found = (file.getframerate(), file.getnchannels(), file.getsampwidth(), file.getnframes())
    except (OSError, wave.Error, EOFError) as error:
        raise BadInput(f"{path} cannot be read as a WAV file: {error}") from error
    wanted = (SAMPLE_RATE_HZ, 1, 2, n_frames * SAMPLES_PER_FRAME)
    if found != wanted:
        raise BadInput(f"{path} has (rate, channels, bytes, samples) {found}, wanted {wanted}")


# ---- writing -------------------------------------------------------------------------------------------------------
def write_meta(folder: Path, meta: DatasetMeta) -> None:
    """Write meta.json."""
    value = {"format": FORMAT, "size": list(meta.size), **asdict(meta)}
    (folder / "meta.json").write_text(json.dumps(value, indent=1), encoding="utf-8")


def write_audio(path: Path, samples: Float32[np.ndarray, " n_samples"]) -> None:
    """Write float32 samples in -1…1 as 16 kHz mono PCM16."""
    pcm = np.round(np.clip(samples, -1.0, 1.0) * _PCM16_SCALE).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(pcm.tobytes())


def write_track(folder: Path, track: Track) -> None:
    """Write track.npz."""
    arrays = {field.name: getattr(track, field.name) for field in fields(Track)}
    if track.usable is None:
        del arrays["usable"]
    if track.articulation is None:
        del arrays["articulation"], arrays["articulation_names"]
    else:
        arrays["articulation_names"] = np.array(track.articulation_names)
    np.savez(folder / "track.npz", **arrays)


def write_transcript(folder: Path, transcript: dict[str, Any]) -> None:
    """Write transcript.json."""
    (folder / "transcript.json").write_text(json.dumps(transcript, indent=1), encoding="utf-8")


def write_preview(path: Path, frames: UInt8[np.ndarray, "n height width 3"], wav: Path) -> None:
    """Encode pictures and sound as H.264 + AAC, for people."""
    import av
    from tqdm import tqdm

    with av.open(str(path), "w", format="mp4") as container, av.open(str(wav)) as sound:
        video = container.add_stream("libx264", rate=FPS)
        video.height, video.width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2
        video.pix_fmt = "yuv420p"
        video.options = {"crf": "18", "preset": "superfast"}
        audio = container.add_stream("aac", rate=SAMPLE_RATE_HZ)
        audio.layout = "mono"
        for picture in tqdm(frames, unit="frame", desc="preview", disable=not sys.stderr.isatty(), leave=False):
            even = np.ascontiguousarray(picture[: video.height, : video.width])
            container.mux(video.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(video.encode(None))
        for chunk in sound.decode(audio=0):
            container.mux(audio.encode(chunk))
        container.mux(audio.encode(None))
