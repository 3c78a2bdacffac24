"""A camera without a kernel module: a PipeWire node of the class Video/Source, by the system's own libpipewire.

The library is called directly (its C interface is stable since 0.3): every PipeWire system has it, so nothing is to be installed. The node
drives the graph: a picture is sent when `show` is called and at no other time. Formats and buffers are negotiated in SPA pods, little
binary trees (length, type, body, padded to 8 bytes).

Pictures are I420, rows without padding. Programs find the node in the list of cameras of the desktop's portal (browsers) or of PipeWire.
"""

from __future__ import annotations

import ctypes
import struct
import time
from typing import TYPE_CHECKING, Any

from renderer.types import FPS
from server.frame_ring import i420_bytes
from server.virtual_camera.device import DeviceUnavailable

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

LIBRARY = "libpipewire-0.3.so.0"
CONNECT_TIMEOUT_S = 3.0
LOOK_PERIOD_S = 0.01

# From spa/utils/type.h, spa/param/*.h and pipewire/stream.h.
_TYPE_ID, _TYPE_INT, _TYPE_RECTANGLE, _TYPE_FRACTION, _TYPE_OBJECT, _TYPE_CHOICE = 3, 4, 10, 11, 15, 19
_OBJECT_FORMAT, _OBJECT_BUFFERS, _OBJECT_META = 0x40003, 0x40004, 0x40005
_PARAM_ENUM_FORMAT, _PARAM_FORMAT, _PARAM_BUFFERS, _PARAM_META = 3, 4, 5, 6
_CHOICE_RANGE, _CHOICE_FLAGS = 1, 4
_MEDIA_VIDEO, _SUBTYPE_RAW, _VIDEO_I420 = 2, 1, 2
_DATA_MEMORY = (1 << 1) | (1 << 2)
"""Plain memory or a shared file; nothing of a graphics card."""
_META_HEADER, _META_HEADER_BYTES = 1, 32
_DIRECTION_OUTPUT, _ANY_ID = 1, 0xFFFFFFFF
_FLAG_MAP_BUFFERS, _FLAG_DRIVER = 1 << 2, 1 << 3
_STATE_ERROR, _STATE_PAUSED, _STATE_STREAMING = -1, 2, 3


class _Chunk(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint32), ("size", ctypes.c_uint32), ("stride", ctypes.c_int32), ("flags", ctypes.c_int32))


class _Data(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("fd", ctypes.c_int64),
        ("mapoffset", ctypes.c_uint32),
        ("maxsize", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
        ("chunk", ctypes.POINTER(_Chunk)),
    )


class _Meta(ctypes.Structure):
    _fields_ = (("type", ctypes.c_uint32), ("size", ctypes.c_uint32), ("data", ctypes.c_void_p))


class _Header(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
        ("pts", ctypes.c_int64),
        ("dts_offset", ctypes.c_int64),
        ("seq", ctypes.c_uint64),
    )


class _SpaBuffer(ctypes.Structure):
    _fields_ = (
        ("n_metas", ctypes.c_uint32),
        ("n_datas", ctypes.c_uint32),
        ("metas", ctypes.POINTER(_Meta)),
        ("datas", ctypes.POINTER(_Data)),
    )


class _Buffer(ctypes.Structure):
    _fields_ = (("buffer", ctypes.POINTER(_SpaBuffer)), ("user_data", ctypes.c_void_p), ("size", ctypes.c_uint64))


_StateChanged = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_char_p)
_ParamChanged = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
_Process = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Events(ctypes.Structure):
    """`struct pw_stream_events`; those that are left null are not called."""

    _fields_ = (
        ("version", ctypes.c_uint32),
        ("destroy", ctypes.c_void_p),
        ("state_changed", _StateChanged),
        ("control_info", ctypes.c_void_p),
        ("io_changed", ctypes.c_void_p),
        ("param_changed", _ParamChanged),
        ("add_buffer", ctypes.c_void_p),
        ("remove_buffer", ctypes.c_void_p),
        ("process", _Process),
        ("drained", ctypes.c_void_p),
    )


