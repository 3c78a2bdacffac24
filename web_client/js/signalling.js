/**
 * The page's side of the server's WebSocket, and the addresses it uses.
 *
 * Messages are JSON objects with a `type`. To the server: offer, set, ping, bye. From it: hello, answer, stats,
 * state, pong, error. One socket carries one session: when it closes, the session is over.
 */

const OPEN_TIMEOUT_MS = 6000;
/** A server that still loads its avatar accepts the socket and says hello when it is ready. */
const HELLO_TIMEOUT_MS = 30_000;
/** Close codes with a meaning of their own (RFC 6455, section 7.4.1). */
const CLOSE_GOING_AWAY = 1001;
const CLOSE_POLICY_VIOLATION = 1008;
const CLOSE_SERVICE_RESTART = 1012;

/** A connection or session that failed; `code` is a key of messages.js. */
export class SessionError extends Error {
  /**
   * @param {string} code
   * @param {string} [detail] The server's own words, where it sent some.
   */
  constructor(code, detail = "") {
    super(detail || code);
    this.name = "SessionError";
    this.code = code;
    this.detail = detail;
  }
}

/**
 * @typedef {object} Endpoints
 * @property {string|null} token From the page's own address, passed on with every request.
 * @property {string} socket
 * @property {string} avatars
 * @property {(path: string) => string} at Any address of the server's, with the token.
 * @property {(avatar: Avatar|undefined) => string|null} poster Null where the server has none.
 */

/**
 * @param {string} pageUrl The page's address; everything is relative to it, so a path in front of it does no harm.
 * @returns {Endpoints}
 */
export function endpoints(pageUrl) {
  const token = new URL(pageUrl).searchParams.get("token");
  const at = (path) => {
    const url = new URL(path, pageUrl);
    if (token) url.searchParams.set("token", token);
    return url;
  };
  const socket = at("ws");
  socket.protocol = socket.protocol.replace("http", "ws");
  return {
    token,
    socket: socket.href,
    avatars: at("api/avatars").href,
    at: (path) => at(path).href,
    poster: (avatar) => (avatar?.poster ? at(avatar.poster).href : null),
  };
}

/**
 * @typedef {object} Avatar
 * @property {string} name
 * @property {string} title
 * @property {string|null} [poster] Address of a still picture, relative to the page.
 */

/**
 * The avatars the server offers, and which one it shows unless asked.
 * @param {Endpoints} where
 * @returns {Promise<{avatars: Avatar[], defaultAvatar: string|null}>}
 */
export async function fetchAvatars(where) {
  let response;
  try {
    response = await fetch(where.avatars);
  } catch {
    throw new SessionError("unreachable");
  }
  if (response.status === 401 || response.status === 403) throw new SessionError("unauthorised");
  if (!response.ok) throw new SessionError("internal", `The server answered ${response.status}.`);
  const body = await response.json();
  const avatars = Array.isArray(body) ? body : body.avatars;
  return { avatars, defaultAvatar: body.default_avatar ?? avatars[0]?.name ?? null };
}

/** One open socket. Events: `message` (detail: the object), `closed` (detail: a {@link SessionError}). */
export class Signalling extends EventTarget {
  #socket;
  #where;
  #closing = false;

  /** @param {Endpoints} where */
  constructor(where) {
    super();
    this.#where = where;
    this.#socket = new WebSocket(where.socket);
    this.#socket.addEventListener("message", (event) => {
      this.dispatchEvent(new CustomEvent("message", { detail: JSON.parse(event.data) }));
    });
  }

  /**
   * @returns {Promise<object>} The server's hello.
   * @throws {SessionError} Where the socket does not open, or the server refuses.
   */
  hello() {
    return new Promise((resolve, reject) => {
      const settle = (action, value) => {
        clearTimeout(timer);
        action(value);
      };
      const giveUp = () => settle(reject, new SessionError("unreachable"));
      let timer = setTimeout(giveUp, OPEN_TIMEOUT_MS);
      this.#socket.addEventListener("open", () => {
        clearTimeout(timer);
        timer = setTimeout(giveUp, HELLO_TIMEOUT_MS);
      });
      this.addEventListener("message", ({ detail: message }) => {
        if (message.type === "hello") settle(resolve, message);
        else if (message.type === "error") settle(reject, new SessionError(message.code, message.message));
      });
      let greeted = false;
      this.addEventListener("message", () => (greeted = true), { once: true });
      this.#socket.addEventListener("close", async (event) => {
        clearTimeout(timer);
        if (this.#closing) return;
        const error = greeted ? errorOfClose(event.code) : await this.#whyRefused(event.code);
        settle(reject, error);
        this.dispatchEvent(new CustomEvent("closed", { detail: error }));
      });
    });
  }

  /** @param {object} message Dropped where the socket is no longer open: `closed` says so. */
  send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** Ends the connection; `closed` is not sent for it. */
  close() {
    this.#closing = true;
    this.#socket.close();
  }

  /** A browser does not tell a page why a socket was refused; an ordinary request does. */
  async #whyRefused(closeCode) {
    if (closeCode === CLOSE_POLICY_VIOLATION) return new SessionError("unauthorised");
    try {
      await fetchAvatars(this.#where);
    } catch (error) {
      if (error instanceof SessionError) return error;
    }
    return new SessionError("lost");
  }
}

function errorOfClose(code) {
  if (code === CLOSE_POLICY_VIOLATION) return new SessionError("unauthorised");
  if (code === CLOSE_GOING_AWAY || code === CLOSE_SERVICE_RESTART) return new SessionError("stopped");
  return new SessionError("lost");
}
