/** Resolves when it has come about; what takes longer than a quarter of a minute does not. */
export async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + 15_000; !(await condition()); ) {
    if (Date.now() > deadline) throw new Error('it has not come about');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
