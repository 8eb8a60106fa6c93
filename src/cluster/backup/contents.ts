import { Transform, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Extract } from 'tar-stream';
import { QuiesceError } from '../../errors.ts';
import type { KubeObject } from '../objects/kube-object.ts';

/** What an archive may have at most, in bytes. A small one can unpack to more than any memory. */
export interface Bounds {
  readonly packed: number;
  readonly unpacked: number;
  /** Of the objects that are kept. */
  readonly kept: number;
}

const MIB = 1_024 * 1_024;
export const BOUNDS: Bounds = { packed: 512 * MIB, unpacked: 4_096 * MIB, kept: 512 * MIB };
/** etcd takes objects of 1.5 MiB at most. */
const LARGEST_OBJECT = 16 * MIB;

/**
 * Velero stores each object once without the version of its API, and again below one: this matches the
 * first, `resources/pods/namespaces/shop/db-0.json` or `resources/persistentvolumes/cluster/pv-1.json`.
 */
const OBJECT = /^(?:\.\/)?resources\/([^/]+)\/(?:namespaces\/[^/]+|cluster)\/[^/]+\.json$/;
const OF_VELERO = /^(?:\.\/)?(?:resources\/|metadata\/version$)/;
/** Many, and of no use to a plan. */
const UNUSED = /^(?:events|endpoints|endpointslices|controllerrevisions|leases|podmetrics)(?:\.|$)/;

/**
 * The objects in Velero's archive of a backup.
 *
 * @param secrets with the values of Secrets
 * @throws QuiesceError BACKUP_INVALID if it is no archive of Velero, incomplete, or larger than the bounds
 */
export async function readContents(
  packed: Readable,
  bounds: Bounds = BOUNDS,
  secrets = false,
): Promise<readonly KubeObject[]> {
  const archive = extract();
  const feeding = pipeline(
    packed,
    atMost(bounds.packed, 'it is'),
    createGunzip(),
    atMost(bounds.unpacked, 'its objects are'),
    archive,
  );
  const reading = objectsIn(archive, bounds.kept, secrets);
  const [fed, read] = await Promise.allSettled([feeding, reading]);
  if (read.status === 'rejected') throw invalid(read.reason);
  if (fed.status === 'rejected') throw invalid(fed.reason);
  return read.value;
}

async function objectsIn(
  archive: Extract,
  most: number,
  secrets: boolean,
): Promise<readonly KubeObject[]> {
  const objects: KubeObject[] = [];
  let [bytes, isVelero] = [0, false];
  for await (const entry of archive) {
    const { name, size } = entry.header;
    isVelero ||= OF_VELERO.test(name);
    const plural = OBJECT.exec(name)?.[1];
    if (plural === undefined || UNUSED.test(plural)) {
      entry.resume();
      continue;
    }
    bytes += size;
    if (size > LARGEST_OBJECT || bytes > most) throw tooLarge('its objects are', most);
    const object = parsed(name, (await buffer(entry)).toString('utf8'));
    objects.push(secrets ? object : withoutSecrets(object));
  }
  if (!isVelero) throw new Error('it has nothing of Velero');
  return objects;
}

function parsed(name: string, text: string): KubeObject {
  try {
    return JSON.parse(text) as KubeObject;
  } catch (error) {
    throw new Error(`${name} is not JSON`, { cause: error });
  }
}

/** Of a Secret only its name counts. */
function withoutSecrets(object: KubeObject): KubeObject {
  if (object.kind !== 'Secret') return object;
  const { apiVersion, kind, metadata } = object;
  const { name, namespace, labels } = metadata ?? {};
  return {
    ...(apiVersion !== undefined && { apiVersion }),
    kind,
    metadata: {
      ...(name !== undefined && { name }),
      ...(namespace !== undefined && { namespace }),
      ...(labels !== undefined && { labels }),
    },
  };
}

function atMost(most: number, what: string): Transform {
  let bytes = 0;
  return new Transform({
    transform(part: Buffer, _encoding, done) {
      bytes += part.length;
      if (bytes > most) done(tooLarge(what, most));
      else done(null, part);
    },
  });
}

function tooLarge(what: string, most: number): Error {
  return new Error(`${what} larger than ${Math.ceil(most / MIB)} MiB`);
}

function invalid(error: unknown): QuiesceError {
  if (error instanceof QuiesceError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const message = `The contents of the backup cannot be read: ${reason}.`;
  return new QuiesceError('BACKUP_INVALID', message, { cause: error });
}
