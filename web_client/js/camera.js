/**
 * The user's camera, for an avatar that follows it: asked for when it is wanted, let go of when it is not.
 *
 * Small and slow is enough: the server looks for one face. The picture is shown nowhere.
 */

export const CAMERA_CONSTRAINTS = Object.freeze({
  width: { ideal: 320 },
  height: { ideal: 240 },
  frameRate: { ideal: 25, max: 30 },
  facingMode: "user",
});

/** A camera that cannot be had; `code` is a key of messages.js. */
export class CameraError extends Error {
  /**
   * @param {string} code
   * @param {unknown} [cause]
   */
  constructor(code, cause) {
    super(code, { cause });
    this.name = "CameraError";
    this.code = code;
  }
}

/** Names of the browser's own errors, and what they mean to the user. */
const CODE_BY_ERROR_NAME = {
  NotAllowedError: "camera_refused",
  SecurityError: "camera_refused",
  NotFoundError: "camera_missing",
  OverconstrainedError: "camera_missing",
  NotReadableError: "camera_in_use",
  AbortError: "camera_in_use",
};

/**
 * @param {unknown} error What `getUserMedia` threw.
 * @returns {string} A key of messages.js.
 */
export function codeOfCameraError(error) {
  return CODE_BY_ERROR_NAME[error?.name] ?? "camera_failed";
}

/** Event: `lost` when the camera in use goes away. */
export class Camera extends EventTarget {
  #stream = null;

  /** @returns {MediaStreamTrack|null} */
  get track() {
    return this.#stream?.getVideoTracks()[0] ?? null;
  }

  /**
   * Asks for the camera.
   * @returns {Promise<MediaStreamTrack>}
   */
  async open() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: CAMERA_CONSTRAINTS });
    } catch (error) {
      throw new CameraError(codeOfCameraError(error), error);
    }
    this.close();
    this.#stream = stream;
    // A face needs no detail: where the connection is narrow, rather coarse than late.
    this.track.contentHint = "motion";
    // Fires when the device is unplugged or taken away, not when close() stops the track.
    this.track.addEventListener("ended", () => this.#stream === stream && this.dispatchEvent(new Event("lost")));
    return this.track;
  }

  /** Lets go of the camera: its light goes out. */
  close() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
  }
}
