// The page's modules that need no browser. Run by test_pure_modules.py, or by hand: node --test tests/web_client/
import assert from "node:assert/strict";
import { test } from "node:test";

import { FIRST_DELAY_MS, JITTER, LONGEST_DELAY_MS, backoffMs } from "../../web_client/js/backoff.js";
import { FigureBook, FrameRate, median } from "../../web_client/js/figures.js";
import { meterPosition, rmsDbfs } from "../../web_client/js/level_meter.js";
import { countdownText, durationText, editState, effortText, figureTexts, noticeFor, statusFor } from "../../web_client/js/messages.js";
import { countCandidates, whyNoMedia } from "../../web_client/js/media_path.js";
import { codeOfError } from "../../web_client/js/microphone.js";
import { DEFAULT_SETTINGS, parseSettings } from "../../web_client/js/settings.js";
import { endpoints } from "../../web_client/js/signalling.js";

test("backoff doubles from the first delay to the longest", () => {
  const waits = [0, 1, 2, 3, 4, 5, 6, 40].map((attempt) => backoffMs(attempt, 0.5));
  assert.deepEqual(waits.slice(0, 5), [500, 1000, 2000, 4000, 8000]);
  assert.deepEqual(waits.slice(5), [LONGEST_DELAY_MS, LONGEST_DELAY_MS, LONGEST_DELAY_MS]);
});

test("backoff jitter stays within its share", () => {
  assert.equal(backoffMs(0, 0), FIRST_DELAY_MS * (1 - JITTER));
  assert.equal(backoffMs(0, 1), FIRST_DELAY_MS * (1 + JITTER));
});

test("frame rate counts presented frames, also those without a callback", () => {
  const rate = new FrameRate();
  assert.equal(rate.read(0), null);
  for (let k = 0; k <= 100; k += 2) rate.add(40 * k, k); // every second frame missed its callback
  assert.ok(Math.abs(rate.read(4000) - 25) < 1e-9);
});

test("frame rate falls while no frame comes", () => {
  const rate = new FrameRate();
  for (let k = 0; k <= 50; k += 1) rate.add(40 * k, k);
  assert.ok(rate.read(4000) < 13);
});

test("frame rate starts again with a new stream's count", () => {
  const rate = new FrameRate();
  rate.add(0, 900);
  rate.add(40, 901);
  rate.add(80, 1);
  rate.add(120, 2);
  assert.ok(Math.abs(rate.read(120) - 25) < 1e-9);
});

const video = (more) => ({ type: "inbound-rtp", kind: "video", framesDecoded: 0, totalProcessingDelay: 0, ...more });
const audio = (more) => ({ type: "inbound-rtp", kind: "audio", ...more });
const transport = { type: "transport", selectedCandidatePairId: "good" };
const pairs = [
  { id: "other", type: "candidate-pair", currentRoundTripTime: 0.9 },
  { id: "good", type: "candidate-pair", currentRoundTripTime: 0.02 },
];

test("latency is the server's, one round trip, and the last second's receive delay", () => {
  const book = new FigureBook();
  book.update([video({ framesDecoded: 100, totalProcessingDelay: 10 }), transport, ...pairs], 180, null);
  const figures = book.update([video({ framesDecoded: 125, totalProcessingDelay: 10.5 }), transport, ...pairs], 180, null);
  assert.equal(figures.roundTripMs, 20);
  assert.ok(Math.abs(figures.receiveMs - 20) < 1e-9);
  assert.ok(Math.abs(figures.latencyMs - 220) < 1e-9);
});

test("latency takes the ping where ICE has no round trip, and waits for every part", () => {
  const decoded = video({ framesDecoded: 10, totalProcessingDelay: 0.1 });
  assert.equal(new FigureBook().update([decoded], 180, 6).latencyMs, 196);
  assert.equal(new FigureBook().update([decoded], null, 6).latencyMs, null);
  assert.equal(new FigureBook().update([decoded], 180, null).latencyMs, null);
  assert.equal(new FigureBook().update([], 180, 6).latencyMs, null);
});

