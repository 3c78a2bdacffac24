/**
 * One live session with the server, kept alive: WebRTC, signalling and reconnecting. No DOM.
 *
 * Phases: `idle` → `connecting` → `live`; from either to `waiting` (a next try is set) or `failed` (it gave up or may
 * not try); `stop()` leads back to `idle` from anywhere. A lost connection is tried again with growing waits, a busy
 * server at a steady pace, both until PATIENCE_MS have gone by. The microphone's track belongs to the caller and is
 * kept throughout, as are the settings; each new connection gets them anew.
 *
 * Events, each a CustomEvent: `phase` ({phase, code, detail, retryInMs, again: after a try that failed, or of "live":
 * after another time live}), `hello`, `stats` and `state` (the
 * server's messages), `stream` (a MediaStream with the picture, and the voice beside it), `complaint` (an error of
 * the server that ends nothing).
 */

import { backoffMs } from "./backoff.js";
import { whyNoMedia } from "./media_path.js";
import { SessionError, Signalling } from "./signalling.js";

/** Without trickle ICE the offer waits for the candidates, but not for a slow network interface. */
const GATHERING_TIMEOUT_MS = 1000;
/** A relay is asked twice, and may be far away. */
const RELAY_GATHERING_TIMEOUT_MS = 4000;
const ANSWER_TIMEOUT_MS = 15_000;
const MEDIA_TIMEOUT_MS = 12_000;
/** WebRTC's own "disconnected" often heals by itself; after this long it counts as lost. */
const DISCONNECTED_GRACE_MS = 5000;
const PING_INTERVAL_MS = 2000;
/**
 * The server sends its figures once a second: after this many pings without a word it is gone. Counted in pings, not
 * in seconds, so that a page that was itself held up (a busy machine, a lid closed) blames nobody for its own pause.
 */
const SILENT_PINGS = 4;
/** After this many readings, one a second, without a new picture the connection has failed, whatever its state says. */
const STILL_READINGS = 6;
/** Of the camera's small picture, bits a second. */
const CAMERA_BITRATE = 300_000;
const BUSY_RETRY_MS = 5000;
/** A connection that held this long is good: the next loss starts again with the shortest wait. */
const STABLE_AFTER_MS = 10_000;
/** After this long of trying in vain the page stops and lets go of the microphone. */
const PATIENCE_MS = 10 * 60_000;

/** Errors after which another try would end the same way. */
const FINAL_CODES = new Set(["unauthorised", "bad_message", "bad_sdp"]);
/** Errors of a live session that end nothing: what was there goes on. */
const HARMLESS_CODES = new Set(["unknown_avatar", "unknown_background", "follow_unavailable", "bad_message"]);

/** @returns {boolean} Whether this browser has what the session needs. */
export function isWebRtcSupported() {
  return typeof RTCPeerConnection === "function" && typeof WebSocket === "function";
}

/** @see the module's description. */
export class Session extends EventTarget {
  phase = "idle";
  /** @type {RTCPeerConnection|null} */
  peer = null;
  /** The server's name of the session that was begun last. @type {string|null} */
  id = null;
  /** Round trip of the last ping, null before the first. @type {number|null} */
  pongMs = null;
  /** The last error, null after a good connection. @type {SessionError|null} */
  error = null;

  #where;
  #track = null;
  #cameraTrack = null;
  #wishes = { avatar: null, omega: null, voice: true, fade: false, view: null, background: null, emotion: null, emotion_auto: false, follow: false };
  #signalling = null;
  #control = null;
  #cameraSender = null;
  #timers = new Set();
  #retryTimer = null;
  #failures = 0;
  #wasLive = false;
  #troubleSinceMs = null;
  #run = 0;
  #silentPings = 0;
  #framesReceived = null;
  #stillReadings = 0;

  /** @param {import("./signalling.js").Endpoints} where */
  constructor(where) {
    super();
    this.#where = where;
  }