class PipeWireCamera:
    """A `CameraDevice`. Use it from one thread."""

    def __init__(self, name: str, width: int, height: int) -> None:
        """`name` is what programs list; even sides, px. Raises DeviceUnavailable."""
        self._width, self._height = width, height
        self._planes: bytes | None = None
        self._state, self._error = 0, ""
        self._sequence = 0
        self.name = name
        self._pipewire = pipewire = load_pipewire()
        # Kept here, or they would be freed while the library still calls them.
        self._events = _Events(
            version=0,
            state_changed=_StateChanged(self._on_state),
            param_changed=_ParamChanged(self._on_param),
            process=_Process(self._on_process),
        )
        self._loop = pipewire.pw_thread_loop_new(b"visavis-camera", None)
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        properties = (
            '{ media.class = "Video/Source" media.role = "Camera" media.type = "Video" media.category = "Capture" '
            f'node.name = "{quoted}" node.description = "{quoted}" node.nick = "{quoted}" }}'
        )
        self._stream = pipewire.pw_stream_new_simple(
            pipewire.pw_thread_loop_get_loop(self._loop),
            name.encode(),
            pipewire.pw_properties_new_string(properties.encode()),
            ctypes.byref(self._events),
            None,
        )
        if not self._stream:
            pipewire.pw_thread_loop_destroy(self._loop)
            raise DeviceUnavailable(NOT_RUNNING)
        offered = ctypes.create_string_buffer(_format_pod(width, height))
        status = pipewire.pw_stream_connect(
            self._stream, _DIRECTION_OUTPUT, _ANY_ID, _FLAG_DRIVER | _FLAG_MAP_BUFFERS, _pointers(offered), 1
        )
        pipewire.pw_thread_loop_start(self._loop)
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        while status >= 0 and self._state not in (_STATE_ERROR, _STATE_PAUSED, _STATE_STREAMING) and time.monotonic() < deadline_s:
            time.sleep(LOOK_PERIOD_S)
        if self._state not in (_STATE_PAUSED, _STATE_STREAMING):
            self.close()
            raise DeviceUnavailable(f"PipeWire does not take the camera: {self._error or 'no answer'}")

    @property
    def failure(self) -> str | None:
        """Why it is over, where PipeWire ended it."""
        return (self._error or "PipeWire has ended") if self._state == _STATE_ERROR or not self._state else None

    def show(self, planes: UInt8[np.ndarray, " n"]) -> None:
        """Send a picture now, I420; nothing happens while nobody looks. Raises DeviceUnavailable where PipeWire has gone."""
        if self.failure is not None:
            raise DeviceUnavailable(f"the camera has ended: {self.failure}")
        self._pipewire.pw_thread_loop_lock(self._loop)
        self._planes = planes.tobytes()
        if self._state == _STATE_STREAMING:
            self._pipewire.pw_stream_trigger_process(self._stream)
        self._pipewire.pw_thread_loop_unlock(self._loop)

    def close(self) -> None:
        """May be called twice."""
        if self._loop is None:
            return
        self._pipewire.pw_thread_loop_stop(self._loop)
        self._pipewire.pw_stream_destroy(self._stream)
        self._pipewire.pw_thread_loop_destroy(self._loop)
        self._loop = None

    # ---- called by the library, in its thread

    def _on_state(self, _: Any, old: int, state: int, error: bytes | None) -> None:
        self._state = state
        if error is not None:
            self._error = error.decode(errors="replace")

    def _on_param(self, _: Any, param: int, pod: int | None) -> None:
        if param != _PARAM_FORMAT or pod is None:
            return
        stride, size = self._width, i420_bytes(self._width, self._height)
        buffers = ctypes.create_string_buffer(_buffers_pod(size, stride))
        header = ctypes.create_string_buffer(_header_pod())
        self._pipewire.pw_stream_update_params(self._stream, _pointers(buffers, header), 2)

    def _on_process(self, _: Any) -> None:
        if self._planes is None:
            return
        taken = self._pipewire.pw_stream_dequeue_buffer(self._stream)
        if not taken:
            # Whoever looks has given none back yet: this picture is left out.
            return
        buffer = taken.contents.buffer.contents
        data = buffer.datas[0]
        if data.data and data.maxsize >= len(self._planes):
            ctypes.memmove(data.data, self._planes, len(self._planes))
            chunk = data.chunk.contents
            chunk.offset, chunk.size, chunk.stride, chunk.flags = 0, len(self._planes), self._width, 0
            for meta in buffer.metas[: buffer.n_metas]:
                if meta.type == _META_HEADER and meta.data:
                    header = _Header.from_address(meta.data)
                    header.flags, header.offset, header.dts_offset = 0, 0, 0
                    header.pts, header.seq = time.monotonic_ns(), self._sequence
            self._sequence += 1
        self._pipewire.pw_stream_queue_buffer(self._stream, taken)


