/**
 * Every word the page says about its state: one status line a phase, and one notice a failure. Pure text.
 *
 * A notice says what happened and what to do about it, in that order. Codes are those of the server's errors, of
 * microphone.js and of session.js.
 */

/**
 * @typedef {object} Notice
 * @property {string} title
 * @property {string} text
 * @property {{label: string, kind: "start"|"retry"|"play"}|null} action What the notice's button does.
 */

const TRY_AGAIN = { label: "Try again", kind: "start" };
const TRY_NOW = { label: "Try now", kind: "retry" };

/** @type {Record<string, Notice>} */
const NOTICES = {
  microphone_refused: {
    title: "The microphone is not allowed",
    text: "Click the icon to the left of the page's address, allow the microphone, and try again. If it is allowed there already, look at your system's privacy settings.",
    action: TRY_AGAIN,
  },
  microphone_missing: {
    title: "No microphone found",
    text: "Plug one in or switch it on, then try again.",
    action: TRY_AGAIN,
  },
  microphone_in_use: {
    title: "The microphone is in use",
    text: "Another program holds it. Close that program, or choose another microphone below, then try again.",
    action: TRY_AGAIN,
  },
  microphone_failed: {
    title: "The microphone did not start",
    text: "The browser could not open it. Choose another microphone below, or restart the browser, then try again.",
    action: TRY_AGAIN,
  },
  microphone_lost: {
    title: "The microphone went away",
    text: "It was unplugged or taken by the system. Plug it in or choose another one below, then try again.",
    action: TRY_AGAIN,
  },
  camera_refused: {
    title: "The camera is not allowed",
    text: "Click the icon to the left of the page's address, allow the camera, and try again.",
    action: null,
  },
  camera_missing: {
    title: "No camera found",
    text: "Plug one in or switch it on, then try again.",
    action: null,
  },
  camera_in_use: {
    title: "The camera is in use",
    text: "Another program holds it. Close that program, then try again.",
    action: null,
  },
  camera_failed: {
    title: "The camera did not start",
    text: "The browser could not open it. Restart the browser, then try again.",
    action: null,
  },
  follow_unavailable: {
    title: "A camera cannot be followed on this server",
    text: "Something is missing there; the panel says what.",
    action: null,
  },
  follow_not_live: {
    title: "The avatar is not live yet",
    text: "Press Start first.",
    action: null,
  },
  camera_lost: {
    title: "The camera went away",
    text: "It was unplugged or taken by the system. The avatar moves by itself again.",
    action: null,
  },
  insecure_origin: {
    title: "This address cannot use a microphone",
    text: "Browsers allow one only over https, or on the server's own computer. Open the page with https:// in front, or as http://localhost there.",
    action: null,
  },
  no_webrtc: {
    title: "This browser cannot show live video",
    text: "It lacks WebRTC, or has it switched off. A current Chrome, Edge, Firefox or Safari works.",
    action: null,
  },
  autoplay_blocked: {
    title: "The browser waits for you",
    text: "It does not start the picture or its sound by itself.",
    action: { label: "Play", kind: "play" },
  },
  busy: {
    title: "All seats are taken",
    text: "The server shows as many avatars as it can. Yours starts by itself as soon as a seat is free.",
    action: TRY_NOW,
  },
  lost: {
    title: "The connection was lost",
    text: "Your microphone and settings are kept. The page connects again by itself.",
    action: TRY_NOW,
  },
  stalled: {
    title: "The picture stood still",
    text: "The server sent no new pictures. The page connects again by itself.",
    action: TRY_NOW,
  },
  stopped: {
    title: "The server was stopped",
    text: "As soon as it runs again, the page connects by itself.",
    action: TRY_NOW,
  },
  unreachable: {
    title: "The server does not answer",
    text: "Is it still running? The page keeps trying by itself.",
    action: TRY_NOW,
  },
  no_media_path: {
    title: "Picture and sound do not get through",
    text: "The server answers, but a router, firewall or VPN between it and you lets no UDP pass. Another network may do; whoever runs the server can add a relay (its setting ice_servers). The page keeps trying.",
    action: TRY_NOW,
  },
  no_address: {
    title: "The browser gives no network address away",
    text: "A privacy setting or an extension blocks WebRTC. Allow it for this page. The page keeps trying.",
    action: TRY_NOW,
  },
  no_candidates: {
    title: "The server has no free port for you",
    text: "It found no network address or no free UDP port (its setting ice_ports). The page keeps trying.",
    action: TRY_NOW,
  },
  relay_unreachable: {
    title: "The relay does not answer",
    text: "There is no direct way to the server, and its relay (TURN) was not reached from here. Whoever runs the server can look at the setting ice_servers; over TCP (?transport=tcp) it may get through. The page keeps trying.",
    action: TRY_NOW,
  },
  relay_refused: {
    title: "The relay lets nobody in",
    text: "It (TURN) refused the server's name and password. Whoever runs the server can look at the setting turn_secret, and at the clocks of both. The page keeps trying.",
    action: TRY_NOW,
  },
  no_way_by_relay: {
    title: "The relay does not reach the server",
    text: "You reach the relay (TURN), but nothing comes back from the server through it. Whoever runs both can open the relay's ports for the server. The page keeps trying.",
    action: TRY_NOW,
  },
  internal: {
    title: "Something went wrong on the server",
    text: "Its log says more. The page tries again by itself.",
    action: TRY_NOW,
  },
  unknown_avatar: {
    title: "That avatar is not here any more",
    text: "The page goes on with the server's own choice.",
    action: TRY_NOW,
  },
  unknown_background: {
    title: "That background is not here any more",
    text: "The server was started anew: choose the picture again.",
    action: null,
  },
  unauthorised: {
    title: "The server wants its token",
    text: "Open the complete address it printed when it started: it ends in ?token= and the token.",
    action: TRY_AGAIN,
  },
  bad_sdp: {
    title: "Browser and server found no common video",
    text: "Another browser may work: a current Chrome, Edge, Firefox or Safari.",
    action: TRY_AGAIN,
  },
  bad_message: {
    title: "Page and server do not understand each other",
    text: "They may be of different versions. Reload the page.",
    action: TRY_AGAIN,
  },
  gave_up: {
    title: "The server stayed away",
    text: "The page has stopped trying and let go of the microphone.",
    action: TRY_AGAIN,
  },
  gave_up_busy: {
    title: "No seat came free",
    text: "The page has stopped waiting and let go of the microphone.",
    action: TRY_AGAIN,
  },
};