test("latency falls back to the jitter buffer where a browser counts only that", () => {
  const older = { type: "inbound-rtp", kind: "video", jitterBufferDelay: 2, jitterBufferEmittedCount: 100 };
  assert.equal(new FigureBook().update([older], 100, 10).latencyMs, 130);
});

test("skew is positive where the picture is ahead, and a median of five", () => {
  const book = new FigureBook();
  const skews = [10, 14, 90, 12, 11].map((ahead) =>
    book.update([video({ estimatedPlayoutTimestamp: 1000 + ahead }), audio({ estimatedPlayoutTimestamp: 1000 })], 1, 1).skewMs);
  assert.equal(skews.at(-1), 12);
  assert.equal(new FigureBook().update([video({ estimatedPlayoutTimestamp: 5 })], 1, 1).skewMs, null);
});

test("median of even, odd and no values", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([]), null);
});

test("figures are shown with signs and dashes", () => {
  assert.deepEqual(figureTexts({ fps: 24.96, latencyMs: 187.4, skewMs: -12.4 }), { fps: "25.0", latency: "187 ms", skew: "−12 ms" });
  assert.deepEqual(figureTexts({ fps: null, latencyMs: null, skewMs: null }), { fps: "–", latency: "–", skew: "–" });
  assert.equal(figureTexts({ fps: 1, latencyMs: 1, skewMs: 0.4 }).skew, "0 ms");
  assert.equal(figureTexts({ fps: 1, latencyMs: 1, skewMs: 8 }).skew, "+8 ms");
  assert.equal(figureTexts({ fps: 1, latencyMs: 1, skewMs: -11_805 }).skew, "over 2 s");
});

test("level of a full-scale square, of a tenth and of silence", () => {
  assert.ok(Math.abs(rmsDbfs(new Float32Array(64).fill(-1))) < 1e-9);
  assert.ok(Math.abs(rmsDbfs(new Float32Array(64).fill(0.1)) + 20) < 1e-4);
  assert.equal(rmsDbfs(new Float32Array(64)), -Infinity);
  assert.deepEqual([-Infinity, -60, -35, -10, 0].map(meterPosition), [0, 0, 0.5, 1, 1]);
});

test("addresses keep the page's path and token", () => {
  const where = endpoints("https://host:8/live/?token=a%26b#x");
  assert.equal(where.socket, "wss://host:8/live/ws?token=a%26b");
  assert.equal(where.avatars, "https://host:8/live/api/avatars?token=a%26b");
  assert.equal(where.poster({ name: "x", poster: "api/avatars/x/poster.jpg" }), "https://host:8/live/api/avatars/x/poster.jpg?token=a%26b");
  assert.equal(where.poster({ name: "x" }), null);
  assert.equal(endpoints("http://127.0.0.1:5/").socket, "ws://127.0.0.1:5/ws");
});

test("stored settings of another shape become the defaults", () => {
  assert.deepEqual(parseSettings(null), DEFAULT_SETTINGS);
  assert.deepEqual(parseSettings("{broken"), DEFAULT_SETTINGS);
  assert.deepEqual(parseSettings("null"), DEFAULT_SETTINGS);
  assert.deepEqual(parseSettings('{"voice":"yes","deviceId":7,"avatar":[]}'), DEFAULT_SETTINGS);
  assert.deepEqual(parseSettings('{"omega":1.5}'), DEFAULT_SETTINGS);
  assert.deepEqual(parseSettings('{"omega":0}'), { ...DEFAULT_SETTINGS, omega: 0 });
  assert.deepEqual(parseSettings('{"voice":false,"avatar":"b"}'), { ...DEFAULT_SETTINGS, voice: false, avatar: "b" });
});

const HOST = "a=candidate:1 1 udp 2113937151 192.0.2.1 50000 typ host generation 0\r\n";
const RELAY = "a=candidate:2 1 udp 41885439 198.51.100.9 50001 typ relay raddr 0.0.0.0 rport 0\r\n";
const relay = [{ urls: "turn:turn.example.org?transport=tcp" }];

test("candidates are counted, all or of one type", () => {
  assert.equal(countCandidates("v=0\r\n"), 0);
  assert.equal(countCandidates("v=0\r\n" + HOST + RELAY), 2);
  assert.equal(countCandidates("v=0\r\n" + HOST + RELAY, "relay"), 1);
});

