/**
 * The microphone's level. RMS of the last 43 ms, 20 times a second, as dBFS mapped to 0…1.
 *
 * It reads an AnalyserNode in place of an AudioWorklet: nothing is lost by missing a block, and no audio thread
 * code is needed. 20 readings a second are smooth to the eye and spare a software-rendered browser.
 */

const BLOCK_SAMPLES = 2048;
const INTERVAL_MS = 50;
/** The meter's empty end: quieter than any room. */
const FLOOR_DBFS = -60;
/** The meter's full end: loud speech stays just below it. */
const CEILING_DBFS = -10;
/** Share of a fall taken in one reading; rises are taken whole. */
const RELEASE = 0.3;
/** Below this the microphone delivers nothing but zeros: muted in hardware or in the system. */
const SILENCE_DBFS = -100;

/**
 * @param {Float32Array} samples In −1…1.
 * @returns {number} dBFS, −Infinity of digital silence.
 */
export function rmsDbfs(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return 10 * Math.log10(sum / samples.length);
}

/**
 * @param {number} dbfs
 * @returns {number} 0…1 along the meter.
 */
export function meterPosition(dbfs) {
  return Math.min(1, Math.max(0, (dbfs - FLOOR_DBFS) / (CEILING_DBFS - FLOOR_DBFS)));
}

/** Reads a microphone track's level and reports it. */
export class LevelMeter {
  #onLevel;
  #context = null;
  #source = null;
  #analyser = null;
  #timer = null;
  #position = 0;
  #silentSinceMs = null;
  #samples = new Float32Array(BLOCK_SAMPLES);

  /** @param {(position: number, silentMs: number) => void} onLevel Meter position in 0…1, and for how long the microphone has delivered nothing. */
  constructor(onLevel) {
    this.#onLevel = onLevel;
  }

  /**
   * Follows another stream; the meter keeps running.
   * @param {MediaStream} stream
   */
  attach(stream) {
    if (!this.#context) {
      this.#context = new AudioContext({ latencyHint: "playback" });
      this.#analyser = new AnalyserNode(this.#context, { fftSize: BLOCK_SAMPLES });
      this.#timer = setInterval(() => this.#read(), INTERVAL_MS);
    }
    this.#context.resume(); // a context made before the first click of a page starts suspended
    this.#source?.disconnect();
    this.#source = new MediaStreamAudioSourceNode(this.#context, { mediaStream: stream });
    this.#source.connect(this.#analyser);
    this.#silentSinceMs = null;
  }

  /** Stops and shows an empty meter. */
  async close() {
    clearInterval(this.#timer);
    const context = this.#context;
    this.#context = this.#source = this.#analyser = this.#timer = null;
    this.#position = 0;
    this.#onLevel(0, 0);
    await context?.close();
  }

  #read() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const dbfs = rmsDbfs(this.#samples);
    const target = meterPosition(dbfs);
    this.#position = target > this.#position ? target : this.#position + RELEASE * (target - this.#position);
    const nowMs = performance.now();
    this.#silentSinceMs = dbfs > SILENCE_DBFS ? null : (this.#silentSinceMs ?? nowMs);
    this.#onLevel(this.#position, this.#silentSinceMs === null ? 0 : nowMs - this.#silentSinceMs);
  }
}