NOT_RUNNING = "PipeWire does not run in this session (systemctl --user start pipewire wireplumber)"


def load_pipewire() -> Any:
    """The library, initialised. Raises DeviceUnavailable where the system has none."""
    try:
        pipewire = ctypes.CDLL(LIBRARY)
    except OSError:
        raise DeviceUnavailable(f"there is no {LIBRARY} on this system") from None
    pointer, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures = {
        "pw_init": (None, (pointer, pointer)),
        "pw_thread_loop_new": (pointer, (text, pointer)),
        "pw_thread_loop_get_loop": (pointer, (pointer,)),
        "pw_thread_loop_start": (integer, (pointer,)),
        "pw_thread_loop_stop": (None, (pointer,)),
        "pw_thread_loop_lock": (None, (pointer,)),
        "pw_thread_loop_unlock": (None, (pointer,)),
        "pw_thread_loop_destroy": (None, (pointer,)),
        "pw_properties_new_string": (pointer, (text,)),
        "pw_stream_new_simple": (pointer, (pointer, text, pointer, pointer, pointer)),
        "pw_stream_connect": (integer, (pointer, integer, ctypes.c_uint32, ctypes.c_uint32, pointer, ctypes.c_uint32)),
        "pw_stream_update_params": (integer, (pointer, pointer, ctypes.c_uint32)),
        "pw_stream_trigger_process": (integer, (pointer,)),
        "pw_stream_dequeue_buffer": (ctypes.POINTER(_Buffer), (pointer,)),
        "pw_stream_queue_buffer": (integer, (pointer, ctypes.POINTER(_Buffer))),
        "pw_stream_destroy": (None, (pointer,)),
    }
    for function, (result, arguments) in signatures.items():
        getattr(pipewire, function).restype = result
        getattr(pipewire, function).argtypes = arguments
    pipewire.pw_init(None, None)
    return pipewire


def _pointers(*pods: Any) -> Any:
    return (ctypes.c_void_p * len(pods))(*(ctypes.addressof(pod) for pod in pods))


# ---- pods


def _pod(kind: int, body: bytes) -> bytes:
    return struct.pack("=II", len(body), kind) + body + bytes(-len(body) % 8)


def _id(value: int) -> bytes:
    return _pod(_TYPE_ID, struct.pack("=I", value))


def _int(value: int) -> bytes:
    return _pod(_TYPE_INT, struct.pack("=i", value))


def _choice(kind: int, *values: int) -> bytes:
    return _pod(_TYPE_CHOICE, struct.pack(f"=IIII{len(values)}i", kind, 0, 4, _TYPE_INT, *values))


def _object(kind: int, param: int, **properties: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack("=II", key, 0) + value for key, value in properties.values())
    return _pod(_TYPE_OBJECT, struct.pack("=II", kind, param) + body)


def _format_pod(width: int, height: int) -> bytes:
    return _object(
        _OBJECT_FORMAT,
        _PARAM_ENUM_FORMAT,
        media_type=(1, _id(_MEDIA_VIDEO)),
        media_subtype=(2, _id(_SUBTYPE_RAW)),
        format=(0x20001, _id(_VIDEO_I420)),
        size=(0x20003, _pod(_TYPE_RECTANGLE, struct.pack("=II", width, height))),
        framerate=(0x20004, _pod(_TYPE_FRACTION, struct.pack("=II", FPS, 1))),
    )


def _buffers_pod(size: int, stride: int) -> bytes:
    return _object(
        _OBJECT_BUFFERS,
        _PARAM_BUFFERS,
        buffers=(1, _choice(_CHOICE_RANGE, 4, 2, 16)),
        blocks=(2, _int(1)),
        size=(3, _int(size)),
        stride=(4, _int(stride)),
        data_type=(6, _choice(_CHOICE_FLAGS, _DATA_MEMORY)),
    )


def _header_pod() -> bytes:
    return _object(_OBJECT_META, _PARAM_META, type=(1, _id(_META_HEADER)), size=(2, _int(_META_HEADER_BYTES)))
