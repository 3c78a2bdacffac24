/**
 * Wires the page: what the user does to the microphone and the session, and what these report to the view.
 *
 * `window.visavis` holds the parts for tests and for the console: {session, microphone, settings, figures}, where
 * `figures` is the last second's reading.
 */

import { Camera, CameraError } from "./camera.js";
import { EditPanel } from "./edit_panel.js";
import { EmotionPanel } from "./emotion_panel.js";
import { FigureBook, FrameRate } from "./figures.js";
import { FollowPanel } from "./follow_panel.js";
import { LevelMeter } from "./level_meter.js";
import * as words from "./messages.js";
import { Microphone } from "./microphone.js";
import { RecordPanel } from "./record_panel.js";
import { ScenePanel } from "./scene_panel.js";
import { Session, isWebRtcSupported } from "./session.js";
import { loadSettings, saveSettings } from "./settings.js";
import { SessionError, endpoints, fetchAvatars } from "./signalling.js";
import { Studio } from "./studio.js";
import { View } from "./view.js";
import { VirtualCameraPanel } from "./virtual_camera_panel.js";

const FIGURES_INTERVAL_MS = 1000;
/** A microphone that delivers nothing at all for this long is taken for muted. */
const MUTED_AFTER_MS = 8000;

const where = endpoints(location.href);
const settings = loadSettings();
const microphone = new Microphone();
const camera = new Camera();
const session = new Session(where);
const frameRate = new FrameRate();
const book = new FigureBook();
const meter = new LevelMeter(hearLevel);
const studio = new Studio(where);

const view = new View({
  start,
  stop,
  notice: (kind) => ({ start, retry: () => session.retryNow(), play: unblock })[kind](),
  device: changeDevice,
  voice: changeVoice,
  avatar: changeAvatar,
  omega: changeOmega,
  fade: (fade) => session.set({ fade }),
});

const editPanel = new EditPanel({
  order: (wish) => studio.order(wish),
  remove: (id) => studio.remove(id),
  resume: (id) => studio.resume(id),
  show: (name) => {
    view.selectAvatar(name);
    changeAvatar(name);
  },
  at: where.at,
});

const scenePanel = new ScenePanel({
  view: (angles) => session.set({ view: angles }),
  background: (background) => session.set({ background }),
  upload: (file) => studio.upload(file),
});

const recordPanel = new RecordPanel({
  start: (id) => studio.record(id),
  stop: (id) => studio.stopRecording(id),
  look: (id) => studio.recording(id),
  at: where.at,
});

const emotionPanel = new EmotionPanel({
  emotion: (emotion) => session.set({ emotion }),
  auto: (followsVoice) => session.set({ emotion_auto: followsVoice }),
});

const virtualCameraPanel = new VirtualCameraPanel({
  look: () => studio.camera(),
  begin: (id) => studio.beginCamera(id),
  end: () => studio.endCamera(),
  change: (change) => studio.changeCamera(change),
});
const followPanel = new FollowPanel({ follow: followCamera, straightAhead: () => session.straightAhead() });

window.visavis = { session, microphone, settings, figures: null };

let avatars = [];
/** What the live session shows, or is about to; null while there is none. */
let shown = null;
let starts = 0;
let situation = {};
let serverLatencyMs = null;
let figuresTimer = null;
let isMuted = false;
let isBlocked = false;

// Start and stop

async function start() {
  const problem = missingFeature();
  if (problem) return fail(problem);
  const mine = ++starts;
  view.showNotice(null);
  enter("asking");
  try {
    await microphone.open(settings.deviceId);
  } catch (error) {
    if (mine === starts) fail(error.code);
    return;
  }
  if (mine !== starts) return microphone.close(); // stopped while the browser was asking
  meter.attach(microphone.stream);
  session.start(microphone.track, { avatar: settings.avatar, omega: settings.omega, voice: settings.voice });
}

function stop() {
  session.stop();
  release();
  view.showNotice(null);
  enter("idle");
}

/** @param {string} code A key of messages.js; the page is idle again, with the reason on it. */
function fail(code, detail = "") {
  release();
  enter("failed", { code });
  view.showNotice(words.noticeFor(code, detail));
}

/** Lets go of the microphone and of the last picture. */
function release() {
  starts += 1;
  shown = null;
  isBlocked = false;
  stopFigures();
  microphone.close();
  letGoOfCamera();
  meter.close();
  view.clearPicture();
}

