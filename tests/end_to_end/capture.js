// Runs in the page before its own scripts: records what a person would hear and see, with times in ms since the epoch.
// The microphone and the returned voice as levels of 10 ms; each shown picture as a small grey crop with its RTP time stamp.
(() => {
  const now = () => performance.timeOrigin + performance.now();
  const capture = { microphone: [], voice: [], pictures: [], errors: [], peers: [] };
  window.__capture = capture;
  const LEVEL_MS = 10;

  const recordLevels = async (track, list) => {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    const samples = new Float32Array(96000);
    for (;;) {
      const { value: data, done } = await reader.read();
      if (done) return;
      const arrival = now(), n = data.numberOfFrames, rate = data.sampleRate;
      data.copyTo(samples.subarray(0, n), { planeIndex: 0, format: "f32-planar" });
      data.close();
      const step = Math.max(1, Math.round(rate * LEVEL_MS / 1000));
      for (let first = 0; first + step <= n; first += step) {
        let sum = 0;
        for (let i = first; i < first + step; i++) sum += samples[i] * samples[i];
        // The end of the piece arrived now; what came before it in the same piece is that much older.
        list.push([arrival - 1000 * (n - first - step) / rate, Math.sqrt(sum / step)]);
      }
    }
  };
  const note = (error) => capture.errors.push(String(error));

  const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await getUserMedia(constraints);
    const [microphone] = stream.getAudioTracks();
    if (microphone) recordLevels(microphone.clone(), capture.microphone).catch(note); // the camera is asked for by itself
    return stream;
  };
  const Peer = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Peer {
    constructor(...configuration) {
      super(...configuration);
      capture.peers.push(this);
      this.addEventListener("track", ({ track }) => {
        if (track.kind === "audio") recordLevels(track.clone(), capture.voice).catch(note);
      });
    }
  };

  // [left, top, right, bottom] as shares of the picture; kept at `size` x `size`.
  capture.watch = (region, size) => {
    const video = [...document.querySelectorAll("video")].find((element) => element.videoWidth);
    if (!video) return false;
    const canvas = new OffscreenCanvas(size, size), context = canvas.getContext("2d", { willReadFrequently: true });
    const look = (_, metadata) => {
      const time = now(), { videoWidth: w, videoHeight: h } = video, [left, top, right, bottom] = region;
      context.drawImage(video, left * w, top * h, (right - left) * w, (bottom - top) * h, 0, 0, size, size);
      const { data } = context.getImageData(0, 0, size, size);
      const grey = new Array(size * size);
      for (let i = 0; i < grey.length; i++) grey[i] = (2 * data[4 * i] + 5 * data[4 * i + 1] + data[4 * i + 2]) >> 3;
      capture.pictures.push([time, metadata.rtpTimestamp, metadata.presentedFrames, grey]);
      video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
    return true;
  };
  capture.videoStats = async () => {
    for (const peer of capture.peers)
      for (const entry of (await peer.getStats()).values())
        if (entry.type === "inbound-rtp" && entry.kind === "video")
          return { decoded: entry.framesDecoded, dropped: entry.framesDropped, freezes: entry.freezeCount, seconds: now() / 1000 };
    return null;
  };
  // By kind: the time, in s, that all that has left the browser's buffer spent in it, and how much that was.
  capture.buffered = async () => {
    const buffered = {};
    for (const peer of capture.peers)
      for (const entry of (await peer.getStats()).values())
        if (entry.type === "inbound-rtp") buffered[entry.kind] = [entry.jitterBufferDelay, entry.jitterBufferEmittedCount];
    return buffered;
  };
})();
