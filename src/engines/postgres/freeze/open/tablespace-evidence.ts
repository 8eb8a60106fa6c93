import { chown, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { z } from 'zod';
import { QuiesceError } from '../../../../errors.ts';
import {
  describeErrno,
  makeFolder,
  ownerLike,
  removeDurably,
  writeDurably,
} from '../../../../lib/durable-files.ts';
import { TABLESPACE_EVIDENCE_FILE, type tablespaceEvidenceSchema } from '../../receipt.ts';

type Evidence = z.infer<typeof tablespaceEvidenceSchema>;

/** Where the evidence of one tablespace lies: beside the server's own folder, which it never enters. */
export function evidenceIn(tablespace: string): string {
  return join(tablespace, '.quiesce', TABLESPACE_EVIDENCE_FILE);
}

/**
 * Marks the volume of each tablespace, durably, as the receipt marks that of the data: a copy cut
 * before this or after `clearEvidence` does not carry it, and could not be told from a good one
 * otherwise.
 *
 * @throws QuiesceError COPY_UNSUPPORTED where one cannot take it; none is then left behind.
 */
export async function writeEvidence(paths: readonly string[], evidence: Evidence): Promise<void> {
  try {
    for (const path of paths) await write(path, `${JSON.stringify(evidence)}\n`);
  } catch (error) {
    await clearEvidence(paths);
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      `The volume of a tablespace cannot take the evidence of the freeze, without which its copy proves nothing: ${describeErrno(error)}.`,
      {
        hint: 'Mount it writable into the sidecar, for the user the sidecar runs as.',
        cause: error,
      },
    );
  }
}

async function write(path: string, content: string): Promise<void> {
  const folder = dirname(path);
  const like = await ownerLike(dirname(folder));
  const made = await makeFolder(folder, 0o755);
  if (made && like.owner) await chown(folder, like.owner.uid, like.owner.gid);
  await writeDurably(path, content, { mode: 0o644, ...like });
}

/** Removes it. @returns a sentence for each that may still be there. */
export async function clearEvidence(paths: readonly string[]): Promise<string[]> {
  const left: string[] = [];
  for (const path of paths) {
    if (basename(path) !== TABLESPACE_EVIDENCE_FILE) continue;
    try {
      await removeDurably(path);
      await rmdir(dirname(path)).catch(() => undefined);
    } catch (error) {
      left.push(`${path} could not be removed: ${describeErrno(error)}.`);
    }
  }
  return left;
}
