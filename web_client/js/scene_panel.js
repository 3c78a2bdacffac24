/**
 * The panel "View and background", and the picture as a thing to take hold of. DOM only.
 *
 * Angles are in degrees, as in the control message `set`: yaw turns the face to the right, pitch down.
 */

const element = (id) => document.getElementById(id);
/** As far as the server allows. */
const MAX_YAW_DEG = 25;
const MAX_PITCH_DEG = 12;
const MAX_ZOOM = 2;
/** A drag over the whole picture turns by so much. */
const DEGREES_A_PICTURE = 70;
const KEY_STEP_DEG = 3;
const KEY_STEP_ZOOM = 0.1;
const WHEEL_ZOOM = 0.0015;
/** Messages a second while something is dragged; the server eases between them. */
const SEND_INTERVAL_MS = 50;
const GREEN = "#00b140";
const FRONT = Object.freeze({ yaw_deg: 0, pitch_deg: 0, zoom: 1 });

const HINTS = {
  original: "",
  green: "Live video over WebRTC has no transparency. This is the chroma key's green (#00b140): key it out in your video program.",
  colour: "",
  picture: "PNG, JPEG or WebP, up to 12 MB. It is cropped to the frame and kept by the server until that ends.",
};

/**
 * @typedef {object} SceneActions
 * @property {(view: {yaw_deg: number, pitch_deg: number, zoom: number}) => void} view
 * @property {(background: string) => void} background
 * @property {(file: File) => Promise<string>} upload
 */

/** @see the module's description. */
export class ScenePanel {
  #actions;
  #view = { ...FRONT };
  #timer = null;
  #fingers = new Map();
  #kind = "original";

  /** @param {SceneActions} actions */
  constructor(actions) {
    this.#actions = actions;
    const table = element("turntable");
    table.addEventListener("pointerdown", (event) => this.#grasp(event));
    table.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"]) table.addEventListener(end, ({ pointerId }) => this.#fingers.delete(pointerId));
    table.addEventListener("dblclick", () => this.#look(FRONT));
    const turnWheel = (event) => {
      event.preventDefault();
      this.#look({ zoom: this.#view.zoom * Math.exp(-event.deltaY * WHEEL_ZOOM) });
    };
    table.addEventListener("wheel", turnWheel, { passive: false });
    table.addEventListener("keydown", (event) => this.#press(event));
    element("zoom").addEventListener("input", ({ target }) => this.#look({ zoom: Number(target.value) }));
    element("view-reset").addEventListener("click", () => this.#look(FRONT));
    element("backgrounds").addEventListener("change", ({ target }) => this.#choose(target));
    // Asked for again, "Picture…" opens the choice again: a radio button alone would say nothing.
    element("backgrounds").addEventListener("click", ({ target }) => target.value === "picture" && element("background-file").click());
    element("background-file").addEventListener("change", ({ target }) => this.#upload(target));
    element("background-file").addEventListener("cancel", () => this.#showBackground(this.#kind));
  }

  /** @param {boolean} isLive Only a live picture can be turned. */
  showLive(isLive) {
    element("turntable").hidden = !isLive;
  }

  /** The background is not there (any more): back to the avatar's own. */
  resetBackground() {
    this.#showBackground("original");
  }

  #grasp(event) {
    event.target.setPointerCapture(event.pointerId);
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  }

  #drag(event) {
    const before = this.#fingers.get(event.pointerId);
    if (!before) return;
    const here = { x: event.clientX, y: event.clientY };
    const other = [...this.#fingers].find(([id]) => id !== event.pointerId)?.[1];
    this.#fingers.set(event.pointerId, here);
    if (other) {
      const spread = (finger) => Math.max(1, Math.hypot(finger.x - other.x, finger.y - other.y));
      return this.#look({ zoom: (this.#view.zoom * spread(here)) / spread(before) });
    }
    const degrees = DEGREES_A_PICTURE / element("turntable").clientWidth;
    this.#look({
      yaw_deg: this.#view.yaw_deg + (here.x - before.x) * degrees,
      pitch_deg: this.#view.pitch_deg + (here.y - before.y) * degrees,
    });
  }

  #press(event) {
    const { yaw_deg: yaw, pitch_deg: pitch, zoom } = this.#view;
    const change = {
      ArrowLeft: { yaw_deg: yaw - KEY_STEP_DEG },
      ArrowRight: { yaw_deg: yaw + KEY_STEP_DEG },
      ArrowUp: { pitch_deg: pitch - KEY_STEP_DEG },
      ArrowDown: { pitch_deg: pitch + KEY_STEP_DEG },
      "+": { zoom: zoom + KEY_STEP_ZOOM },
      "=": { zoom: zoom + KEY_STEP_ZOOM },
      "-": { zoom: zoom - KEY_STEP_ZOOM },
      0: FRONT,
      Home: FRONT,
    }[event.key];
    if (!change || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#look(change);
  }

  #look(change) {
    const wish = { ...this.#view, ...change };
    this.#view = {
      yaw_deg: clamp(wish.yaw_deg, -MAX_YAW_DEG, MAX_YAW_DEG),
      pitch_deg: clamp(wish.pitch_deg, -MAX_PITCH_DEG, MAX_PITCH_DEG),
      zoom: clamp(wish.zoom, 1, MAX_ZOOM),
    };
    element("zoom").value = String(this.#view.zoom);
    element("zoom-value").textContent = `${this.#view.zoom.toFixed(1)}×`;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#actions.view(this.#view);
    }, SEND_INTERVAL_MS);
  }

  #choose(input) {
    if (input.id === "colour") return this.#set(input.value, "colour");
    if (input.name !== "background" || input.value === "picture") return;
    const background = { original: "original", green: GREEN, colour: element("colour").value }[input.value];
    this.#set(background, input.value);
  }

  async #upload(input) {
    const [file] = input.files;
    input.value = ""; // the same file can be chosen again
    if (!file) return;
    const hint = element("background-hint");
    hint.textContent = "The picture is on its way…";
    try {
      this.#set(await this.#actions.upload(file), "picture");
    } catch (error) {
      this.resetBackground();
      this.#actions.background("original");
      hint.textContent = error.detail || "The picture could not be sent.";
    }
  }

  #set(background, kind) {
    this.#showBackground(kind);
    this.#actions.background(background);
  }

  #showBackground(kind) {
    this.#kind = kind;
    for (const input of element("backgrounds").querySelectorAll("[name=background]")) input.checked = input.value === kind;
    element("colour-field").hidden = kind !== "colour";
    element("background-hint").textContent = HINTS[kind];
  }
}

function clamp(value, least, most) {
  return Math.min(most, Math.max(least, value));
}
