/** The token is kept for the tab only, and sent as a header: no other site can make a browser send it. */
const KEY = 'postcommit-token';

export const token = {
  /** @returns {string} */
  get: () => sessionStorage.getItem(KEY) ?? '',
  /** @param {string} value */
  set: (value) => (value === '' ? sessionStorage.removeItem(KEY) : sessionStorage.setItem(KEY, value)),
};

const PATIENCE_MS = 10_000;

/** What a server or the network said in the way of an answer, for a person. */
export class Refusal extends Error {
  /**
   * @param {string} message
   * @param {number} status 0: no answer
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * One request; a server that does not answer in time does not answer.
 *
 * @template T
 * @param {string} path
 * @param {{ signal?: AbortSignal, post?: object, bearer?: string }} [options] `bearer`: default the token of the tab
 * @returns {Promise<T>}
 */
export async function ask(path, { signal, post, bearer = token.get() } = {}) {
  /** @type {Record<string, string>} */
  const headers = bearer === '' ? {} : { Authorization: `Bearer ${bearer}` };
  const limit = AbortSignal.timeout(PATIENCE_MS);
  let response;
  try {
    response = await fetch(path, {
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
      ...(post === undefined
        ? { headers }
        : {
            method: 'POST',
            body: JSON.stringify(post),
            headers: { ...headers, 'Content-Type': 'application/json' },
          }),
    });
  } catch (error) {
    throw signal?.aborted ? error : new Refusal('the relay does not answer', 0);
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  const { error = `status ${response.status}`, hint } = body;
  throw new Refusal(hint === undefined ? error : `${error}. ${hint}`, response.status);
}

/**
 * Questions of which only the last one counts: its answer is given on only while the question is still the one that is asked.
 *
 * @param {() => string} question what is asked now, as a path
 */
export function createQuestion(question) {
  /** @type {{ path: string, controller: AbortController } | undefined} */
  let underWay;
  return {
    /**
     * Undefined: another question is asked by now, or this one is under way already.
     *
     * @template T
     * @returns {Promise<T | undefined>}
     */
    async ask() {
      const path = question();
      if (underWay?.path === path) return undefined;
      underWay?.controller.abort();
      const mine = { path, controller: new AbortController() };
      underWay = mine;
      try {
        /** @type {T} */
        const answer = await ask(path, { signal: mine.controller.signal });
        return underWay === mine && question() === path ? answer : undefined;
      } catch (error) {
        if (underWay === mine && question() === path) throw error;
        return undefined;
      } finally {
        if (underWay === mine) underWay = undefined;
      }
    },
  };
}
