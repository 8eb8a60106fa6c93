import { chown, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { z } from 'zod';
import { QuiesceError } from '../../../../errors.ts';
import {
  describeErrno,
  makeFolder,
  ownerLike,
  removeDurably,
  sweepTemporary,
  writeDurably,
} from '../../../../lib/durable-files.ts';
import { withDeadline } from '../../../../lib/deadline.ts';
import { readIfThere } from '../../../../lib/regular-file.ts';
import type { Breach } from '../../../engine.ts';
import { TABLESPACE_EVIDENCE_FILE, type tablespaceEvidenceSchema } from '../../receipt.ts';

type Evidence = z.infer<typeof tablespaceEvidenceSchema>;

const READ_WITHIN_MS = 2_000;

/**
 * The path of one tablespace's evidence: next to the server's own folder, which it never enters.
 */
export function evidenceIn(tablespace: string): string {
  return join(tablespace, '.quiesce', TABLESPACE_EVIDENCE_FILE);
}

/**
 * Marks the volume of each tablespace, durably, as the receipt marks the volume of the data. A copy
 * cut before this or after `clearEvidence` does not carry the mark. Without it, such a copy would
 * look like a good one.
 *
 * @throws QuiesceError COPY_UNSUPPORTED where a volume cannot take the file. No evidence is left
 * then.
 */
export async function writeEvidence(paths: readonly string[], evidence: Evidence): Promise<void> {
  try {
    for (const path of paths) await write(path, textOf(evidence));
  } catch (error) {
    await clearEvidence(paths);
    throw new QuiesceError(
      'COPY_UNSUPPORTED',
      `The volume of a tablespace cannot take the evidence file, and without that file its copy proves nothing: ${describeErrno(error)}.`,
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

/**
 * Checks that the evidence is unchanged where `writeEvidence` put it: a cut made since may lack it.
 *
 * @returns `evidence-lost` for each file that is gone or changed, `not-provable` for each that
 * cannot be read in time.
 */
export async function inspectEvidence(
  paths: readonly string[],
  evidence: Evidence,
): Promise<Breach[]> {
  const found: Breach[] = [];
  for (const path of paths) {
    try {
      if ((await withDeadline(READ_WITHIN_MS, readIfThere(path))) === textOf(evidence)) continue;
      const note = `${path} was removed or changed during the hold: a copy of that volume may lack its proof.`;
      found.push({ code: 'evidence-lost', note });
    } catch (error) {
      const note = `Whether the copy of a tablespace carries its proof is unknown, because ${path} cannot be read: ${describeErrno(error)}.`;
      found.push({ code: 'not-provable', note });
    }
  }
  return found;
}

const textOf = (evidence: Evidence): string => `${JSON.stringify(evidence)}\n`;

/**
 * Removes the evidence.
 *
 * @returns a sentence for each file that may still exist.
 */
export async function clearEvidence(paths: readonly string[]): Promise<string[]> {
  const left: string[] = [];
  for (const path of paths) {
    if (basename(path) !== TABLESPACE_EVIDENCE_FILE) continue;
    try {
      await removeDurably(path);
      // A sidecar that was killed while it wrote leaves a temporary file, which would keep the folder.
      await sweepTemporary(dirname(path));
      await rmdir(dirname(path)).catch(() => undefined);
    } catch (error) {
      left.push(`${path} could not be removed: ${describeErrno(error)}.`);
    }
  }
  return left;
}
