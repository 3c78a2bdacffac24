"""The other side of one WebRTC connection: what the page's sessions, WHIP publishers and WHEP players have in common.

It answers an offer, hears what the other side sends, and notices when it is gone. Who it is, and what is sent to it, is its owner's matter.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import av
import numpy as np
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import SessionDescription

from renderer.errors import BadInput, VisavisError
from server.audio_jitter_buffer import install_direct_buffer
from server.camera_picture import CameraPicture
from server.dtls import accept_rsa_certificates
from server.guarded_tasks import GuardedTasks
from server.sender_clock import SenderClock, read_sender_clock
from server.timeline import VOICE_RATE_HZ
from server.video_jitter_buffer import install_prompt_buffer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiortc import MediaStreamTrack
    from jaxtyping import Int16

    from server.audio_jitter_buffer import DirectAudioJitterBuffer
    from server.ice import IceServers
    from server.sdp_fragment import SdpFragment

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 5.0
KINDS = frozenset({"audio", "video", "application"})
VIDEO_CLOCK_HZ = 90_000


class SdpError(BadInput):
    """An offer that cannot be answered; the text says why."""


class MalformedSdp(SdpError):
    """No SDP at all, or broken."""


class NoCandidates(VisavisError):
    """This machine has no address, or no port, for the media."""


class WebRtcPeer:
    """One connection. `aclose` frees it, whatever has become of it."""

    def __init__(
        self,
        name: str,
        ice: IceServers,
        on_connected: Callable[[], None],
        on_lost: Callable[[str], None],
        hear: Callable[[int, Int16[np.ndarray, " n"]], None] | None = None,
        see: Callable[[CameraPicture, int | None], None] | None = None,
    ) -> None:
        """`name` is for the log. `on_connected` is called once; `on_lost` once at the most, with a line that says why, and not after
        `aclose`. `hear` takes sound as `Performance.hear` does, `see` pictures as `Performance.see`; without it they are dropped."""
        self.name = name
        self.connection = open_connection(ice)
        self.jitter_buffer: DirectAudioJitterBuffer | None = None
        self._on_connected, self._on_lost, self._hear, self._see = on_connected, on_lost, hear, see
        self._sound_clock, self._picture_clock = SenderClock(VOICE_RATE_HZ), SenderClock(VIDEO_CLOCK_HZ)
        self._last_pts = 0
        """Of the sound."""
        self._is_connected = self._is_over = False
        self._tasks = GuardedTasks(name, self._lose)
        self.connection.on("track", self._on_track)
        self.connection.on("connectionstatechange", self._on_connection_state)

    @property
    def is_connected(self) -> bool:
        """Whether media could flow, now or at some time before."""
        return self._is_connected

    async def answer(self, sdp: str) -> str:
        """The answer to an offer, with all candidates of this side; the tracks that are sent, and the codecs preferred, are there already.

        Raises SdpError, NoCandidates."""
        try:
            await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            for transceiver in self.connection.getTransceivers():
                if transceiver.kind == "audio":
                    self.jitter_buffer = install_direct_buffer(transceiver.receiver)
                    self._sound_clock = read_sender_clock(transceiver.receiver, VOICE_RATE_HZ)
                elif self._see is not None:
                    install_prompt_buffer(transceiver.receiver)
                    self._picture_clock = read_sender_clock(transceiver.receiver, VIDEO_CLOCK_HZ)
            await self.connection.setLocalDescription(await self.connection.createAnswer())
        except Exception as error:
            # aiortc raises whatever its parser stumbles over.
            raise SdpError(f"the offer cannot be answered: {error or type(error).__name__}") from error
        answer = str(self.connection.localDescription.sdp)
        require_candidates(answer)
        self._tasks.spawn(self._give_up_unless_connected())
        return answer

    async def add_candidates(self, fragment: SdpFragment) -> None:
        """More addresses of the other side; one that cannot be used is passed over."""
        mid = _bundle_mid(str(self.connection.remoteDescription.sdp))
        for candidate in fragment.candidates:
            # All media go over the transport of the bundle's first section, whichever section the candidate was named with.
            candidate.sdpMid = mid or candidate.sdpMid
            if candidate.sdpMid is not None:
                await self.connection.addIceCandidate(candidate)
        if fragment.is_complete:
            await self.connection.addIceCandidate(None)

    async def aclose(self) -> None:
        """May be called twice."""
        self._is_over = True
        await self._tasks.cancel()
        await close_connection(self.connection, self.name)

    def _lose(self, why: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._on_lost(why)

    def _on_connection_state(self) -> None:
        state = self.connection.connectionState
        logger.info("%s: %s", self.name, state)
        if state == "connected" and not self._is_connected:
            self._is_connected = True
            self._on_connected()
        elif state in ("failed", "closed"):
            self._lose("the media connection was lost")

    async def _give_up_unless_connected(self) -> None:
        await asyncio.sleep(CONNECT_TIMEOUT_S)
        if not self._is_connected:
            self._lose(f"no media connection came about within {CONNECT_TIMEOUT_S:g} s")

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio" and self._hear is not None:
            self._tasks.spawn(self._listen(track, self._hear))
        elif track.kind == "video" and self._see is not None:
            self._tasks.spawn(self._watch(track, self._see))

    async def _listen(self, track: MediaStreamTrack, hear: Callable[[int, Int16[np.ndarray, " n"]], None]) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame) and frame.pts is not None
            self._last_pts = frame.pts
            hear(frame.pts, mono(frame))

    async def _watch(self, track: MediaStreamTrack, see: Callable[[CameraPicture, int | None], None]) -> None:
        """Always, for what nobody takes would gather in the track."""
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.VideoFrame) and frame.pts is not None
            taken_s = self._picture_clock.time_of(frame.pts)
            if (picture := CameraPicture.of(frame)) is not None:
                see(picture, None if taken_s is None else self._sound_clock.pts_at(taken_s, self._last_pts))


def open_connection(ice: IceServers, bundle: RTCBundlePolicy = RTCBundlePolicy.BALANCED) -> RTCPeerConnection:
    """With DTLS that takes whatever certificate the other side has. `bundle` is for who offers: aiortc answers with its default only."""
    servers = [RTCIceServer(server.urls, server.username, server.credential) for server in ice.current()]
    connection = RTCPeerConnection(RTCConfiguration(iceServers=servers, bundlePolicy=bundle))
    accept_rsa_certificates(connection)
    return connection


async def close_connection(connection: RTCPeerConnection, name: str) -> None:
    """May be called twice. `name` is for the log."""
    try:
        await asyncio.wait_for(connection.close(), CLOSE_TIMEOUT_S)
    except asyncio.TimeoutError:
        logger.warning("%s: the connection did not close within %g s", name, CLOSE_TIMEOUT_S)


def media_sections(sdp: str) -> dict[str, str]:
    """The kinds of an offer's media sections, in order, each with its direction. Raises MalformedSdp, or SdpError where there is more than
    one of a kind."""
    try:
        sections = SessionDescription.parse(sdp).media
    except Exception as error:
        # aiortc's parser raises whatever it stumbles over.
        raise MalformedSdp(f"the offer cannot be read: {error or type(error).__name__}") from error
    kinds = [section.kind for section in sections]
    if not kinds:
        raise MalformedSdp("the offer has no media section")
    if len(set(kinds)) < len(kinds) or not set(kinds) <= KINDS:
        raise SdpError(f"media sections {', '.join(kinds)}; one audio, one video and one data section are served")
    return {section.kind: section.direction or "sendrecv" for section in sections}


def _bundle_mid(sdp: str) -> str | None:
    """Name of the section whose transport carries all."""
    group = next((line for line in sdp.splitlines() if line.startswith("a=group:BUNDLE ")), None)
    return None if group is None else group.split()[1]


def require_candidates(sdp: str) -> None:
    """Raises NoCandidates where a description of this side has no address for the media."""
    if "a=candidate:" not in sdp:
        raise NoCandidates("this server found no network address or free UDP port for the media")


def mono(frame: av.AudioFrame) -> Int16[np.ndarray, " n"]:
    """aiortc decodes Opus to interleaved int16 stereo at 48 kHz."""
    if frame.format.name != "s16" or frame.sample_rate != VOICE_RATE_HZ:
        raise ValueError(f"sound as {frame.format.name} at {frame.sample_rate} Hz; int16 at {VOICE_RATE_HZ} Hz was expected")
    channels = len(frame.layout.channels)
    samples: Int16[np.ndarray, "n channels"] = frame.to_ndarray().reshape(-1, channels)
    mean: Int16[np.ndarray, " n"] = (samples.sum(1, dtype=np.int32) // channels).astype(np.int16)
    return mean
