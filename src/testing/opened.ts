/** What was opened for a test, to be closed in the reverse order. */
export interface Opened extends AsyncDisposable {
  /** Resolves to what is opened, and keeps it. */
  keep<Resource extends AsyncDisposable>(opening: Promise<Resource>): Promise<Resource>;
}

export function createOpened(): Opened {
  const resources: AsyncDisposable[] = [];
  async function closeLast(): Promise<void> {
    const last = resources.pop();
    if (last === undefined) return;
    try {
      await last[Symbol.asyncDispose]();
    } finally {
      await closeLast();
    }
  }
  return {
    async keep(opening) {
      const resource = await opening;
      resources.push(resource);
      return resource;
    },
    [Symbol.asyncDispose]: closeLast,
  };
}

/** Both, or the error of the first that failed once neither is under way: what the other opened is known by then. */
export async function both<First, Second>(
  first: Promise<First>,
  second: Promise<Second>,
): Promise<[First, Second]> {
  await Promise.allSettled([first, second]);
  return Promise.all([first, second]);
}