test("a connection that found no way is explained by what each side had", () => {
  const attempt = { offer: HOST, answer: HOST, servers: [], complaints: [] };
  const why = (more) => whyNoMedia({ ...attempt, ...more });
  assert.equal(why({}), "no_media_path");
  assert.equal(why({ offer: "v=0" }), "no_address");
  assert.equal(why({ answer: "v=0" }), "no_candidates");
  assert.equal(why({ answer: null }), "no_media_path");
  assert.equal(why({ servers: [{ urls: "stun:a" }], complaints: [{ url: "stun:a", code: 701 }] }), "no_media_path");
  assert.equal(why({ servers: relay }), "relay_unreachable");
  assert.equal(why({ servers: relay, complaints: [{ url: relay[0].urls, code: 701 }] }), "relay_unreachable");
  assert.equal(why({ servers: relay, complaints: [{ url: relay[0].urls, code: 701 }, { url: relay[0].urls, code: 401 }] }), "relay_refused");
  assert.equal(why({ servers: relay, offer: HOST + RELAY }), "no_way_by_relay");
});

test("every failure has a title, a text and its own words", () => {
  const serverCodes = ["busy", "bad_message", "bad_sdp", "unknown_avatar", "unauthorised", "no_candidates", "internal"];
  const pageCodes = ["lost", "stalled", "stopped", "unreachable", "no_media_path", "no_address", "relay_unreachable", "relay_refused", "no_way_by_relay", "gave_up", "gave_up_busy", "autoplay_blocked", "insecure_origin", "no_webrtc", "microphone_lost"];
  const micNames = ["NotAllowedError", "SecurityError", "NotFoundError", "OverconstrainedError", "NotReadableError", "AbortError", "TypeError"];
  const micCodes = micNames.map((name) => codeOfError({ name }));
  const fallback = noticeFor("never heard of").title;
  for (const code of [...serverCodes, ...pageCodes, ...micCodes]) {
    const notice = noticeFor(code);
    assert.notEqual(notice.title, fallback, code);
    assert.ok(notice.text.length > 20, code);
  }
  assert.equal(noticeFor("never heard of", "the server's words").text, "the server's words");
});

test("status says what is going on", () => {
  assert.match(statusFor("idle"), /Press Start/);
  for (const code of ["busy", "lost"]) assert.equal(statusFor("connecting", { again: true, code }), statusFor("waiting", { code }));
  assert.notEqual(statusFor("live", { picture: false }), statusFor("live", { picture: true }));
  assert.match(statusFor("waiting", { code: "busy" }), /free seat/);
  assert.equal(countdownText(3), "Next try in 3 s");
  assert.equal(countdownText(0), "Trying now…");
});

test("an edit's line tells its stage, its rest and what can be done", () => {
  const edit = { name: "robin-bronze", share: 0.416, eta_s: 130, stage: "head", round: 2, rounds: 3, message: "" };
  assert.deepEqual(editState({ ...edit, state: "running" }), {
    text: "41 %: round 2 of 3, learning the head – about 2 min left",
    isFailure: false,
    buttons: ["cancel"],
  });
  assert.equal(editState({ ...edit, state: "running", stage: null, rounds: null, eta_s: null, share: 0 }).text, "0 %: starting");
  assert.deepEqual(editState({ ...edit, state: "running", stage: "stopping" }).buttons, []);
  assert.deepEqual(editState({ ...edit, state: "failed", message: "no room" }), { text: "no room", isFailure: true, buttons: ["resume", "remove"] });
  assert.match(editState({ ...edit, state: "interrupted" }).text, /^Interrupted at 41 %/);
  assert.deepEqual(editState({ ...edit, state: "done" }).buttons, ["show", "remove"]);
});

test("estimates are as coarse as they are sure", () => {
  assert.deepEqual([20, 100, 3000, 7200].map(durationText), ["less than a minute", "about 2 min", "about 50 min", "about 2 h"]);
  assert.equal(effortText("draft", { rounds: 1, frames: 40, head_steps: 5 }), "Draft (1 round, 40 frames)");
  assert.equal(effortText("other", {}), "Other");
});