function enter(phase, more = {}) {
  situation = { phase, ...more };
  view.showPhase(phase);
  scenePanel.showLive(phase === "live");
  recordPanel.showSession(phase === "live" ? session.id : null);
  virtualCameraPanel.showSession(phase === "live" ? session.id : null);
  showStatus();
}

function showStatus() {
  const { phase, loading } = situation;
  if (phase === "live" && isMuted) view.showStatus(words.SILENT_MICROPHONE);
  else if (phase === "live" && loading) view.showStatus(words.loadingText(titleOf(loading)));
  else view.showStatus(words.statusFor(phase, situation));
}

function missingFeature() {
  if (!window.isSecureContext) return "insecure_origin";
  return isWebRtcSupported() && navigator.mediaDevices ? null : "no_webrtc";
}

// The session

session.addEventListener("phase", ({ detail: { phase, code, detail, retryInMs, again } }) => {
  if (phase === "idle") return; // stop() has done all there is to do
  if (phase === "failed") return fail(code, detail);
  if (phase === "waiting") {
    stopFigures();
    view.freezePicture();
    view.showNotice(words.noticeFor(code, detail), retryInMs);
  }
  if (phase === "connecting" && again) view.showTrying();
  if (phase === "live") {
    if (!isBlocked) view.showNotice(null);
    startFigures();
  }
  enter(phase, { code, again, picture: phase === "live" && situation.picture });
});

session.addEventListener("hello", ({ detail: hello }) => showAvatars(hello.avatars, hello.default_avatar));

session.addEventListener("stats", ({ detail: stats }) => (serverLatencyMs = stats.latency_ms));

session.addEventListener("state", ({ detail: state }) => {
  shown = state.loading ?? state.avatar;
  view.selectAvatar(shown);
  showAbilities(state.avatar);
  view.setDetail(state.omega);
  emotionPanel.showState(state);
  showFollow(state.follow);
  situation.loading = state.loading ?? null;
  showStatus();
});

session.addEventListener("complaint", ({ detail: error }) => {
  view.showStatus(words.noticeFor(error.code, error.detail).title);
  if (error.code === "unknown_background") {
    session.set({ background: "original" });
    scenePanel.resetBackground();
  }
});

session.addEventListener("stream", async ({ detail: stream }) => {
  frameRate.reset();
  situation.picture = false;
  view.showVoice(settings.voice);
  const seen = {
    first: () => {
      situation.picture = true;
      showStatus();
    },
    frame: (timeMs, presentedFrames) => frameRate.add(timeMs, presentedFrames),
  };
  try {
    await view.play(stream, seen);
    isBlocked = false;
  } catch (error) {
    if (error.name === "AbortError") return; // a newer stream took its place
    if (error.name !== "NotAllowedError") throw error;
    isBlocked = true;
    view.showNotice(words.noticeFor("autoplay_blocked"));
  }
});

/** The user has pressed Play where the browser had blocked it. */
async function unblock() {
  isBlocked = false;
  view.showNotice(null);
  await view.video.play();
}

// Settings

async function changeDevice(deviceId) {
  settings.deviceId = deviceId;
  saveSettings(settings);
  if (!microphone.stream) return;
  try {
    await useDevice(deviceId, true);
  } catch (error) {
    view.showStatus(words.noticeFor(error.code).title);
    await showDevices(); // back to the one in use
  }
}

async function useDevice(deviceId, exact) {
  const mine = starts;
  const track = await microphone.open(deviceId, exact);
  if (mine !== starts) return microphone.close(); // stopped in the meantime
  meter.attach(microphone.stream);
  await session.replaceTrack(track);
}

function changeVoice(on) {
  settings.voice = on;
  saveSettings(settings);
  view.showVoice(on);
  session.set({ voice: on });
}

function changeAvatar(name) {
  settings.avatar = name;
  saveSettings(settings);
  session.set({ avatar: name });
  editPanel.showSource(avatars.find((avatar) => avatar.name === name));
  if (session.phase !== "live") showAbilities(name); // live, the server says when the swap is done
  view.showPoster(where.poster(avatars.find((avatar) => avatar.name === name)));
}

/** Asks for the camera and sends its picture, or lets go of it. Rejects with a CameraError. */
async function followCamera(follows) {
  if (session.phase !== "live") throw new CameraError("follow_not_live");
  const mine = starts;
  const track = follows ? await camera.open() : null;
  if (mine !== starts) return camera.close(); // stopped while the browser was asking
  await session.follow(track);
  if (!follows) camera.close();
}

