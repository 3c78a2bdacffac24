/**
 * The panel "Virtual camera", where the server is on this machine: on and off, privacy, and the delay of picture and voice. DOM only.
 */

import { cameraText, noticeFor } from "./messages.js";

const element = (id) => document.getElementById(id);
const LOOK_INTERVAL_MS = 2000;
const PRIVACY_KEY = "p";
/** Keys typed here are text, or mean something else. */
const TYPING = "input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select, [contenteditable]";

/**
 * @typedef {object} CameraActions Each gives the server's `CameraInfo` as it stands then.
 * @property {() => Promise<object>} look
 * @property {(session: string) => Promise<object>} begin
 * @property {() => Promise<object>} end
 * @property {(change: {privacy?: boolean, delay_ms?: ?number}) => Promise<object>} change
 */

/** @see the module's description. */
export class VirtualCameraPanel {
  #actions;
  #session = null;
  /** `CameraInfo`; null until the server has said that there can be one. */
  #info = null;
  #timer = null;
  #isBusy = false;
  /** Counts what was asked for: an answer to a look from before is out of date. */
  #asked = 0;

  /** @param {CameraActions} actions */
  constructor(actions) {
    this.#actions = actions;
    element("camera").addEventListener("change", () => this.#switch());
    element("camera-privacy").addEventListener("click", () => this.#togglePrivacy());
    element("camera-delay").addEventListener("input", () => this.#showDelay(Number(element("camera-delay").value)));
    element("camera-delay").addEventListener("change", () => this.#change({ delay_ms: Number(element("camera-delay").value) }));
    element("camera-delay-auto").addEventListener("click", () => this.#change({ delay_ms: null }));
    document.addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() !== PRIVACY_KEY || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      if (event.target.closest?.(TYPING) || !this.#isOn() || this.#isBusy) return;
      event.preventDefault();
      this.#togglePrivacy();
    });
  }

  /** Asks the server once whether it can be a camera; where it is not on this machine, the panel stays away. */
  async open() {
    try {
      this.#info = await this.#actions.look();
    } catch (error) {
      if (error.name !== "SessionError") throw error; // an older server: no panel
      return;
    }
    element("camera-panel").hidden = !this.#info.here;
    this.#render();
  }

  /** @param {string | null} session Id of the live session; null while there is none. */
  showSession(session) {
    this.#session = session;
    this.#render();
  }

  #isOn() {
    return this.#info !== null && this.#info.state !== "off";
  }

  #switch() {
    if (element("camera").checked) this.#try(() => this.#actions.begin(this.#session));
    else this.#try(() => this.#actions.end());
  }

  #togglePrivacy() {
    this.#change({ privacy: !this.#info.privacy });
  }

  #change(change) {
    this.#try(() => this.#actions.change(change));
  }

  /** @param {() => Promise<object>} work Gives the camera as it stands. */
  async #try(work) {
    this.#isBusy = true;
    this.#asked += 1;
    this.#render();
    try {
      this.#info = await work();
      element("camera-complaint").hidden = true;
    } catch (error) {
      if (error.name !== "SessionError") throw error;
      element("camera-complaint").textContent = error.detail || noticeFor(error.code).title;
      element("camera-complaint").hidden = false;
    } finally {
      this.#isBusy = false;
      this.#render();
    }
  }

  async #look() {
    const asked = this.#asked;
    try {
      const info = await this.#actions.look();
      if (asked !== this.#asked) return;
      this.#info = info;
    } catch (error) {
      if (error.name !== "SessionError") throw error; // the server is away for a moment; the session's own notice says so
    }
    this.#render();
  }

  #render() {
    if (this.#info === null) return;
    const isOn = this.#isOn();
    const box = element("camera");
    if (!this.#isBusy) box.checked = isOn;
    box.disabled = this.#isBusy || (!isOn && this.#session === null);
    element("camera-text").textContent = cameraText(this.#info, this.#session !== null);
    element("camera-remark").textContent = isOn ? this.#info.remarks.join(" ") : "";
    element("camera-controls").hidden = !isOn;
    element("camera-privacy").setAttribute("aria-pressed", String(isOn && this.#info.privacy));
    const slider = element("camera-delay");
    if (isOn && this.#info.delay_ms !== null && document.activeElement !== slider) {
      slider.min = String(this.#info.least_delay_ms);
      slider.value = String(this.#info.delay_ms);
      this.#showDelay(this.#info.delay_ms);
    }
    element("camera-delay-auto").disabled = !this.#info.holds_delay;
    clearTimeout(this.#timer);
    if (isOn && !this.#isBusy) this.#timer = setTimeout(() => this.#look(), LOOK_INTERVAL_MS);
  }

  #showDelay(delayMs) {
    element("camera-delay-value").textContent = `${Math.round(delayMs)} ms`;
  }
}
