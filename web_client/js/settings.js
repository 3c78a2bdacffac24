/**
 * What the page remembers between visits: the microphone, the avatar, its detail, and whether the delayed voice is heard.
 */

const STORAGE_KEY = "visavis.settings";

/**
 * @typedef {object} Settings
 * @property {string} deviceId The microphone's id, "" for the system's default.
 * @property {string|null} avatar An avatar's name, null for the server's default.
 * @property {number|null} omega Detail of an avatar that has a refiner, 0…1; null for the server's default.
 * @property {boolean} voice Whether the user's own delayed voice is heard.
 */

/** @type {Readonly<Settings>} */
export const DEFAULT_SETTINGS = Object.freeze({ deviceId: "", avatar: null, omega: null, voice: true });

/**
 * @param {string|null} text What was stored, possibly by another version of the page.
 * @returns {Settings} Every field present and of its type.
 */
export function parseSettings(text) {
  let stored;
  try {
    stored = JSON.parse(text ?? "{}");
  } catch {
    stored = {}; // another program's text under our key: start afresh
  }
  const { deviceId, avatar, omega, voice } = stored ?? {};
  return {
    deviceId: typeof deviceId === "string" ? deviceId : DEFAULT_SETTINGS.deviceId,
    avatar: typeof avatar === "string" ? avatar : DEFAULT_SETTINGS.avatar,
    omega: typeof omega === "number" && omega >= 0 && omega <= 1 ? omega : DEFAULT_SETTINGS.omega,
    voice: typeof voice === "boolean" ? voice : DEFAULT_SETTINGS.voice,
  };
}

/** @returns {Settings} */
export function loadSettings() {
  try {
    return parseSettings(localStorage.getItem(STORAGE_KEY));
  } catch {
    return { ...DEFAULT_SETTINGS }; // storage is blocked in this browser: the page works, without a memory
  }
}

/** @param {Settings} settings */
export function saveSettings(settings) {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(settings));
  } catch {
    // storage is blocked or full: the settings hold for this visit
  }
}
