import { type App, type Comparison, type Hold, type Load, readLedger } from '../apps/index.ts';
import type { Stage } from './stage.ts';

/** Writes that must be acknowledged before and after what is done under the load. */
export const BEFORE = 400;
const AFTER = 100;

/**
 * Does something while writers do not stop.
 *
 * @param name of the ledger; a second load of that name goes on where the first one ended
 * @param withinMs for the writes before and after it; the load's own limit by default
 * @returns the path of the ledger, and what `act` returned
 */
export async function underLoad<T>(
  stage: Stage,
  app: App,
  name: string,
  act: (load: Load) => Promise<T>,
  withinMs?: number,
): Promise<{ readonly ledger: string; readonly result: T }> {
  const path = await stage.ledger(name);
  const load = await app.startLoad(stage.access(app.namespace), path);
  try {
    await load.progress(BEFORE, withinMs);
    const result = await act(load);
    await load.progress(AFTER, withinMs);
    return { ledger: path, result };
  } finally {
    await load.stop();
  }
}

/** Compares an application, in the namespace into which it was restored, with a ledger. */
export async function compareIn(
  stage: Stage,
  app: App,
  namespace: string,
  ledgerPath: string,
  hold: Hold,
): Promise<Comparison> {
  const access = stage.access(namespace);
  await app.afterRestore(access);
  return await app.compare(access, await readLedger(ledgerPath), hold);
}

/** Does something, and removes these namespaces whatever becomes of it. */
export async function inNamespaces<T>(
  stage: Stage,
  namespaces: readonly string[],
  act: () => Promise<T>,
): Promise<T> {
  try {
    return await act();
  } finally {
    await stage.remove(...namespaces);
  }
}
