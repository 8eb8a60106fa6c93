import { ENGINE_NAMES, type EngineName, entryOf } from '../../engines/names.ts';
import { type EngineProfile, lastPart } from '../../engines/profile.ts';
import { profileOf } from '../../engines/profiles.ts';
import { ANNOTATIONS, CONTAINER } from '../objects/names.ts';
import type { Container, Pod } from '../objects/pod.ts';
import type { FieldIssue } from '../objects/names.ts';
import type { PodSettings } from './settings.ts';

/** The container of the database, and the profile of its engine. */
export interface Database {
  readonly container: Container;
  readonly profile: EngineProfile;
}

/** Helper containers: their names or images contain the database's name, but they hold no data. */
const HELPER_NAMES =
  /exporter|metrics|backup|backrest|barman|bouncer|pgpool|pooler|pgadmin|express|sentinel|agent|readiness|wal-g|shell/;
/** Lookalikes: they speak a known protocol on its port, but are other servers. A freeze would prove nothing. */
const LOOKALIKE_NAMES =
  /proxy|envoy|pgcat|odyssey|supavisor|dragonfly|keydb|garnet|kvrocks|ferretdb|documentdb|cockroach|yugabyte|questdb|materialize|risingwave|greenplum|opengauss|^crate(?:db)?$/;

const IMAGE_SCORE = 4;
const PORT_SCORE = 2;
const MOUNT_SCORE = 1;

interface Guess extends Database {
  readonly score: number;
}

/**
 * Finds the database by annotation, else by image, ports and mount paths.
 *
 * @returns if the choice is not clear, an issue with the annotation to set
 */
export function findDatabase(pod: Pod, settings: PodSettings): Database | FieldIssue {
  const candidates = (pod.spec?.containers ?? []).filter(({ name }) => name !== CONTAINER);
  const named = candidates.filter(({ name }) => name === settings.container);
  if (settings.container !== undefined && named.length === 0) {
    const names = candidates.map(({ name }) => name).join(', ');
    return {
      field: ANNOTATIONS.container,
      message: `is not the name of a container of this pod (${names})`,
    };
  }
  const engines = settings.engine === undefined ? ENGINE_NAMES : [settings.engine];
  const guesses = (settings.container === undefined ? candidates : named)
    .flatMap((container) => engines.map((engine) => scoreAs(container, engine)))
    .toSorted((a, b) => b.score - a.score);
  const [best, next] = guesses;
  // Engine and container are both certain, so the image and ports do not matter.
  const only = settings.container !== undefined || candidates.length === 1;
  if (settings.engine !== undefined && only && best) return best;
  if (!best || best.score < PORT_SCORE) return unclearIssue(settings);
  if (next?.score === best.score) {
    return ambiguousIssue(best, next);
  }
  return best;
}

/** Whether one of the containers looks like a database that quiesce supports. */
export function resemblesDatabase(pod: Pod): boolean {
  const candidates = (pod.spec?.containers ?? []).filter(({ name }) => name !== CONTAINER);
  return candidates
    .flatMap((container) => ENGINE_NAMES.map((engine) => scoreAs(container, engine)))
    .some(({ score }) => score >= PORT_SCORE);
}

/** Whether the container's image is one of this engine's. */
export function isImageOf(container: Container, engine: EngineName): boolean {
  const { score } = scoreAs(container, engine);
  return score >= IMAGE_SCORE;
}

/** The issue of two guesses that are equally likely: two containers, or two engines in one container. */
function ambiguousIssue(best: Guess, next: Guess): FieldIssue {
  if (next.container === best.container) {
    const engines = [best, next].map(({ profile }) => profile.name).join(' and ');
    const message = `must be set, since ${best.container.name} looks equally like ${engines}`;
    return { field: ANNOTATIONS.engine, message };
  }
  const containers = [best, next].map(({ container }) => container.name).join(' and ');
  const message = `must be set, since ${containers} look equally like the database`;
  return { field: ANNOTATIONS.container, message };
}

function unclearIssue(settings: PodSettings): FieldIssue {
  if (settings.engine !== undefined) {
    return {
      field: ANNOTATIONS.container,
      message: 'must be set to the name of the database container',
    };
  }
  const known = `(${ENGINE_NAMES.join(', ')})`;
  return {
    field: ANNOTATIONS.engine,
    message: `must be set: no container has the image or port of a database that quiesce supports ${known}`,
  };
}

function scoreAs(container: Container, engine: EngineName): Guess {
  const profile = profileOf(engine);
  const image = container.image ?? '';
  const repository = repositoryName(image);
  const imageScore = profile.image.test(repository) ? IMAGE_SCORE : 0;
  const ports = container.ports ?? [];
  const { port } = entryOf(engine);
  const portScore = ports.some(({ containerPort }) => containerPort === port) ? PORT_SCORE : 0;
  // Users choose container names freely, so image and port together outweigh a helper's name.
  const containerName = imageScore + portScore === IMAGE_SCORE + PORT_SCORE ? '' : container.name;
  const excluded =
    HELPER_NAMES.test(`${containerName} ${lastPart(image)}`) || LOOKALIKE_NAMES.test(repository);
  if (excluded || profile.other?.(container) === true) return { container, profile, score: 0 };
  const mounts = container.volumeMounts ?? [];
  const mountScore = mounts.some(({ mountPath }) => profile.places.includes(mountPath))
    ? MOUNT_SCORE
    : 0;
  return { container, profile, score: imageScore + portScore + mountScore };
}

/** Whether a container serves a database by its name or image, as a backup agent or an exporter does. */
export function isHelper({ name, image = '' }: Container): boolean {
  return HELPER_NAMES.test(`${name} ${lastPart(image)}`);
}

/** `registry:5000/team/postgres:16@sha256:…` → `postgres`. */
export function repositoryName(image: string): string {
  return lastPart(image).replace(/:.*$/, '');
}
