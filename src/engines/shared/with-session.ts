/** Runs `work` on a session once it is open, and closes the session even if the work fails. */
export async function withSession<S extends { close(): unknown }, T>(
  opening: Promise<S>,
  work: (session: S) => Promise<T>,
): Promise<T> {
  const session = await opening;
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}
