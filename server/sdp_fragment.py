"""SDP fragments of trickle ICE (RFC 8840): what a WHIP or WHEP client sends by PATCH when it has found more of its addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiortc.sdp import candidate_from_sdp

from renderer.errors import BadInput

if TYPE_CHECKING:
    from aiortc import RTCIceCandidate

MAX_CANDIDATES = 64


@dataclass
class SdpFragment:
    """Candidates with the media section each belongs to."""

    ufrag: str | None = None
    password: str | None = None
    candidates: list[RTCIceCandidate] = field(default_factory=list)
    """Those over UDP; TCP candidates are of no use to aioice and left out."""
    is_complete: bool = False
    """There will be no more."""


def parse_fragment(text: str) -> SdpFragment:
    """Raises BadInput, naming the line. Attributes that have nothing to do with candidates are passed over."""
    fragment = SdpFragment()
    mid: str | None = None
    n_candidates = 0
    for line in text.splitlines():
        line = line.strip()
        if not line:
            continue
        if len(line) < 2 or line[1] != "=":
            raise BadInput(f"not a line of SDP: {line[:80]!r}")
        name, _, value = line[2:].partition(":")
        if line.startswith("m="):
            mid = None
        elif name == "mid":
            mid = value
        elif name == "ice-ufrag":
            fragment.ufrag = value
        elif name == "ice-pwd":
            fragment.password = value
        elif name == "end-of-candidates":
            fragment.is_complete = True
        elif name == "candidate":
            n_candidates += 1
            if n_candidates > MAX_CANDIDATES:
                raise BadInput(f"more than {MAX_CANDIDATES} candidates")
            candidate = _candidate(value)
            candidate.sdpMid = mid
            if candidate.protocol.lower() == "udp":
                fragment.candidates.append(candidate)
    return fragment


def _candidate(value: str) -> RTCIceCandidate:
    try:
        return candidate_from_sdp(value)
    except (AssertionError, ValueError, IndexError):
        raise BadInput(f"not a candidate: {value[:80]!r}") from None
