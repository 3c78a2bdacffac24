/**
 * The panel "Emotion": the dial, its strength, and whether the voice moves it. DOM only.
 *
 * Strength is 0…1 as in the control message `set`; the slider shows it in per cent. The panel keeps what was chosen while an avatar
 * without emotions is shown, as the server does.
 */

import { emotionReason } from "./messages.js";

const element = (id) => document.getElementById(id);
/** Messages a second while the strength is dragged; the first goes at once, and the server moves smoothly between them. */
const SEND_INTERVAL_MS = 50;
const NEUTRAL = "neutral";
/** After a change of one's own the server's answers to earlier ones are still on their way. */
const OWN_CHANGE_MS = 1000;

/**
 * @typedef {object} EmotionActions
 * @property {(emotion: {category: string, strength: number}) => void} emotion
 * @property {(followsVoice: boolean) => void} auto
 */

/** @see the module's description. */
export class EmotionPanel {
  #actions;
  #category = NEUTRAL;
  #timer = null;
  #isWaiting = false;
  #isEmotional = false;
  #changedMs = -Infinity;

  /** @param {EmotionActions} actions */
  constructor(actions) {
    this.#actions = actions;
    element("emotions").addEventListener("change", ({ target }) => this.#choose(target.value));
    element("emotion-strength").addEventListener("input", () => this.#turn());
    element("emotion-auto").addEventListener("change", ({ target }) => {
      this.#changedMs = performance.now();
      this.#show();
      actions.auto(target.checked);
    });
    this.#show();
  }

  /** @param {{title: string, emotional: boolean}|undefined} avatar The one that is shown, or would be. */
  showAvatar(avatar) {
    this.#isEmotional = avatar?.emotional === true;
    const reason = element("emotion-reason");
    reason.hidden = this.#isEmotional || !avatar;
    reason.textContent = reason.hidden ? "" : emotionReason(avatar.title);
    this.#show();
  }

  /**
   * What the server says is set, by this page or by another way (a program, the control channel).
   * @param {{emotion: {category: string, strength: number}, emotion_auto: boolean}} state
   */
  showState({ emotion, emotion_auto: followsVoice }) {
    if (performance.now() - this.#changedMs < OWN_CHANGE_MS || element("emotion-strength").matches(":active")) return;
    this.#category = emotion.category;
    element("emotions").querySelector(`[value="${emotion.category}"]`).checked = true;
    if (emotion.category !== NEUTRAL) element("emotion-strength").value = String(emotion.strength);
    element("emotion-auto").checked = followsVoice;
    this.#show();
  }

  #choose(category) {
    this.#category = category;
    this.#show();
    this.#send();
  }

  #turn() {
    this.#show();
    if (this.#timer) {
      this.#isWaiting = true;
      return;
    }
    this.#send();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#isWaiting) this.#turn();
    }, SEND_INTERVAL_MS);
  }

  #send() {
    this.#isWaiting = false;
    this.#changedMs = performance.now();
    const isNeutral = this.#category === NEUTRAL;
    this.#actions.emotion({ category: this.#category, strength: isNeutral ? 0 : Number(element("emotion-strength").value) });
  }

  #show() {
    const followsVoice = element("emotion-auto").checked;
    element("emotion-auto").disabled = !this.#isEmotional;
    element("emotions").disabled = !this.#isEmotional || followsVoice;
    element("emotion-strength").disabled = !this.#isEmotional || followsVoice || this.#category === NEUTRAL;
    const percent = `${Math.round(100 * Number(element("emotion-strength").value))} %`;
    element("emotion-strength").setAttribute("aria-valuetext", percent);
    element("emotion-strength-value").textContent = percent;
  }
}