  /**
   * @param {MediaStreamTrack} track The microphone.
   * @param {{avatar: string|null, omega: number|null, voice: boolean}} wishes
   */
  start(track, wishes) {
    this.#track = track;
    Object.assign(this.#wishes, wishes);
    this.#failures = 0;
    this.#wasLive = false;
    this.#troubleSinceMs = null;
    this.error = null;
    this.#connect();
  }

  /** Ends the session and says so to the server. */
  stop() {
    this.#disconnect({ bye: true });
    this.#enter("idle");
  }

  /** Tries at once where the session waits for its next try. */
  retryNow() {
    if (this.phase === "waiting") this.#connect();
  }

  /**
   * Sends another microphone on the connection that stands.
   * @param {MediaStreamTrack} track
   */
  async replaceTrack(track) {
    this.#track = track;
    const sender = this.peer?.getSenders().find((candidate) => candidate.track?.kind === "audio");
    await sender?.replaceTrack(track);
  }

  /**
   * Sends a camera's picture for the avatar to follow, or stops sending it; on the connection that stands, without a new offer, and on
   * every one that follows.
   * @param {MediaStreamTrack|null} track
   */
  async follow(track) {
    this.#cameraTrack = track;
    await this.#cameraSender?.replaceTrack(track);
    this.set({ follow: track !== null });
  }

  /** Where the user looks now is straight ahead. */
  straightAhead() {
    if (this.phase === "live") this.#signalling.send({ type: "set", straight_ahead: true });
  }

  /**
   * Changes settings, now where connected and on every connection that follows.
   * @param {{avatar?: string, omega?: number, voice?: boolean, fade?: boolean, background?: string,
   *   view?: {yaw_deg: number, pitch_deg: number, zoom: number}, emotion?: {category: string, strength: number},
   *   emotion_auto?: boolean, follow?: boolean}} wishes
   */
  set(wishes) {
    Object.assign(this.#wishes, wishes);
    if (this.phase === "live") this.#signalling.send({ type: "set", ...wishes });
  }

  /**
   * Reports, once a second, how far the pictures have come, so that a connection that stands still is noticed.
   * @param {number|null} framesReceived
   */
  noteFrames(framesReceived) {
    this.#stillReadings = framesReceived === this.#framesReceived ? this.#stillReadings + 1 : 0;
    this.#framesReceived = framesReceived;
    if (this.#stillReadings >= STILL_READINGS && this.phase === "live") this.#lose(new SessionError("stalled"));
  }

  #enter(phase, more = {}) {
    this.phase = phase;
    const again = phase === "live" ? this.#wasLive : this.#failures > 0;
    const detail = { phase, code: this.error?.code ?? null, detail: this.error?.detail ?? "", again, ...more };
    this.dispatchEvent(new CustomEvent("phase", { detail }));
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  async #connect() {
    this.#disconnect();
    const run = this.#run;
    this.#enter("connecting");
    try {
      await this.#negotiate(() => run === this.#run);
    } catch (error) {
      if (run !== this.#run) return; // stopped, or already tried anew
      this.#lose(error instanceof SessionError ? error : new SessionError("internal", String(error?.message ?? error)));
    }
  }

  /** @param {() => boolean} isCurrent False once stop() or a newer try has taken over. */
  async #negotiate(isCurrent) {
    const signalling = (this.#signalling = new Signalling(this.#where));
    signalling.addEventListener("closed", ({ detail: error }) => isCurrent() && this.#lose(error));
    signalling.addEventListener("message", ({ detail: message }) => isCurrent() && this.#hear(message));
    let peer = this.#openPeer(isCurrent, []);
    // The browser finds its addresses while the server greets.
    const [hello] = await Promise.all([signalling.hello(), describe(peer, GATHERING_TIMEOUT_MS)]);
    if (!isCurrent()) return;
    this.#tell("hello", hello);
    if (hello.busy) throw new SessionError("busy");
    const servers = hello.ice_servers ?? [];
    const complaints = [];
    if (servers.length > 0) {
      // Only now is it known whom to ask for the addresses that others see; that needs a connection of its own.
      peer.close();
      peer = this.#openPeer(isCurrent, servers);
      peer.addEventListener("icecandidateerror", ({ url, errorCode }) => complaints.push({ url: url ?? "", code: errorCode }));
      await describe(peer, RELAY_GATHERING_TIMEOUT_MS);
      if (!isCurrent()) return;
    }
    if (!hello.avatars.some((avatar) => avatar.name === this.#wishes.avatar)) this.#wishes.avatar = null;

    const answer = reply(signalling, "answer", ANSWER_TIMEOUT_MS);
    signalling.send({
      type: "offer",
      sdp: peer.localDescription.sdp,
      avatar: this.#wishes.avatar,
      size: null,
      token: this.#where.token,
    });
    const { sdp, session, latency_ms: latencyMs } = await answer;
    if (!isCurrent()) return;
    this.id = session;
    this.#tell("stats", { latency_ms: latencyMs });
    try {
      await peer.setRemoteDescription({ type: "answer", sdp });
    } catch (error) {
      throw new SessionError("bad_sdp", error.message);
    }
    await connected(peer, () => whyNoMedia({ offer: peer.localDescription.sdp, answer: sdp, servers, complaints }));
    if (isCurrent()) this.#goLive();
  }

  #openPeer(isCurrent, servers) {
    // A server without credentials has null where the browser wants nothing at all.
    const iceServers = servers.map(({ urls, username, credential }) => (username ? { urls, username, credential } : { urls }));
    const peer = (this.peer = new RTCPeerConnection({ iceServers }));
    peer.addTrack(this.#track);
    // The way to the server carries the user's camera, once the avatar is to follow it.
    const sendEncodings = [{ maxBitrate: CAMERA_BITRATE }];
    this.#cameraSender = peer.addTransceiver(this.#cameraTrack ?? "video", { direction: "sendrecv", sendEncodings }).sender;
    this.#control = peer.createDataChannel("control");
    this.#control.addEventListener("message", ({ data }) => isCurrent() && this.#hear(JSON.parse(data)));
    const stream = new MediaStream();
    peer.addEventListener("track", ({ track, receiver }) => {
      // The server paces both media by one clock; the browser's own buffering would only add to the delay.
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      stream.addTrack(track);
      if (track.kind === "video") this.#tell("stream", stream);
    });
    peer.addEventListener("connectionstatechange", () => {
      if (!isCurrent() || this.phase !== "live") return;
      if (peer.connectionState === "failed") this.#lose(new SessionError("lost"));
      if (peer.connectionState === "disconnected") {
        this.#after(DISCONNECTED_GRACE_MS, () => peer.connectionState !== "connected" && this.#lose(new SessionError("lost")));
      }
    });
    return peer;
  }

  #goLive() {
    this.error = null;
    this.#enter("live");
    this.#wasLive = true;
    this.#after(STABLE_AFTER_MS, () => {
      this.#failures = 0;
      this.#troubleSinceMs = null;
    });
    this.#framesReceived = null;
    this.#stillReadings = this.#silentPings = 0;
    const { omega, voice, fade, view, background, emotion, emotion_auto, follow } = this.#wishes;
    const wishes = { voice, ...(omega !== null && { omega }), ...(fade && { fade }), ...(view && { view }) };
    Object.assign(wishes, emotion && { emotion }, emotion_auto && { emotion_auto }, follow && { follow });
    this.#signalling.send({ type: "set", ...wishes });
    // By itself: a server that was started anew refuses a picture that it does not know any more, and all that comes with it.
    if (background) this.#signalling.send({ type: "set", background });
    this.#every(PING_INTERVAL_MS, () => this.#beat());
  }

  #beat() {
    if (this.#silentPings >= SILENT_PINGS) return this.#lose(new SessionError("lost"));
    this.#silentPings += 1;
    const ping = { type: "ping", t: performance.now() };
    // Over the data channel where it is open: that measures the way the media take.
    if (this.#control.readyState === "open") this.#control.send(JSON.stringify(ping));
    else this.#signalling.send(ping);
  }

  #hear(message) {
    this.#silentPings = 0;
    if (message.type === "pong") this.pongMs = performance.now() - message.t;
    else if (message.type === "stats" || message.type === "state") this.#tell(message.type, message);
    else if (message.type === "error" && this.phase === "live") {
      const error = new SessionError(message.code, message.message);
      if (HARMLESS_CODES.has(message.code)) this.#tell("complaint", error);
      else this.#lose(error);
    }
  }

  /** The connection is gone: wait for the next try, or give up. */
  #lose(error) {
    const nowMs = performance.now();
    this.#disconnect();
    this.#troubleSinceMs ??= nowMs;
    const exhausted = nowMs - this.#troubleSinceMs > PATIENCE_MS;
    if (error.code === "unknown_avatar") this.#wishes.avatar = null; // the next try takes the server's default
    const isStillStopped = error.code === "unreachable" && this.error?.code === "stopped"; // it said so: no need to ask
    if (exhausted) this.error = new SessionError(error.code === "busy" ? "gave_up_busy" : "gave_up");
    else if (!isStillStopped) this.error = error;
    if (exhausted || FINAL_CODES.has(error.code)) return this.#enter("failed");
    const retryInMs = error.code === "busy" ? BUSY_RETRY_MS : backoffMs(this.#failures, Math.random());
    this.#failures += 1;
    this.#retryTimer = setTimeout(() => this.#connect(), retryInMs);
    this.#enter("waiting", { retryInMs });
  }

  #disconnect({ bye = false } = {}) {
    this.#run += 1;
    clearTimeout(this.#retryTimer);
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
    if (bye) this.#signalling?.send({ type: "bye" });
    this.#signalling?.close();
    this.peer?.close();
    this.#signalling = this.#control = this.#cameraSender = this.peer = this.pongMs = null;
  }

  #after(delayMs, action) {
    this.#timers.add(setTimeout(action, delayMs));
  }

  #every(intervalMs, action) {
    this.#timers.add(setInterval(action, intervalMs));
  }
}

/** Makes the offer; returns when all candidates are in it, or no more are waited for. */
async function describe(peer, timeoutMs) {
  await peer.setLocalDescription();
  await new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") return resolve();
    peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && resolve());
    setTimeout(resolve, timeoutMs);
  });
}

/** Media flow, or cannot; `why` then says for which reason. */
function connected(peer, why) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new SessionError(why())), MEDIA_TIMEOUT_MS);
    const look = () => {
      if (peer.connectionState === "connected") resolve();
      else if (peer.connectionState === "failed") reject(new SessionError(why()));
      else return;
      clearTimeout(timer);
    };
    peer.addEventListener("connectionstatechange", look);
    look();
  });
}

/** The next message of a type; an error or a closed socket in its place rejects. */
function reply(signalling, type, timeoutMs) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new SessionError("unreachable")), timeoutMs);
    signalling.addEventListener("message", ({ detail: message }) => {
      if (message.type === type) resolve(message);
      else if (message.type === "error") reject(new SessionError(message.code, message.message));
      else return;
      clearTimeout(timer);
    });
  });
}
