/**
 * The panel "Your camera": whether the avatar follows it, and what is straight ahead. DOM only.
 */

import { followText, noticeFor } from "./messages.js";

const element = (id) => document.getElementById(id);

/**
 * @typedef {object} CameraActions
 * @property {(follows: boolean) => Promise<void>} follow Rejects with an error whose `code` is a key of messages.js.
 * @property {() => void} straightAhead
 */

/** @see the module's description. */
export class FollowPanel {
  #actions;
  #isEmotional = true;
  /** Why the camera was let go of, until it is asked for again: the server's "off" that follows does not sweep it away. */
  #failure = "";

  /** @param {CameraActions} actions */
  constructor(actions) {
    this.#actions = actions;
    element("follow").addEventListener("change", ({ target }) => this.#turn(target.checked));
    element("straight-ahead").addEventListener("click", () => actions.straightAhead());
    this.show({ on: false, status: "off", reason: null });
  }

  /** @param {{emotional: boolean}|undefined} avatar The one that is shown, or would be. */
  showAvatar(avatar) {
    this.#isEmotional = avatar?.emotional !== false;
    element("follow-expression").hidden = this.#isEmotional;
  }

  /** @param {{on: boolean, status: string, reason: string|null}} state The server's word. */
  show(state) {
    const follow = element("follow");
    follow.checked = state.on;
    follow.disabled = false;
    element("straight-ahead").disabled = !state.on;
    this.#say(followText(state) || this.#failure);
  }

  /** @param {string} code A key of messages.js: why the camera is not followed any more. */
  showFailure(code) {
    const { title, text } = noticeFor(code);
    this.#failure = `${title}. ${text}`;
    this.show({ on: false, status: "off", reason: null });
  }

  async #turn(follows) {
    this.#failure = "";
    const follow = element("follow");
    follow.disabled = true; // while the browser asks
    try {
      await this.#actions.follow(follows);
      follow.disabled = false;
    } catch (error) {
      this.showFailure(error.code);
    }
  }

  #say(text) {
    const place = element("follow-status");
    if (place.textContent !== text) place.textContent = text;
  }
}
