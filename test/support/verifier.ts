import { expect } from 'vitest';
import type { EmbeddedPostgres } from '../../src/testbed/postgres/server.ts';
import type { ServerRig } from './server-rig.ts';
import type { TestSidecar } from './sidecar.ts';

interface Expected {
  /** What the sidecar must find; default `true`. */
  readonly verified?: boolean;
  readonly withinMs?: number;
}

/**
 * Starts a sidecar for a restored server, and waits until it has judged the copy by itself. Not a method
 * of the rig, which also runs outside of vitest.
 */
export async function startVerifier(
  rig: ServerRig,
  copy: string,
  server: EmbeddedPostgres,
  { verified = true, withinMs = 15_000 }: Expected = {},
): Promise<TestSidecar> {
  const sidecar = await rig.sidecarOn(copy, server);
  await sidecar.start();
  await expect
    .poll(async () => (await sidecar.status()).restore?.verified, { timeout: withinMs })
    .toBe(verified);
  return sidecar;
}
