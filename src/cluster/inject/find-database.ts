import { ENGINE_NAMES, type EngineName, entryOf } from '../../engines/names.ts';
import { type EngineProfile, lastPart } from '../../engines/profile.ts';
import { profileOf } from '../../engines/profiles.ts';
import { ANNOTATIONS, CONTAINER } from '../objects/names.ts';
import type { Container, Pod } from '../objects/pod.ts';
import type { FieldIssue } from '../objects/names.ts';
import { isInside } from '../../lib/paths.ts';
import { Environment } from './environment.ts';
import { cleanPath } from '../objects/clean-path.ts';
import { lastingMounts } from './pod-volumes.ts';
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

/** A volume outweighs a port: a cache beside a database often has one, and nobody backs it up. */
const DATA_SCORE = 4;
const IMAGE_SCORE = 4;
const PORT_SCORE = 2;
/** Settings of an engine's images beside its volume: an image that has the engine under another name. */
const SETTINGS_SCORE = 2;
const MOUNT_SCORE = 1;

interface Guess extends Database {
  readonly score: number;
  /** It writes to a lasting volume where the engine keeps its data. */
  readonly hasData: boolean;
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
    .flatMap((container) => engines.map((engine) => scoreAs(pod, container, engine)))
    .toSorted((a, b) => b.score - a.score);
  const [best, next] = guesses;
  // Engine and container are both certain, so the image and ports do not matter.
  const only = settings.container !== undefined || candidates.length === 1;
  if (settings.engine !== undefined && only && best) return best;
  if (!best || best.score < PORT_SCORE) return unclearIssue(settings);
  if (next?.score === best.score) return ambiguousIssue(best, next);
  // Two databases of different engines, each with data of its own: a port says nothing about which to freeze.
  const other = guesses.find(
    (one) => one.container !== best.container && one.profile !== best.profile && isDatabase(one),
  );
  return other !== undefined && isDatabase(best) ? ambiguousIssue(best, other) : best;
}

/** Whether one of the containers looks like a database that quiesce supports. */
export function resemblesDatabase(pod: Pod): boolean {
  const candidates = (pod.spec?.containers ?? []).filter(({ name }) => name !== CONTAINER);
  return candidates
    .flatMap((container) => ENGINE_NAMES.map((engine) => scoreAs(pod, container, engine)))
    .some(({ score }) => score >= PORT_SCORE);
}

/** Whether the container's image is one of this engine's. */
export function isImageOf(container: Container, engine: EngineName): boolean {
  const profile = profileOf(engine);
  return (
    !isExcluded(container, profile) && profile.image.test(repositoryName(container.image ?? ''))
  );
}

function isDatabase({ hasData, score }: Guess): boolean {
  return hasData && score >= IMAGE_SCORE + DATA_SCORE;
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

function scoreAs(pod: Pod, container: Container, engine: EngineName): Guess {
  const profile = profileOf(engine);
  if (isExcluded(container, profile)) return { container, profile, score: 0, hasData: false };
  const mounts = container.volumeMounts ?? [];
  const places = profile.places;
  const mountScore = mounts.some(({ mountPath }) => places.includes(mountPath)) ? MOUNT_SCORE : 0;
  const lasting = lastingMounts(pod, container).map(({ mountPath }) => cleanPath(mountPath));
  const atPlace = lasting.filter((path) => places.includes(path));
  const what = imageOrProgram(container, profile) + portScore(container, engine);
  const isKnown = ENGINE_NAMES.some(
    (one) => imageOrProgram(container, profileOf(one)) + portScore(container, one) > 0,
  );
  const told = what > 0 || isKnown ? what : bySettings(container, profile, atPlace);
  const declared = profile.data(container, new Environment(container));
  const hasData =
    told > 0 &&
    (atPlace.length > 0 || lasting.some((path) => isInside(declared ?? places[0] ?? '', path)));
  const score = told + mountScore + (hasData ? DATA_SCORE : 0);
  return { container, profile, score, hasData };
}

function imageOrProgram(container: Container, profile: EngineProfile): number {
  const { image = '', command = [], args = [] } = container;
  const known = profile.image.test(repositoryName(image));
  return known || runs(profile.program, [...command, ...args]) ? IMAGE_SCORE : 0;
}

/** Whether a command starts a program, directly, in a shell, or through an image's entry point. */
function runs(program: string, words: readonly string[]): boolean {
  const start =
    '(?:^|[;&|]\\s*|\\bexec\\s+|\\b(?:ba|da)?sh\\s+-\\w*c\\s+|entrypoint\\S*\\s+|\\b(?:gosu|su-exec)\\s+\\S+\\s+)';
  return new RegExp(`${start}(?:\\S*/)?(?:${program})(?=\\s|$)`).test(words.join(' '));
}

function portScore({ ports = [] }: Container, engine: EngineName): number {
  const { port } = entryOf(engine);
  return ports.some(({ containerPort }) => containerPort === port) ? PORT_SCORE : 0;
}

/** An image with another name: it has the engine's settings, and a lasting volume where the engine keeps data. */
function bySettings(
  { env = [] }: Container,
  { imageSettings, ownPlaces }: EngineProfile,
  atPlace: readonly string[],
): number {
  const isOwn = atPlace.some((path) => ownPlaces.test(path));
  // Software of every kind keeps its data in /data.
  const elsewhere = atPlace.some((path) => path !== '/data');
  const set = env.some(({ name }) => imageSettings.test(name));
  return isOwn || (elsewhere && set) ? SETTINGS_SCORE : 0;
}

function isExcluded(container: Container, profile: EngineProfile): boolean {
  const image = container.image ?? '';
  const repository = repositoryName(image);
  const sure = profile.image.test(repository) && portScore(container, profile.name) > 0;
  // Users choose container names freely, so image and port together outweigh a helper's name.
  const name = sure ? '' : container.name;
  return (
    HELPER_NAMES.test(`${name} ${lastPart(image)}`) ||
    LOOKALIKE_NAMES.test(repository) ||
    profile.other?.(container) === true
  );
}

/** Whether a container serves a database by its name or image, as a backup agent or an exporter does. */
export function isHelper({ name, image = '' }: Container): boolean {
  return HELPER_NAMES.test(`${name} ${lastPart(image)}`);
}

/** `registry:5000/team/postgres:16@sha256:…` → `postgres`. */
export function repositoryName(image: string): string {
  return lastPart(image).replace(/:.*$/, '');
}
