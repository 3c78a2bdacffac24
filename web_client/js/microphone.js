/**
 * The microphone: asking for it, listing the choices, changing it while it is in use.
 *
 * Echo cancellation is on because the page plays the user's own voice back a moment later, and without headphones
 * that returns to the microphone. Noise suppression and automatic gain are on because the avatar's lips follow the
 * clean, evenly loud voice best. One channel: the server listens in mono.
 */

export const VOICE_CONSTRAINTS = Object.freeze({
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  channelCount: 1,
});

/** A microphone that cannot be had; `code` is a key of messages.js. */
export class MicrophoneError extends Error {
  /**
   * @param {string} code
   * @param {unknown} [cause]
   */
  constructor(code, cause) {
    super(code, { cause });
    this.name = "MicrophoneError";
    this.code = code;
  }
}

/** Names of the browser's own errors, and what they mean to the user. */
const CODE_BY_ERROR_NAME = {
  NotAllowedError: "microphone_refused",
  SecurityError: "microphone_refused",
  NotFoundError: "microphone_missing",
  OverconstrainedError: "microphone_missing",
  NotReadableError: "microphone_in_use",
  AbortError: "microphone_in_use",
};

/**
 * @param {unknown} error What `getUserMedia` threw.
 * @returns {string} A key of messages.js.
 */
export function codeOfError(error) {
  return CODE_BY_ERROR_NAME[error?.name] ?? "microphone_failed";
}

/** Events: `devices` when the list changes, `lost` when the one in use goes away. */
export class Microphone extends EventTarget {
  /** @type {MediaStream|null} */
  stream = null;

  constructor() {
    super();
    navigator.mediaDevices?.addEventListener("devicechange", () => this.dispatchEvent(new Event("devices")));
  }

  /** @returns {MediaStreamTrack|null} */
  get track() {
    return this.stream?.getAudioTracks()[0] ?? null;
  }

  /** @returns {string} The id of the microphone in use, "" without one. */
  get deviceId() {
    return this.track?.getSettings().deviceId ?? "";
  }

  /**
   * Asks for a microphone and lets go of the one before.
   * @param {string} deviceId The wanted one; "" for the system's default.
   * @param {boolean} [exact] True: that one or an error. False: another one where it is gone.
   * @returns {Promise<MediaStreamTrack>}
   */
  async open(deviceId, exact = false) {
    const wanted = deviceId ? { deviceId: exact ? { exact: deviceId } : { ideal: deviceId } } : {};
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { ...VOICE_CONSTRAINTS, ...wanted } });
    } catch (error) {
      throw new MicrophoneError(codeOfError(error), error);
    }
    this.close();
    this.stream = stream;
    // Fires when the device is unplugged or taken away, not when close() stops the track.
    this.track.addEventListener("ended", () => this.stream === stream && this.dispatchEvent(new Event("lost")));
    this.dispatchEvent(new Event("devices"));
    return this.track;
  }

  /** Lets go of the microphone: the browser's recording sign goes out. */
  close() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
  }

  /**
   * @returns {Promise<{id: string, label: string}[]>} The microphones; their names are known only once allowed.
   */
  async list() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    const inputs = devices.filter((device) => device.kind === "audioinput" && device.deviceId);
    return inputs.map((device, index) => ({ id: device.deviceId, label: device.label || `Microphone ${index + 1}` }));
  }
}
