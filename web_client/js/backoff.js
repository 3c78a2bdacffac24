/**
 * How long to wait before the next try. Pure; times in milliseconds.
 */

export const FIRST_DELAY_MS = 500;
export const LONGEST_DELAY_MS = 15_000;
/** Each wait is shortened or lengthened by up to this share, so that many pages do not return in one instant. */
export const JITTER = 0.25;

/**
 * @param {number} attempt Tries that failed since the connection was last good, from 0.
 * @param {number} chance A random number in 0…1.
 * @returns {number} Milliseconds until the next try.
 */
export function backoffMs(attempt, chance) {
  const steady = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
  return Math.round(steady * (1 + JITTER * (2 * chance - 1)));
}