/**
 * @param {string} code
 * @param {string} [detail] The server's own words: shown where the page has none of its own for the code.
 * @returns {Notice}
 */
export function noticeFor(code, detail = "") {
  return NOTICES[code] ?? { title: "Something went wrong", text: detail || `The server said "${code}".`, action: TRY_AGAIN };
}

/**
 * @param {"idle"|"asking"|"connecting"|"live"|"waiting"|"failed"} phase
 * @param {{code?: string|null, again?: boolean, picture?: boolean}} [situation] `again`: after a loss. `picture`: the first picture is on screen.
 * @returns {string}
 */
export function statusFor(phase, { code = null, again = false, picture = false } = {}) {
  switch (phase) {
    case "asking":
      return "Please allow the microphone.";
    case "connecting":
      return again ? waitingText(code) : "Connecting…"; // a next try is no news: nothing is announced anew
    case "live":
      if (!picture) return "Connected. The picture is coming…";
      return again ? "Live again. Go on speaking." : "Live. Speak, and the avatar speaks.";
    case "waiting":
      return waitingText(code);
    case "failed":
      return "Not connected.";
    default:
      return "Press Start and speak. The avatar says your words as you do.";
  }
}

function waitingText(code) {
  return code === "busy" ? "Waiting for a free seat." : "Not connected. Trying again.";
}

/**
 * @param {string} title The avatar that the server is getting ready.
 * @returns {string}
 */
export function loadingText(title) {
  return `${title} is on the way…`;
}

/**
 * @param {string} title The avatar's.
 * @returns {string} Why the dial cannot be turned.
 */
export function emotionReason(title) {
  return `${title} shows no emotions: it was made without them. What you chose before is kept for a style that does.`;
}

/**
 * @param {{on: boolean, status: string, reason: string|null}} state As the server says it.
 * @returns {string}
 */
export function followText({ status, reason }) {
  switch (status) {
    case "starting":
      return "Look straight ahead for a second…";
    case "following":
      return "The avatar follows you.";
    case "no_face":
      return "No face in the camera's picture: the avatar moves by itself meanwhile.";
    case "no_picture":
      return "No picture comes from the camera.";
    default:
      return reason ? `Not possible on this server: ${reason}.` : "";
  }
}

export const SILENT_MICROPHONE = "No sound from the microphone. Is it muted?";

/**
 * @param {number} seconds Whole seconds until the next try.
 * @returns {string}
 */
export function countdownText(seconds) {
  return seconds > 0 ? `Next try in ${seconds} s` : "Trying now…";
}

/**
 * @param {string} host The server's host and port.
 * @returns {string}
 */
export function privacyText(host) {
  return `Your voice goes only to the server of this page (${host}), and your camera's picture only while the avatar follows it. The voice is recorded only when you press Record, the camera never.`;
}

