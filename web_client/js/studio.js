/**
 * The shelf, the edits and the backgrounds of the server, over HTTP. No DOM.
 *
 * Events, each a CustomEvent: `shelf` ({avatars, default_avatar, edits}: at once, and whenever something changes, in
 * every page that is open). The browser renews a lost stream by itself.
 */

import { SessionError } from "./signalling.js";

/** @see the module's description. */
export class Studio extends EventTarget {
  #where;
  #source = null;

  /** @param {import("./signalling.js").Endpoints} where */
  constructor(where) {
    super();
    this.#where = where;
  }

  /** Listens to the shelf until the page is closed. */
  listen() {
    this.#source?.close();
    this.#source = new EventSource(this.#where.at("api/events"));
    this.#source.addEventListener("shelf", ({ data }) => this.dispatchEvent(new CustomEvent("shelf", { detail: JSON.parse(data) })));
  }

  close() {
    this.#source?.close();
    this.#source = null;
  }

  /** @returns {Promise<object>} What an edit can be asked for here. */
  options() {
    return this.#ask("GET", "api/edits/options");
  }

  /**
   * @param {object} wish See `EditOrder` in the server's `/docs`.
   * @returns {Promise<object>} The edit as it stands.
   */
  order(wish) {
    return this.#ask("POST", "api/edits", JSON.stringify(wish), "application/json");
  }

  /** Cancels an edit that waits or runs; removes one that has ended. @param {string} id */
  remove(id) {
    return this.#ask("DELETE", `api/edits/${id}`);
  }

  /** @param {string} id */
  resume(id) {
    return this.#ask("POST", `api/edits/${id}/resume`);
  }

  /** Records a session on the server. @param {string} session Its id. @returns {Promise<object>} The recording as it stands. */
  record(session) {
    return this.#ask("POST", "api/recordings", JSON.stringify({ session, format: "mp4" }), "application/json");
  }

  /** @param {string} id @returns {Promise<object>} The recording as it stands. */
  recording(id) {
    return this.#ask("GET", `api/recordings/${id}`);
  }

  /** @param {string} id @returns {Promise<object>} The recording, whole. */
  stopRecording(id) {
    return this.#ask("DELETE", `api/recordings/${id}`);
  }

  /** @returns {Promise<object>} How the server's virtual camera stands. */
  camera() {
    return this.#ask("GET", "api/camera");
  }

  /** Shows a session through the virtual camera. @param {string} session Its id. @returns {Promise<object>} The camera as it stands. */
  beginCamera(session) {
    return this.#ask("POST", "api/camera", JSON.stringify({ session }), "application/json");
  }

  /** @param {{privacy?: boolean, delay_ms?: ?number}} change @returns {Promise<object>} The camera as it stands. */
  changeCamera(change) {
    return this.#ask("PATCH", "api/camera", JSON.stringify(change), "application/json");
  }

  /** @returns {Promise<object>} The camera, off. */
  endCamera() {
    return this.#ask("DELETE", "api/camera");
  }

  /**
   * @param {Blob} picture
   * @returns {Promise<string>} What the server calls it.
   */
  async upload(picture) {
    return (await this.#ask("POST", "api/backgrounds", picture, "application/octet-stream")).id;
  }

  /** @throws {SessionError} With the server's own words as `detail`. */
  async #ask(method, path, body, type) {
    let response;
    try {
      response = await fetch(this.#where.at(path), { method, body, headers: type ? { "Content-Type": type } : {} });
    } catch {
      throw new SessionError("unreachable");
    }
    if (response.ok) return response.json();
    const { detail } = await response.json().catch(() => ({}));
    if (response.status === 401) throw new SessionError("unauthorised", detail);
    throw new SessionError("refused", typeof detail === "string" ? detail : `The server answered ${response.status}.`);
  }
}
