/**
 * The Record button beside the live picture: the server records, this shows how it stands and where the file is. DOM only.
 */

import { elapsedText, noticeFor, recordingText } from "./messages.js";

const element = (id) => document.getElementById(id);
const LOOK_INTERVAL_MS = 1000;

/**
 * @typedef {object} RecordActions
 * @property {(session: string) => Promise<object>} start
 * @property {(id: string) => Promise<object>} stop
 * @property {(id: string) => Promise<object>} look
 * @property {(path: string) => string} at An address of the server's.
 */

/** @see the module's description. */
export class RecordPanel {
  #actions;
  #session = null;
  /** The server's `RecordingInfo` of the newest recording; null before the first. */
  #recording = null;
  #timer = null;

  /** @param {RecordActions} actions */
  constructor(actions) {
    this.#actions = actions;
    element("record").addEventListener("click", () => this.#press());
  }

  /** @param {string | null} session Id of the live session; null while there is none: a recording ends with its session. */
  showSession(session) {
    this.#session = session;
    this.#render();
  }

  #isRunning() {
    return this.#recording?.state === "running";
  }

  async #press() {
    const button = element("record");
    button.disabled = true;
    await this.#try(() => (this.#isRunning() ? this.#actions.stop(this.#recording.id) : this.#actions.start(this.#session)));
    button.disabled = false;
  }

  /** @param {() => Promise<object>} work Gives a recording as it stands. */
  async #try(work) {
    try {
      this.#recording = await work();
      element("record-complaint").hidden = true;
    } catch (error) {
      if (error.name !== "SessionError") throw error;
      element("record-complaint").textContent = error.detail || noticeFor(error.code).title;
      element("record-complaint").hidden = false;
      if (!this.#isRunning() || error.code === "refused") this.#recording = null; // a server that was started anew knows nothing of it
    }
    this.#render();
  }

  #render() {
    const button = element("record");
    const isRunning = this.#isRunning();
    button.hidden = this.#session === null && !isRunning;
    button.setAttribute("aria-pressed", String(isRunning));
    element("record-label").textContent = isRunning ? "Stop recording" : "Record";
    element("record-time").textContent = isRunning ? elapsedText(this.#recording.seconds) : "";
    this.#renderLast(isRunning ? null : this.#recording);
    clearTimeout(this.#timer);
    if (isRunning) this.#timer = setTimeout(() => this.#try(() => this.#actions.look(this.#recording.id)), LOOK_INTERVAL_MS);
  }

  #renderLast(recording) {
    element("recorded").hidden = !recording;
    if (!recording) return;
    element("recorded-text").textContent = recordingText(recording);
    const link = element("recorded-file");
    link.hidden = !recording.file;
    if (!recording.file) return;
    link.href = this.#actions.at(recording.file);
    link.download = recording.name;
  }
}
