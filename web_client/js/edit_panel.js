/**
 * The panel "New style": the instruction, and the edits that wait, run or have ended. DOM only.
 */

import { editState, effortText, noticeFor } from "./messages.js";

const element = (id) => document.getElementById(id);
const IDEAS_SHOWN = 8;
const OTHER_MODEL = "other";
const EDITORS = { builtin: "Built in (no download)", ip2p: "InstructPix2Pix", [OTHER_MODEL]: "Another InstructPix2Pix model…" };
const STRATEGIES = { progressive: "Progressive (the paper's)", "one-time": "One-time", iterative: "Iterative (Instruct-NeRF2NeRF)" };

/** Edits that ended well are on the shelf; so many of the newest are still named here. */
const DONE_SHOWN = 1;

/**
 * @typedef {object} EditActions
 * @property {(wish: object) => Promise<object>} order
 * @property {(id: string) => Promise<object>} remove
 * @property {(id: string) => Promise<object>} resume
 * @property {(name: string) => void} show Shows a finished style.
 * @property {(path: string) => string} at An address of the server's.
 */

/** @see the module's description. */
export class EditPanel {
  #actions;
  #source = null;
  #isReady = false;

  /** @param {EditActions} actions */
  constructor(actions) {
    this.#actions = actions;
    element("edit-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try(async () => {
        await actions.order(this.#wish());
        element("instruction").value = "";
      });
    });
    element("strength").addEventListener("input", () => this.#showStrength());
    element("editor").addEventListener("change", () => this.#showModel());
    element("jobs").addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button) this.#try(() => this.#act(button.dataset.action, button.closest("li").dataset));
    });
    this.#showStrength();
  }

  /** @param {object} options The server's `EditOptions`. */
  showOptions({ available, reason, editors, strategies, presets, instructions }) {
    element("edit-form").hidden = !available;
    const place = element("edit-reason");
    place.hidden = available;
    place.textContent = available ? "" : `Styles cannot be made here: ${reason}.`;
    if (!available) return;
    fill("editor", [...editors, OTHER_MODEL], EDITORS);
    fill("strategy", strategies, STRATEGIES);
    fill("preset", Object.keys(presets), Object.fromEntries(Object.entries(presets).map(([name, numbers]) => [name, effortText(name, numbers)])));
    if ("standard" in presets) element("preset").value = "standard";
    this.#isReady = true;
    this.#showReady();
    this.#showModel();
    element("ideas").replaceChildren(...pick(instructions, IDEAS_SHOWN).map(ideaButton));
  }

  /**
   * @param {{title: string, name: string, editable?: boolean}|undefined} avatar That an edit begins with.
   */
  showSource(avatar) {
    this.#source = avatar?.name ?? null;
    this.#showReady();
    element("edit-source").textContent = avatar ? `Begins with ${avatar.title || avatar.name}.` : "";
  }

  /** @param {object[]} edits The server's list, newest first. */
  showEdits(edits) {
    let done = 0;
    const shown = edits.filter((edit) => edit.state !== "done" || ++done <= DONE_SHOWN);
    const list = element("jobs");
    const known = new Map([...list.children].map((item) => [item.dataset.id, item]));
    // Items are changed in place, so that a button under the finger or the keyboard's place is not swept away.
    list.replaceChildren(...shown.map((edit) => this.#item(known.get(edit.id) ?? newItem(edit.id), edit)));
  }

  #item(item, edit) {
    const { text, isFailure, buttons } = editState(edit);
    const [title, state] = item.querySelectorAll("p");
    const [progress, picture, row] = [item.querySelector("progress"), item.querySelector("img"), item.querySelector(".job-row")];
    item.dataset.name = edit.name;
    title.textContent = `“${edit.instruction}”`;
    if (state.textContent !== text) state.textContent = text;
    state.classList.toggle("job-failed", isFailure);
    progress.hidden = !["queued", "running"].includes(edit.state);
    progress.value = edit.share;
    picture.hidden = !edit.preview;
    const address = edit.preview && this.#actions.at(edit.preview);
    if (address && picture.getAttribute("src") !== address) picture.src = address;
    if (row.dataset.buttons !== buttons.join()) {
      row.dataset.buttons = buttons.join();
      row.replaceChildren(...buttons.map((action) => actionButton(action, edit)));
    }
    return item;
  }

  #wish() {
    const number = (id) => (element(id).value === "" ? null : Number(element(id).value));
    const editor = element("editor").value;
    return {
      avatar: this.#source,
      instruction: element("instruction").value,
      name: element("style-name").value.trim() || null,
      editor: editor === OTHER_MODEL ? element("model").value.trim() : editor,
      strength: Number(element("strength").value),
      preset: element("preset").value,
      strategy: element("strategy").value,
      rounds: number("rounds"),
      frames: number("frames"),
      seed: number("seed") ?? 0,
    };
  }

  async #act(action, { id, name }) {
    if (action === "show") this.#actions.show(name);
    else if (action === "resume") await this.#actions.resume(id);
    else await this.#actions.remove(id);
  }

  /** Does something that the server may refuse, and shows its words. */
  async #try(action) {
    const place = element("edit-complaint");
    place.hidden = true;
    try {
      await action();
    } catch (error) {
      place.textContent = error.detail || noticeFor(error.code).title;
      place.hidden = false;
    }
  }

  /** Before the server has said what it can do there is nothing to ask for. */
  #showReady() {
    element("edit-start").disabled = !this.#isReady || this.#source === null;
  }

  #showStrength() {
    element("strength-value").textContent = `${Math.round(100 * element("strength").value)} %`;
  }

  #showModel() {
    const isOther = element("editor").value === OTHER_MODEL;
    element("model-field").hidden = !isOther;
    element("model").required = isOther;
  }
}

const ACTIONS = { cancel: "Cancel", resume: "Go on", remove: "Remove", show: "Show" };

function actionButton(action, edit) {
  const button = Object.assign(document.createElement("button"), { className: "button quiet", type: "button", textContent: ACTIONS[action] });
  button.dataset.action = action;
  button.setAttribute("aria-label", `${ACTIONS[action]}: ${edit.instruction}`);
  return button;
}

function newItem(id) {
  const item = Object.assign(document.createElement("li"), { className: "job" });
  item.dataset.id = id;
  const [title, state] = [document.createElement("p"), document.createElement("p")];
  title.className = "job-title";
  state.className = "job-state";
  const progress = Object.assign(document.createElement("progress"), { max: 1 });
  progress.setAttribute("aria-label", "Progress");
  const picture = Object.assign(document.createElement("img"), { alt: "Preview: above the original, below the edit", hidden: true });
  const row = Object.assign(document.createElement("div"), { className: "job-row" });
  item.append(title, state, progress, picture, row);
  return item;
}

function fill(id, values, words) {
  element(id).replaceChildren(...values.map((value) => new Option(words[value] ?? value, value)));
}

/** Some of a list, spread over all of it. */
function pick(list, count) {
  if (list.length <= count) return list;
  return Array.from({ length: count }, (_, k) => list[Math.floor((k * list.length) / count)]);
}

function ideaButton({ example, changes }) {
  const button = Object.assign(document.createElement("button"), { className: "idea", type: "button", textContent: example, title: `Changes: ${changes}` });
  button.addEventListener("click", () => {
    element("instruction").value = example;
    element("instruction").focus();
  });
  return button;
}
