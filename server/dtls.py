"""DTLS with peers whose certificate is an RSA one.

aiortc's own certificate is ECDSA, and so are all cipher suites it allows. That is enough where aiortc is the DTLS server. As a client,
which it is in every answer to an ordinary offer, it meets servers with RSA certificates: GStreamer up to 1.22 and all that is built on it
make no other. Both sides are still known by the fingerprints in the SDP, not by the kind of their keys. What stays impossible is a
certificate on the curve P-224, which OpenSSL 4 does not speak: FFmpeg with GnuTLS makes such ones unless it is given another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiortc import RTCCertificate

if TYPE_CHECKING:
    from typing import Any

    from aiortc import RTCPeerConnection

CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA"
)
"""What browsers offer: ephemeral keys only."""
_ATTRIBUTE = "_RTCPeerConnection__certificates"


class TolerantCertificate(RTCCertificate):
    """An ECDSA certificate whose connections take RSA ones from the other side."""

    def _create_ssl_context(self, srtp_profiles: Any) -> Any:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(CIPHERS)
        return context


def accept_rsa_certificates(connection: RTCPeerConnection) -> None:
    """Must come before the connection has any track."""
    if not hasattr(connection, _ATTRIBUTE):
        raise RuntimeError("this aiortc keeps its certificates elsewhere; visavis is written for aiortc 1.16")
    setattr(connection, _ATTRIBUTE, [TolerantCertificate.generateCertificate()])
