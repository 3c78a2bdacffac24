from __future__ import annotations

import asyncio
import datetime

from aiortc import RTCCertificate, RTCPeerConnection
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from server.dtls import accept_rsa_certificates

PATIENCE_S = 20.0
ATTRIBUTE = "_RTCPeerConnection__certificates"


def rsa_certificate() -> RTCCertificate:
    """As GStreamer makes them; its owner can speak with RSA only."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gstreamer")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )

    class RsaCertificate(RTCCertificate):
        def _create_ssl_context(self, srtp_profiles: object) -> object:
            context = super()._create_ssl_context(srtp_profiles)
            context.set_cipher_list(b"ECDHE-RSA-AES128-GCM-SHA256")
            return context

    return RsaCertificate(key, certificate)


async def connects(is_tolerant: bool) -> bool:
    """Whether a connection that answers, and so is the DTLS client, comes about with a peer whose certificate is RSA."""
    offerer, answerer = RTCPeerConnection(), RTCPeerConnection()
    setattr(offerer, ATTRIBUTE, [rsa_certificate()])
    if is_tolerant:
        accept_rsa_certificates(answerer)
    settled = asyncio.Event()

    @answerer.on("connectionstatechange")
    def on_change() -> None:
        if answerer.connectionState in ("connected", "failed"):
            settled.set()

    try:
        offerer.createDataChannel("x")
        await offerer.setLocalDescription(await offerer.createOffer())
        await answerer.setRemoteDescription(offerer.localDescription)
        await answerer.setLocalDescription(await answerer.createAnswer())
        await offerer.setRemoteDescription(answerer.localDescription)
        await asyncio.wait_for(settled.wait(), PATIENCE_S)
        return bool(answerer.connectionState == "connected")
    finally:
        await offerer.close()
        await answerer.close()


async def test_dtls_takes_an_rsa_certificate() -> None:
    assert not await connects(is_tolerant=False), "aiortc alone does it now: the module is needless"
    assert await connects(is_tolerant=True)
