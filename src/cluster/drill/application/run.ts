import { QuiesceError } from '../../../errors.ts';
import type { ObjectApi } from '../../api/objects.ts';
import type { Health } from '../../health/state.ts';
import { normalizePod } from '../../objects/normalize.ts';
import type { DrillRun, RestoreProblem } from '../../restore/document.ts';
import { claimsIn, restoreRun, type SoFar } from '../../restore/documents.ts';
import { mapPlan } from '../../restore/mapped.ts';
import { StagedRun } from '../../restore/staged.ts';
import { checkVolumes, snapshotClassesOf } from '../../restore/volumes/make.ts';
import { beginWalk, verdictOf } from '../../restore/walk.ts';
import { endScratch, problemOf } from '../ending.ts';
import { makeNamespaces } from '../make.ts';
import { type DrillMarks, scratchName } from '../marks.ts';
import { sidecarImage } from '../pod.ts';
import { probeWith } from '../probe.ts';
import { record } from '../record.ts';
import { markVolumes } from '../remove.ts';
import type { DrillOptions } from '../parts.ts';
import type { DrillSource } from '../source.ts';
import { asDrill } from './document.ts';
import { ApplicationSource } from './source.ts';

export interface ApplicationDrill {
  readonly api: ObjectApi;
  readonly health: Health;
  readonly source: DrillSource;
  readonly marks: DrillMarks;
  /** `NAMESPACE/NAME` of the Lease that the drill holds. */
  readonly lease: string;
  readonly options: DrillOptions;
  readonly stop: AbortSignal;
  readonly user: AbortSignal;
}

/** The whole application, layer by layer, in scratch namespaces that reach nobody. */
export async function drillApplication(drill: ApplicationDrill): Promise<DrillRun> {
  const { api, source, marks, options } = drill;
  const namespaces = new Map(
    source.plan.namespaces.map((one) => [one, options.scratch ?? scratchName(one, marks)]),
  );
  const snapshotClasses = await snapshotClassesOf(api);
  const { storageClasses } = options;
  const order = { marks, namespaces, storageClasses, snapshotClasses };
  const application = new ApplicationSource(api, source, order);
  const image = imageFor(source, options);
  await checkVolumes(api, application.volumes);
  return await new Whole(drill, application, namespaces, image).play();
}

class Whole {
  readonly #drill: ApplicationDrill;
  readonly #application: ApplicationSource;
  readonly #namespaces: ReadonlyMap<string, string>;
  readonly #image: string;
  readonly #startedAt = new Date().toISOString();
  readonly #begun = performance.now();
  readonly #problems: RestoreProblem[] = [];
  #so: SoFar;

  constructor(
    drill: ApplicationDrill,
    application: ApplicationSource,
    namespaces: ReadonlyMap<string, string>,
    image: string,
  ) {
    this.#drill = drill;
    this.#application = application;
    this.#namespaces = namespaces;
    this.#image = image;
    const walk = beginWalk(mapPlan(application.plan, namespaces), this.#rules);
    this.#so = { walk, times: [], problems: [] };
  }

  async play(): Promise<DrillRun> {
    const { api, source, options, stop } = this.#drill;
    await record(api, options.home, asDrill(restoreRun(this.#facts, this.#so), {}));
    try {
      await this.#restore();
    } catch (error) {
      this.#problems.push(problemOf(stop.aborted ? stop.reason : error));
    }
    const claims = await claimsIn(api, this.#places);
    const removed = await this.#remove();
    const judged = verdictOf(this.#so.walk, [...this.#so.problems, ...source.problems]);
    const verdict = this.#problems.length > 0 ? 'failed' : judged;
    const problems = [
      ...this.#problems,
      ...source.problems,
      ...this.#so.problems,
      ...notes(this.#application),
    ];
    const run = restoreRun(this.#facts, { ...this.#so, problems }, { verdict, claims });
    const done = asDrill(run, { removed });
    await record(api, options.home, done);
    return done;
  }

  /** Nothing of the application is made before the isolation is proven. */
  async #restore(): Promise<void> {
    const { api, source, marks, options, stop } = this.#drill;
    options.progress('making scratch namespaces');
    await makeNamespaces(api, source, this.#namespaces, marks, stop);
    const about = { marks, addresses: source.addresses };
    await probeWith(api, this.#image, this.#places, about, options.progress, stop);
    const staged = this.#staged();
    try {
      await staged.begin(stop);
      await staged.play(stop);
    } finally {
      this.#so = staged.so;
    }
  }

  #staged(): StagedRun {
    const { api, health, marks, lease, options } = this.#drill;
    const { progress, say } = options;
    const { id, expires } = marks;
    const known = new Set<string>();
    return new StagedRun(
      { api, health, source: this.#application },
      { id, namespaces: this.#namespaces, lease },
      {
        rules: this.#rules,
        lookEveryMs: 1_000,
        sinceStart: () => Math.round(performance.now() - this.#begun),
        progress,
        say,
        changed: () => markVolumes(api, { id, namespaces: this.#places, expires }, known),
      },
    );
  }

  async #remove(): Promise<boolean | undefined> {
    const { api, marks, options, user } = this.#drill;
    const { keepScratch: keep, progress, say } = options;
    const about = { id: marks.id, names: this.#places, keep, progress, say };
    return await endScratch(api, { ...about, interrupted: user.aborted }, this.#problems);
  }

  get #places(): readonly string[] {
    return [...this.#namespaces.values()];
  }

  get #rules() {
    return { layerTimeoutMs: this.#drill.options.timeoutMs, requireProof: false };
  }

  get #facts() {
    const { source, marks } = this.#drill;
    const namespaces = Object.fromEntries(this.#namespaces);
    return {
      id: marks.id,
      source: { ...source.about, namespaces },
      startedAt: this.#startedAt,
    };
  }
}

function imageFor({ members }: DrillSource, { image }: DrillOptions): string {
  const known = members.flatMap(({ views }) =>
    views.flatMap(({ pod }) => sidecarImage(normalizePod(pod)) ?? []),
  );
  const found = image ?? known[0];
  if (found !== undefined) return found;
  throw new QuiesceError(
    'DRILL_NO_SOURCE',
    'No member has a sidecar, so nothing could be proven.',
    {
      hint: 'Name the image of the probe that proves the isolation: --image.',
    },
  );
}

function notes({ closed: { leftOut }, warnings }: ApplicationSource): readonly RestoreProblem[] {
  const kinds = leftOut.join(', ');
  const message = `Left out, since they would act outside of the scratch namespace: ${kinds}.`;
  return [...(leftOut.length === 0 ? [] : [{ code: 'KINDS_LEFT_OUT', message }]), ...warnings];
}
