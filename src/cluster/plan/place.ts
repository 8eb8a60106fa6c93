import { isEngine } from '../../engines/names.ts';
import { lastPart } from '../../engines/profile.ts';
import type { PodFacts } from '../inventory/pod-facts.ts';
import { ANNOTATIONS, APPLICATION, CONTAINER, DEFAULT_CONTAINER } from '../objects/names.ts';
import type { Container } from '../objects/pod.ts';
import { validValue } from './annotations.ts';
import type { From, Stage } from './document.ts';
import type { KnownResource } from './custom-resources.ts';
import { type ImageStage, type KnownImage, knownImage } from './stages.ts';

/** Where the kind of a member puts it, before anything that users say of single members. */
export interface Place {
  readonly stage: Stage;
  /** It follows the databases, and what goes through it follows it. */
  readonly pooler: boolean;
  readonly engine: string | undefined;
  readonly from: Exclude<From, 'annotation'>;
}

type Annotations = Readonly<Record<string, string>>;

/** Containers that accompany the one that matters. */
const HELPERS = /exporter|metrics|istio-proxy|envoy|linkerd|agent|fluent|vector|promtail|reloader/;

/** The stage of a member: what `quiesce.dev/stage` or `engine` says, else its known kind, else its images. */
export function placeOf(
  annotations: Annotations,
  known: KnownResource | undefined,
  facts: readonly PodFacts[],
): Place {
  const kind = known && { stage: known.stage, engine: known.engine };
  const image = kind ?? imageOf(facts);
  const engine = annotations[ANNOTATIONS.engine];
  const named = validValue(annotations, APPLICATION.stage) as Stage | undefined;
  const knownAs = engine ?? image?.engine;
  if (named !== undefined) return { stage: named, pooler: false, engine: knownAs, from: 'stage' };
  if (engine !== undefined) return { stage: 'databases', pooler: false, engine, from: 'stage' };
  const stage = image?.stage ?? 'applications';
  const pooler = stage === 'pooler';
  return { stage: pooler ? 'databases' : stage, pooler, engine: knownAs, from: 'image' };
}

interface Known {
  readonly stage: ImageStage;
  readonly engine: string | undefined;
}

/** What the main container is, or else a container that keeps its data on a persistent volume. */
function imageOf(facts: readonly PodFacts[]): Known | undefined {
  const [first] = facts;
  if (first === undefined) return undefined;
  const containers = (first.pod.spec?.containers ?? []).filter(
    (one) => one !== first.sidecar && one.name !== CONTAINER,
  );
  const main = mainOf(containers, first.annotations[DEFAULT_CONTAINER]);
  const others = containers.filter((one) => one !== main && keepsData(one, first));
  for (const container of [main, ...others]) {
    const known = container && knownAs(container, first);
    if (known !== undefined) return known;
  }
  return undefined;
}

function mainOf(containers: readonly Container[], named: string | undefined) {
  return (
    containers.find(({ name }) => name === named) ??
    containers.find(({ name, image = '' }) => !HELPERS.test(`${name} ${lastPart(image)}`)) ??
    containers[0]
  );
}

function keepsData({ volumeMounts = [] }: Container, { persistent }: PodFacts): boolean {
  return volumeMounts.some(({ name }) => persistent.includes(name));
}

function knownAs(container: Container, { database }: PodFacts): Known | undefined {
  const image: KnownImage | undefined = knownImage(container.image ?? '');
  const found = database?.container.name === container.name ? database.profile.name : undefined;
  if (found !== undefined && isEngine(found)) return { stage: 'databases', engine: found };
  return image;
}
