import { ENGINE_NAMES, type EngineName, entryOf } from '../../engines/names.ts';
import { type EngineProfile, lastPart } from '../../engines/profile.ts';
import { profileOf } from '../../engines/profiles.ts';
import { ANNOTATIONS, CONTAINER } from '../objects/names.ts';
import type { Container, Pod } from '../objects/pod.ts';
import type { FieldIssue } from '../objects/names.ts';
import type { PodSettings } from './settings.ts';

/** The container of the database, and what runs in it. */
export interface Database {
  readonly container: Container;
  readonly profile: EngineProfile;
}

/** Beside a database run many that have its name in theirs, and no data. */
const HELPER =
  /exporter|metrics|backup|backrest|barman|bouncer|pgpool|pooler|pgadmin|express|sentinel|agent|readiness|wal-g|shell/;
/** What speaks a known protocol on its port, and is not that server: its freeze would prove nothing. */
const STRANGER =
  /proxy|envoy|pgcat|odyssey|supavisor|dragonfly|keydb|garnet|kvrocks|ferretdb|documentdb|cockroach|yugabyte|questdb|materialize|risingwave|greenplum|opengauss|^crate(?:db)?$/;

const BY_IMAGE = 4;
const BY_PORT = 2;
const BY_PLACE = 1;

interface Guess extends Database {
  readonly score: number;
}

/**
 * Finds the database: by annotation, else by image, ports and where volumes are mounted.
 *
 * @returns an issue that names the annotation to set, where it is not clear
 */
export function findDatabase(pod: Pod, settings: PodSettings): Database | FieldIssue {
  const candidates = (pod.spec?.containers ?? []).filter(({ name }) => name !== CONTAINER);
  const named = candidates.filter(({ name }) => name === settings.container);
  if (settings.container !== undefined && named.length === 0) {
    const names = candidates.map(({ name }) => name).join(', ');
    return { field: ANNOTATIONS.container, message: `names no container of this pod (${names})` };
  }
  const engines = settings.engine === undefined ? ENGINE_NAMES : [settings.engine];
  const guesses = (settings.container === undefined ? candidates : named)
    .flatMap((container) => engines.map((engine) => guess(container, engine)))
    .toSorted((a, b) => b.score - a.score);
  const [best, next] = guesses;
  // Named and the only one: what it looks like does not matter.
  const only = settings.container !== undefined || candidates.length === 1;
  if (settings.engine !== undefined && only && best) return best;
  if (!best || best.score < BY_PORT) return unclear(settings);
  if (next?.score === best.score) {
    const field = next.container === best.container ? ANNOTATIONS.engine : ANNOTATIONS.container;
    const both = [best, next].map(({ container }) => container.name).join(' and ');
    return { field, message: `must say which is the database: ${both} look alike` };
  }
  return best;
}

/** Whether one of the containers looks like a database that quiesce knows. */
export function resemblesDatabase(pod: Pod): boolean {
  const candidates = (pod.spec?.containers ?? []).filter(({ name }) => name !== CONTAINER);
  return candidates
    .flatMap((container) => ENGINE_NAMES.map((engine) => guess(container, engine)))
    .some(({ score }) => score >= BY_PORT);
}

/** Whether its image is one of this engine's. */
export function isImageOf(container: Container, engine: EngineName): boolean {
  const { score } = guess(container, engine);
  return score >= BY_IMAGE;
}

function unclear(settings: PodSettings): FieldIssue {
  if (settings.engine !== undefined) {
    return { field: ANNOTATIONS.container, message: 'must name the container of the database' };
  }
  const known = `(known: ${ENGINE_NAMES.join(', ')})`;
  return {
    field: ANNOTATIONS.engine,
    message: `must be named: no image or port tells a database that quiesce knows ${known}`,
  };
}

function guess(container: Container, engine: EngineName): Guess {
  const profile = profileOf(engine);
  const image = container.image ?? '';
  const repository = repositoryName(image);
  const byImage = profile.image.test(repository) ? BY_IMAGE : 0;
  const ports = container.ports ?? [];
  const { port } = entryOf(engine);
  const byPort = ports.some(({ containerPort }) => containerPort === port) ? BY_PORT : 0;
  // A name is its owner's choice: what has image and port of the database is no helper.
  const helper = byImage + byPort === BY_IMAGE + BY_PORT ? '' : container.name;
  const stranger = HELPER.test(`${helper} ${lastPart(image)}`) || STRANGER.test(repository);
  if (stranger || profile.other?.(container) === true) return { container, profile, score: 0 };
  const mounts = container.volumeMounts ?? [];
  const byPlace = mounts.some(({ mountPath }) => profile.places.includes(mountPath)) ? BY_PLACE : 0;
  return { container, profile, score: byImage + byPort + byPlace };
}

/** `registry:5000/team/postgres:16@sha256:…` → `postgres`. */
export function repositoryName(image: string): string {
  return lastPart(image).replace(/:.*$/, '');
}
