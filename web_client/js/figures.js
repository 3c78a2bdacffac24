/**
 * The figures on the page, computed from what the browser and the server report. Pure: no DOM, no clock of its own.
 *
 * Times are milliseconds. Latency runs from the microphone to the picture; skew is positive where the picture is
 * ahead of the voice. Both are estimates: sound card, encoder packet time and screen are not in them.
 */

/** Frames of this long a past make up the rate. */
const RATE_WINDOW_MS = 2000;
/** Without a frame for this long the rate falls with the time that passes instead of standing at its last value. */
const RATE_STALE_MS = 500;
/** The skew shown is the median of this many readings: single readings jump by ±20 ms with the sender reports. */
const SKEW_READINGS = 5;

/** Counts the frames presented by a video element (`requestVideoFrameCallback`). */
export class FrameRate {
  #samples = [];

  /**
   * @param {number} timeMs When the frame was presented.
   * @param {number} presentedFrames The element's running count, which also counts frames that missed a callback.
   */
  add(timeMs, presentedFrames) {
    const last = this.#samples.at(-1);
    if (last && presentedFrames < last.presentedFrames) this.#samples = [];
    this.#samples.push({ timeMs, presentedFrames });
    while (this.#samples[0].timeMs < timeMs - RATE_WINDOW_MS) this.#samples.shift();
  }

  /** Forgets everything, for a new stream. */
  reset() {
    this.#samples = [];
  }

  /**
   * @param {number} nowMs
   * @returns {number|null} Frames a second, null before two frames were seen.
   */
  read(nowMs) {
    if (this.#samples.length < 2) return null;
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    const endMs = nowMs - last.timeMs > RATE_STALE_MS ? nowMs : last.timeMs;
    return ((last.presentedFrames - first.presentedFrames) * 1000) / (endMs - first.timeMs);
  }
}

/**
 * @typedef {object} Figures
 * @property {number|null} roundTripMs
 * @property {number|null} receiveMs From a picture's first packet to the decoded picture.
 * @property {number|null} latencyMs Null until the server and the browser have both reported.
 * @property {number|null} skewMs Positive: the picture is ahead of the voice.
 * @property {number|null} framesReceived
 * @property {number|null} decodedFps The browser's own rate, for one that cannot count presented frames.
 */

/** Turns one `RTCStatsReport` a second, with the server's own delay, into the figures. */
export class FigureBook {
  #previousVideo = null;
  #skews = [];

  /** Forgets everything, for a new connection. */
  reset() {
    this.#previousVideo = null;
    this.#skews = [];
  }

  /**
   * @param {Iterable<object>} reports The values of an `RTCStatsReport`.
   * @param {number|null} serverLatencyMs What the server says of its own delay.
   * @param {number|null} pongMs Round trip of a control message, used where ICE has not measured one.
   * @returns {Figures}
   */
  update(reports, serverLatencyMs, pongMs) {
    const all = [...reports];
    const video = all.find((entry) => entry.type === "inbound-rtp" && entry.kind === "video");
    const audio = all.find((entry) => entry.type === "inbound-rtp" && entry.kind === "audio");
    const roundTripMs = selectedRoundTripMs(all) ?? pongMs;
    const receiveMs = receiveDelayMs(video, this.#previousVideo);
    this.#previousVideo = video ?? null;
    return {
      roundTripMs,
      receiveMs,
      latencyMs: sumOrNull([serverLatencyMs, roundTripMs, receiveMs]),
      skewMs: this.#skew(video, audio),
      framesReceived: video?.framesReceived ?? null,
      decodedFps: video?.framesPerSecond ?? null,
    };
  }

  #skew(video, audio) {
    const pictureMs = video?.estimatedPlayoutTimestamp;
    const voiceMs = audio?.estimatedPlayoutTimestamp;
    if (pictureMs && voiceMs) {
      this.#skews.push(pictureMs - voiceMs);
      if (this.#skews.length > SKEW_READINGS) this.#skews.shift();
    }
    return median(this.#skews);
  }
}

/**
 * @param {number[]} values
 * @returns {number|null} Null of an empty list.
 */
export function median(values) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Half of the round trip carries the voice to the server, half of it the picture back: together one whole. */
function selectedRoundTripMs(reports) {
  const transport = reports.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
  const pair = transport
    ? reports.find((entry) => entry.id === transport.selectedCandidatePairId)
    : reports.find((entry) => entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded");
  return pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000;
}

/** Since the last report where there is one, over the connection's life otherwise. */
function receiveDelayMs(video, previous) {
  if (!video) return null;
  const since = (name) => (video[name] ?? 0) - (previous?.[name] ?? 0);
  if (video.totalProcessingDelay !== undefined) {
    const decoded = since("framesDecoded");
    return decoded > 0 ? (since("totalProcessingDelay") * 1000) / decoded : null;
  }
  const emitted = since("jitterBufferEmittedCount");
  return emitted > 0 ? (since("jitterBufferDelay") * 1000) / emitted : null;
}

function sumOrNull(parts) {
  return parts.some((part) => part === null || part === undefined) ? null : parts.reduce((a, b) => a + b, 0);
}