const STAGES = {
  preparing: "looking at the original",
  rendering: "rendering",
  editing: "editing the pictures",
  head: "learning the head",
  torso: "learning the shoulders",
  patches: "learning the detail",
  "lip patches": "learning the lips",
  "prior pictures": "drawing the model's own pictures",
  "fine-tuning": "teaching the model this face",
  distillation: "learning from the model",
  stopping: "stopping after this step",
};

/**
 * @param {object} edit As the server lists it.
 * @returns {{text: string, isFailure: boolean, buttons: ("cancel"|"resume"|"remove"|"show")[]}}
 */
export function editState(edit) {
  const percent = `${Math.floor(100 * edit.share)} %`;
  switch (edit.state) {
    case "queued":
      return { text: "Waiting for its turn.", isFailure: false, buttons: ["cancel"] };
    case "running": {
      const round = edit.rounds > 1 ? `round ${edit.round} of ${edit.rounds}, ` : "";
      const stage = edit.stage ? `${round}${STAGES[edit.stage] ?? edit.stage}` : "starting";
      const left = edit.eta_s === null || edit.stage === "stopping" ? "" : ` – ${durationText(edit.eta_s)} left`;
      return { text: `${percent}: ${stage}${left}`, isFailure: false, buttons: edit.stage === "stopping" ? [] : ["cancel"] };
    }
    case "done":
      return { text: `Done: ${edit.name} is on the shelf.`, isFailure: false, buttons: ["show", "remove"] };
    case "failed":
      return { text: edit.message || "It failed.", isFailure: true, buttons: ["resume", "remove"] };
    default:
      return { text: `${edit.state === "cancelled" ? "Cancelled" : "Interrupted"} at ${percent}.`, isFailure: false, buttons: ["resume", "remove"] };
  }
}

/**
 * @param {number} seconds
 * @returns {string} Rounded as an estimate deserves.
 */
export function durationText(seconds) {
  if (seconds < 50) return "less than a minute";
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `about ${minutes} min` : `about ${Math.round(minutes / 60)} h`;
}

/**
 * @param {number} seconds
 * @returns {string} Minutes and seconds.
 */
export function elapsedText(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/**
 * @param {{state: string, seconds: number, n_bytes: number, reason: ?string, file: ?string}} recording One that has ended.
 * @returns {string}
 */
export function recordingText({ state, seconds, n_bytes: bytes, reason, file }) {
  const amount = file ? `Recorded ${elapsedText(seconds)}, ${(bytes / 1e6).toFixed(1)} MB.` : "Nothing was recorded.";
  if (!reason) return amount;
  return state === "failed" ? `The recording broke off: ${reason}. ${amount}` : `The recording ended: ${reason}. ${amount}`;
}

/**
 * @param {{state: string, camera: ?string, microphone: ?string, session: ?string, privacy: boolean, reason: ?string}} camera
 * @param {boolean} isLive Whether there is a session that it could show.
 * @returns {string}
 */
export function cameraText({ state, camera, microphone, session, privacy, reason }, isLive) {
  if (state === "off") return reason ? `Not possible yet: ${reason}.` : isLive ? "Off." : "Press Start first.";
  if (state === "opening") return "Opening …";
  if (state === "waiting") return `It is opened again in a moment: ${reason}.`;
  if (privacy) return "Privacy: others see a still and hear nothing.";
  const choose = `In the other program choose the camera “${camera}” and the microphone “${microphone}”.`;
  return session ? choose : `${choose} It stands still until you press Start.`;
}

/**
 * @param {string} name Of a preset.
 * @param {{rounds?: number, frames?: number}} numbers
 * @returns {string}
 */
export function effortText(name, { rounds, frames }) {
  const title = name.charAt(0).toUpperCase() + name.slice(1);
  const parts = [rounds && `${rounds} ${rounds === 1 ? "round" : "rounds"}`, frames && `${frames} frames`].filter(Boolean);
  return parts.length ? `${title} (${parts.join(", ")})` : title;
}

const NOTHING = "–";
/** Beyond this the browser's estimate has lost its footing (few pictures, few sender reports): no number is shown. */
const CREDIBLE_SKEW_MS = 2000;

/**
 * @param {{fps: number|null, latencyMs: number|null, skewMs: number|null}} figures
 * @returns {{fps: string, latency: string, skew: string}} As shown.
 */
export function figureTexts({ fps, latencyMs, skewMs }) {
  return {
    fps: fps === null ? NOTHING : fps.toFixed(1),
    latency: latencyMs === null ? NOTHING : `${Math.round(latencyMs)} ms`,
    skew: skewMs === null ? NOTHING : skewText(Math.round(skewMs)),
  };
}

function skewText(skewMs) {
  if (Math.abs(skewMs) > CREDIBLE_SKEW_MS) return "over 2 s";
  const sign = skewMs > 0 ? "+" : skewMs < 0 ? "−" : "";
  return `${sign}${Math.abs(skewMs)} ms`;
}
