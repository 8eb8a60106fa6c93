import type { PodFacts } from '../inventory/pod-facts.ts';
import { ANNOTATIONS, APPLICATION } from '../objects/names.ts';
import { validValue } from './annotations.ts';
import type { From, Stage } from './document.ts';
import type { KnownResource } from './custom-resources.ts';
import { type ImageStage, knownContainer, knownImage, mainContainer } from './stages.ts';

/** Where the kind of a member puts it, before anything that users say of single members. */
export interface Place {
  readonly stage: Stage;
  /** It follows the databases, and what goes through it follows it. */
  readonly pooler: boolean;
  readonly engine: string | undefined;
  readonly from: Exclude<From, 'annotation'>;
}

type Annotations = Readonly<Record<string, string>>;

/** The stage of a member: what `quiesce.dev/stage` or `engine` says, else its known kind, else its images. */
export function placeOf(
  annotations: Annotations,
  known: KnownResource | undefined,
  facts: readonly PodFacts[],
): Place {
  const kind: Known | undefined = known && {
    stage: known.pooler ? 'pooler' : known.stage,
    engine: known.engine,
  };
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

/** What the main container is: by its image and command, or else by its port. */
function imageOf(facts: readonly PodFacts[]): Known | undefined {
  const [first] = facts;
  if (first === undefined) return undefined;
  const { pod, annotations, sidecar, database } = first;
  const containers = (pod.spec?.containers ?? []).filter((one) => one !== sidecar);
  const main = mainContainer({ ...pod, spec: { ...pod.spec, containers } }, annotations);
  if (main === undefined) return undefined;
  const isTold = knownImage(main.image ?? '') !== undefined;
  if (isTold || database?.container.name !== main.name) return knownContainer(main);
  return { stage: 'databases', engine: database.profile.name };
}
