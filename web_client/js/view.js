/**
 * The page's elements: everything that touches the DOM, and nothing that decides.
 */

import { countdownText } from "./messages.js";

const COUNTDOWN_INTERVAL_MS = 250;
/** A screen reader may ask for the meter's value; the number need not follow every syllable. */
const METER_VALUE_INTERVAL_MS = 1000;

/** Phases in which the one button stops. */
const RUNNING = new Set(["asking", "connecting", "live", "waiting"]);

const element = (id) => document.getElementById(id);

/**
 * @typedef {object} Actions What the user can do, as functions.
 * @property {() => void} start
 * @property {() => void} stop
 * @property {(kind: string) => void} notice The notice's button was pressed.
 * @property {(deviceId: string) => void} device
 * @property {(on: boolean) => void} voice
 * @property {(name: string) => void} avatar
 * @property {(omega: number) => void} omega
 * @property {(on: boolean) => void} fade
 */

/** @see the module's description. */
export class View {
  #actions;
  #phase = "idle";
  #noticeKind = null;
  #countdownTimer = null;
  #meterValueMs = 0;
  #video = element("avatar");

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    element("toggle").addEventListener("click", () => (RUNNING.has(this.#phase) ? actions.stop() : actions.start()));
    element("notice-action").addEventListener("click", () => {
      element("toggle").focus(); // this button is about to vanish: keep the keyboard's place
      actions.notice(this.#noticeKind);
    });
    element("microphone").addEventListener("change", ({ target }) => actions.device(target.value));
    element("voice").addEventListener("change", ({ target }) => actions.voice(target.checked));
    element("detail").addEventListener("input", ({ target }) => actions.omega(Number(target.value)));
    element("fade").addEventListener("change", ({ target }) => actions.fade(target.checked));
    element("avatar-chips").addEventListener("change", ({ target }) => actions.avatar(target.value));
  }

  /** @returns {HTMLVideoElement} The avatar's video. */
  get video() {
    return this.#video;
  }

  /**
   * @param {"idle"|"asking"|"connecting"|"live"|"waiting"|"failed"} phase
   */
  showPhase(phase) {
    this.#phase = phase;
    document.body.dataset.phase = phase === "asking" ? "connecting" : phase;
    element("toggle-label").textContent = RUNNING.has(phase) ? "Stop" : "Start";
    element("stage").classList.toggle("dimmed", phase === "connecting" || phase === "waiting");
  }

  /** @param {string} text Announced politely by screen readers. */
  showStatus(text) {
    const status = element("status");
    if (status.textContent !== text) status.textContent = text;
  }

  /**
   * @param {import("./messages.js").Notice|null} notice Null hides it.
   * @param {number|null} [retryInMs] Counts down to the next try.
   */
  showNotice(notice, retryInMs = null) {
    clearInterval(this.#countdownTimer);
    const box = element("notice");
    if (!notice) {
      if (box.contains(document.activeElement)) element("toggle").focus();
      box.hidden = true;
      return;
    }
    const title = element("notice-title");
    const text = element("notice-text");
    // The same failure again is not said again.
    if (box.hidden || title.textContent !== notice.title) {
      title.textContent = notice.title;
      text.textContent = notice.text;
      box.hidden = false;
    }
    const action = element("notice-action");
    action.hidden = !notice.action;
    action.textContent = notice.action?.label ?? "";
    this.#noticeKind = notice.action?.kind ?? null;
    this.#countDown(retryInMs);
  }

  /** The next try is under way: the notice stays until it has succeeded or failed. */
  showTrying() {
    clearInterval(this.#countdownTimer);
    element("countdown").textContent = countdownText(0);
  }

  #countDown(retryInMs) {
    const place = element("countdown");
    if (retryInMs === null) {
      place.textContent = "";
      return;
    }
    const dueMs = performance.now() + retryInMs;
    const tick = () => (place.textContent = countdownText(Math.ceil((dueMs - performance.now()) / 1000)));
    tick();
    this.#countdownTimer = setInterval(tick, COUNTDOWN_INTERVAL_MS);
  }

  /**
   * @param {{id: string, label: string}[]} devices
   * @param {string} selectedId
   */
  showDevices(devices, selectedId) {
    const list = devices.length ? devices : [{ id: "", label: "Default microphone" }];
    const options = list.map(({ id, label }) => new Option(label, id, false, id === selectedId));
    element("microphone").replaceChildren(...options);
  }

  /**
   * One avatar needs no choice, so none is shown.
   * @param {{name: string, title: string, instruction?: string|null}[]} avatars
   * @param {string|null} selectedName
   * @param {(avatar: object) => string|null} poster Address of its still.
   */
  showAvatars(avatars, selectedName, poster) {
    element("avatars").hidden = avatars.length < 2;
    const focused = document.activeElement?.name === "avatar" ? document.activeElement.value : null;
    element("avatar-chips").replaceChildren(...avatars.map((avatar) => styleChoice(avatar, poster(avatar))));
    if (focused !== null) element("avatar-chips").querySelector(`input[value="${CSS.escape(focused)}"]`)?.focus();
    this.selectAvatar(selectedName);
  }

  /** @param {string|null} name */
  selectAvatar(name) {
    for (const input of element("avatar-chips").querySelectorAll("input")) input.checked = input.value === name;
  }

  /** @param {boolean} isThere Whether the avatar shown has detail to choose. */
  showDetail(isThere) {
    element("detail-field").hidden = !isThere;
  }

  /** @param {number} omega 0…1; the slider stays where it is while it is being dragged. */
  setDetail(omega) {
    const slider = element("detail");
    if (!slider.matches(":active")) slider.value = String(omega);
  }

  /** @param {boolean} on Also decides whether the video is heard. */
  showVoice(on) {
    element("voice").checked = on;
    this.#video.muted = !on;
  }

  /** @param {number} position 0…1. */
  showLevel(position) {
    const meter = element("meter");
    meter.style.setProperty("--level", position.toFixed(3));
    const nowMs = performance.now();
    if (position > 0 && nowMs - this.#meterValueMs < METER_VALUE_INTERVAL_MS) return;
    this.#meterValueMs = nowMs;
    meter.setAttribute("aria-valuenow", String(Math.round(position * 100)));
  }

  /** @param {{fps: string, latency: string, skew: string}} texts */
  showFigures(texts) {
    for (const [name, text] of Object.entries(texts)) element(`figure-${name}`).textContent = text;
  }

  /** @param {string} text */
  showPrivacy(text) {
    element("privacy").textContent = text;
  }

  /** @param {string|null} url A still of the avatar; it appears once it is loaded. Null leaves the drawn one. */
  showPoster(url) {
    const poster = element("poster");
    poster.hidden = true;
    if (!url) return poster.removeAttribute("src");
    poster.onload = () => (poster.hidden = false);
    poster.src = url;
  }

  /** Shows the poster. */
  clearPicture() {
    this.#video.srcObject = null;
    element("stage").dataset.picture = "poster";
  }

  /** Keeps the last picture on screen while there is no connection. */
  freezePicture() {
    if (element("stage").dataset.picture !== "live") return;
    const still = element("still");
    still.width = this.#video.videoWidth;
    still.height = this.#video.videoHeight;
    still.getContext("2d").drawImage(this.#video, 0, 0);
    element("stage").dataset.picture = "still";
  }

  /**
   * Plays a stream, once its first picture is there in place of what was shown before.
   * @param {MediaStream} stream
   * @param {{first: () => void, frame: (timeMs: number, presentedFrames: number) => void}} on
   * @returns {Promise<void>} Rejects where the browser does not let it play.
   */
  play(stream, on) {
    const video = this.#video;
    video.srcObject = stream;
    let isFirst = true;
    const showFirst = () => {
      isFirst = false;
      element("stage").dataset.picture = "live";
      on.first();
    };
    const next = (nowMs, { presentedFrames }) => {
      if (video.srcObject !== stream) return;
      if (isFirst) showFirst();
      on.frame(nowMs, presentedFrames);
      video.requestVideoFrameCallback(next);
    };
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(next);
    else video.addEventListener("loadeddata", () => video.srcObject === stream && showFirst(), { once: true });
    return video.play();
  }
}

/** One place on the shelf: the still, or a plain field where there is none, and the name. */
function styleChoice({ name, title, instruction }, poster) {
  const choice = Object.assign(document.createElement("label"), { className: "style", title: instruction ?? "" });
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "avatar", value: name });
  const thumb = document.createElement(poster ? "img" : "span");
  thumb.className = "thumb";
  if (poster) Object.assign(thumb, { src: poster, alt: "", loading: "lazy" });
  const caption = Object.assign(document.createElement("span"), { className: "caption", textContent: title || name });
  choice.append(input, thumb, caption);
  return choice;
}