function letGoOfCamera() {
  session.follow(null);
  camera.close();
  followPanel.show({ on: false, status: "off", reason: null });
}

/** What the server says of it; where it cannot follow, the camera is let go of. */
function showFollow(state) {
  if (!state.on && state.reason !== null && camera.track) letGoOfCamera();
  // Between the asking and the server's word the switch stands as the user set it.
  if (state.on === (camera.track !== null)) followPanel.show(state);
}

camera.addEventListener("lost", () => {
  letGoOfCamera();
  followPanel.showFailure("camera_lost");
});

function changeOmega(omega) {
  settings.omega = omega;
  saveSettings(settings);
  session.set({ omega });
}

/** What the page offers depends on what the avatar has learned. */
function showAbilities(name) {
  const avatar = avatars.find((candidate) => candidate.name === name);
  view.showDetail(avatar?.refiner === true);
  emotionPanel.showAvatar(avatar);
  followPanel.showAvatar(avatar);
}

function titleOf(name) {
  return avatars.find((avatar) => avatar.name === name)?.title || name;
}

function showAvatars(list, defaultName) {
  const chosen = list.find((avatar) => avatar.name === settings.avatar) ?? list.find((avatar) => avatar.name === defaultName);
  const isSame = JSON.stringify(list) === JSON.stringify(avatars);
  avatars = list;
  if (!isSame) view.showAvatars(list, shown ?? chosen?.name ?? null, where.poster);
  if (!isSame) view.showPoster(where.poster(chosen));
  if (!isSame) editPanel.showSource(chosen);
  if (session.phase !== "live") showAbilities(chosen?.name);
}

async function showDevices() {
  view.showDevices(await microphone.list(), microphone.deviceId || settings.deviceId);
}

microphone.addEventListener("devices", showDevices);

microphone.addEventListener("lost", async () => {
  try {
    await useDevice("", false); // whichever the system now has
  } catch {
    session.stop();
    fail("microphone_lost");
  }
});

function hearLevel(position, silentMs) {
  view.showLevel(position);
  const wasMuted = isMuted;
  isMuted = silentMs > MUTED_AFTER_MS;
  if (isMuted !== wasMuted) showStatus();
}

// Figures

function startFigures() {
  stopFigures();
  figuresTimer = setInterval(readFigures, FIGURES_INTERVAL_MS);
}

function stopFigures() {
  clearInterval(figuresTimer);
  book.reset();
  frameRate.reset();
  showFigures(null);
}

async function readFigures() {
  const { peer } = session;
  const report = await peer.getStats();
  if (peer !== session.peer) return; // the connection ended while the browser was counting
  const reading = book.update(report.values(), serverLatencyMs, session.pongMs);
  showFigures({ ...reading, fps: frameRate.read(performance.now()) ?? reading.decodedFps });
  session.noteFrames(reading.framesReceived); // last: it may end the connection, and the figures with it
}

function showFigures(figures) {
  window.visavis.figures = figures;
  view.showFigures(words.figureTexts(figures ?? { fps: null, latencyMs: null, skewMs: null }));
}

// The page's life

async function open() {
  view.showPrivacy(words.privacyText(location.host));
  view.showVoice(settings.voice);
  if (settings.omega !== null) view.setDetail(settings.omega);
  const problem = missingFeature();
  if (problem) return fail(problem);
  await showDevices();
  try {
    const offered = await fetchAvatars(where);
    showAvatars(offered.avatars, offered.defaultAvatar);
    openStudio();
    virtualCameraPanel.open();
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    if (session.phase === "idle" && situation.phase !== "asking") fail(error.code, error.detail);
  }
}

studio.addEventListener("shelf", ({ detail: shelf }) => {
  showAvatars(shelf.avatars, shelf.default_avatar);
  editPanel.showEdits(shelf.edits);
});

async function openStudio() {
  studio.listen();
  try {
    editPanel.showOptions(await studio.options());
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    editPanel.showOptions({ available: false, reason: error.detail || words.noticeFor(error.code).title });
  }
}

window.addEventListener("online", () => session.retryNow());
window.addEventListener("pagehide", () => {
  studio.close();
  stop();
});
window.addEventListener("pageshow", ({ persisted }) => persisted && studio.listen());

open();
