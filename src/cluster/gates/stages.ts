import { z } from 'zod';

/** What tells the pods of a member apart from all others in its namespace. */
const member = z.object({
  kind: z.string(),
  name: z.string(),
  /** Label selectors of its workloads: a pod that one of them selects is its. */
  selectors: z.array(z.record(z.string(), z.unknown())).optional(),
  /** Names of its pods. A restore creates them without owners. */
  pods: z.array(z.string()).optional(),
  /** `KIND/NAME` of the objects that own its pods. */
  owners: z.array(z.string()).optional(),
  /** Its pods wait in their init container, since their volumes are filled while they run. */
  hold: z.boolean().optional(),
});

const stages = z.object({
  layers: z.array(z.array(member)),
  /** Names of Jobs; their pods come with the last layer. */
  jobs: z.array(z.string()).optional(),
  /** Names of CronJobs, whose Jobs have a number after the name. */
  cronJobs: z.array(z.string()).optional(),
  /** How many layers are there for what ended well: the pods of Jobs come with the last of them. */
  last: z.number().int(),
});

export type StagedMember = z.infer<typeof member>;
/** The value of the annotation of one namespace. Layers have the same numbers in all namespaces of a run. */
export type Stages = z.infer<typeof stages>;

export function writeStages(value: Stages): string {
  return JSON.stringify(value);
}

/** `undefined`: it is not what {@link writeStages} writes. */
export function readStages(text: string | undefined): Stages | undefined {
  try {
    return stages.safeParse(JSON.parse(text ?? '')).data;
  } catch {
    return undefined;
  }
}

export function writeReleased(layers: Iterable<number>): string {
  return [...new Set(layers)].toSorted((a, b) => a - b).join(',');
}

export function readReleased(text: string | undefined): ReadonlySet<number> {
  return new Set((text ?? '').split(',').filter(Boolean).map(Number).filter(Number.isInteger));
}
