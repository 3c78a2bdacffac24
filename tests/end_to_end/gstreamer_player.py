"""`/usr/bin/python3 gstreamer_player.py URL SECONDS`: watches by WHEP with GStreamer's webrtcbin, and prints what came as one JSON object.

Run by the system's Python, which has the bindings (Debian: python3-gi, gir1.2-gst-plugins-bad-1.0, gstreamer1.0-nice, the plugins good and
bad). The bearer token is in TOKEN. Nothing of this project is imported: it is the other side.
"""

import json
import os
import sys
import threading
import time
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402

PATIENCE_S = 40.0
VIDEO = "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000"
AUDIO = "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2"


class Player:
    """One webrtcbin that only receives."""

    def __init__(self, url, token):
        self.url, self.token, self.location = url, token, None
        self.counts = {"video": 0, "audio": 0}
        self.first_s = {}
        self.gathered, self.described = threading.Event(), threading.Event()
        self.pipeline = Gst.Pipeline.new("player")
        self.bin = Gst.ElementFactory.make("webrtcbin", "receiver")
        self.bin.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.bin)
        self.bin.connect("notify::ice-gathering-state", self._on_gathering)
        self.bin.connect("pad-added", self._on_pad)
        for caps in (VIDEO, AUDIO):
            self.bin.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(caps))

    def connect(self):
        self.pipeline.set_state(Gst.State.PLAYING)
        promise = Gst.Promise.new()
        self.bin.emit("create-offer", None, promise)
        promise.wait()
        # The offer lives in the reply, so that must not go first.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self._describe("set-local-description", offer)
        assert self.gathered.wait(PATIENCE_S), "no candidates were gathered"
        local = self.bin.get_property("local-description").sdp.as_text()
        with self._ask(self.url, "POST", local.encode(), {"Content-Type": "application/sdp"}) as response:
            assert response.status == 201
            self.location = urllib.parse.urljoin(self.url, response.headers["Location"])
            answer = response.read()
        _, message = GstSdp.SDPMessage.new()
        GstSdp.sdp_message_parse_buffer(answer, message)
        described = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self._describe("set-remote-description", described)

    def _describe(self, signal, description):
        promise = Gst.Promise.new()
        self.bin.emit(signal, description, promise)
        promise.wait()

    def disconnect(self):
        with self._ask(self.location, "DELETE") as response:
            status = response.status
        self.pipeline.set_state(Gst.State.NULL)
        return status

    def state(self):
        return self.bin.get_property("connection-state").value_nick

    def _ask(self, url, method, body=None, headers=None):
        authorisation = {"Authorization": f"Bearer {self.token}"}
        return urllib.request.urlopen(
            urllib.request.Request(url, body, {**authorisation, **(headers or {})}, method=method), timeout=PATIENCE_S
        )

    def _on_gathering(self, element, _):
        if element.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            self.gathered.set()

    def _on_pad(self, _, pad):
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        decoder = "rtpvp8depay ! vp8dec" if kind == "video" else "rtpopusdepay ! opusdec"
        chain = Gst.parse_bin_from_description(f"queue ! {decoder} ! fakesink name=end sync=false signal-handoffs=true", True)
        chain.get_by_name("end").connect("handoff", lambda *_: self._count(kind))
        self.pipeline.add(chain)
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))

    def _count(self, kind):
        self.first_s.setdefault(kind, time.monotonic())
        self.counts[kind] += 1


def main(url, seconds):
    Gst.init(None)
    player = Player(url, os.environ["TOKEN"])
    began_s = time.monotonic()
    player.connect()
    while not all(player.counts.values()):
        assert time.monotonic() - began_s < PATIENCE_S, f"no media: {player.counts}, {player.state()}"
        time.sleep(0.05)
    connected_s = max(player.first_s.values()) - began_s
    before, start_s = dict(player.counts), time.monotonic()
    time.sleep(seconds)
    passed_s = time.monotonic() - start_s
    rates = {kind: round((player.counts[kind] - before[kind]) / passed_s, 2) for kind in before}
    state = player.state()
    figures = {"first_media_s": round(connected_s, 2), "seconds": round(passed_s, 1), "pictures_a_second": rates["video"]}
    print(json.dumps({**figures, "sound_packets_a_second": rates["audio"], "state": state, "delete": player.disconnect()}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
