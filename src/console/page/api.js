/** The token is kept for the tab only, and sent as a header: no other site can make a browser send it. */
const KEY = 'postcommit-token';

export const token = {
  /** @returns {string} */
  get: () => sessionStorage.getItem(KEY) ?? '',
  /** @param {string} value */
  set: (value) => (value === '' ? sessionStorage.removeItem(KEY) : sessionStorage.setItem(KEY, value)),
};

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
 * @template T
 * @param {string} path
 * @param {{ signal?: AbortSignal, post?: object }} [options]
 * @returns {Promise<T>}
 */
export async function ask(path, { signal, post } = {}) {
  const headers = token.get() === '' ? {} : { Authorization: `Bearer ${token.get()}` };
  let response;
  try {
    response = await fetch(path, {
      ...(signal === undefined ? {} : { signal }),
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
