/**
 * Why picture and sound found no way between the page and the server: a diagnosis of one connection. No DOM.
 *
 * ICE itself only says "failed". What each side had to offer says more: no address at all, a relay that did not answer or would not have
 * us, or addresses on both sides with something in between that lets nothing through.
 */

/** STUN's own number for a server that was not reached at all (W3C WebRTC, RTCPeerConnectionIceErrorEvent). */
const UNREACHABLE = 701;
/** A TURN server that wants other credentials, or gives this user no more (RFC 8656, section 16). */
const REFUSALS = new Set([401, 403, 437, 441, 486]);

/**
 * @typedef {object} Attempt
 * @property {string} offer The page's description, with the addresses it found.
 * @property {string|null} answer The server's; null before it came.
 * @property {{urls: string}[]} servers STUN and TURN servers that were to help.
 * @property {{url: string, code: number}[]} complaints What the browser said of them (`icecandidateerror`).
 */

/**
 * @param {Attempt} attempt
 * @returns {"no_address"|"no_candidates"|"relay_refused"|"relay_unreachable"|"no_way_by_relay"|"no_media_path"} A key of messages.js.
 */
export function whyNoMedia({ offer, answer, servers, complaints }) {
  if (countCandidates(offer) === 0) return "no_address";
  if (answer !== null && countCandidates(answer) === 0) return "no_candidates";
  const hasRelay = servers.some(({ urls }) => /^turns?:/.test(urls));
  if (!hasRelay) return "no_media_path";
  if (countCandidates(offer, "relay") > 0) return "no_way_by_relay";
  const ofRelays = complaints.filter(({ url }) => /^turns?:/.test(url));
  if (ofRelays.some(({ code }) => REFUSALS.has(code))) return "relay_refused";
  if (ofRelays.some(({ code }) => code === UNREACHABLE) || ofRelays.length === 0) return "relay_unreachable";
  return "relay_refused";
}

/**
 * @param {string} sdp
 * @param {string} [type] "host", "srflx", "prflx" or "relay"; all by default.
 * @returns {number}
 */
export function countCandidates(sdp, type = "\\w+") {
  return (sdp.match(new RegExp(`^a=candidate:.* typ ${type}\\b`, "gm")) ?? []).length;
}
