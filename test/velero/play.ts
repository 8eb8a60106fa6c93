import { Stage, type Finding, type Measure } from './stage/stage.ts';
import type { Tools } from './kubectl.ts';
import { say } from './say.ts';
import type { Story } from './stories/story.ts';

export interface Played {
  readonly name: string;
  readonly title: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly findings: readonly Finding[];
  readonly measures: readonly Measure[];
  /** What ended the story before its end. */
  readonly error: string | null;
}

/** Plays one story. A failure is part of what it returns. */
export async function play(tools: Tools, story: Story): Promise<Played> {
  const tag = Date.now().toString(36).slice(-6);
  const stage = new Stage(tools, tag);
  say(`${story.name}: ${story.title}`);
  const from = performance.now();
  let error: string | null = null;
  try {
    await story.play(stage);
  } catch (thrown) {
    error = (thrown as Error).message;
    say(`  NOT ${error}`);
  }
  const { findings, measures } = stage;
  const seconds = Math.round((performance.now() - from) / 1_000);
  // A story that looked at nothing has shown nothing.
  const ok = error === null && findings.length > 0 && findings.every((finding) => finding.ok);
  say(`${ok ? 'PASSED' : 'FAILED'} ${story.name} in ${seconds} s`);
  return { name: story.name, title: story.title, ok, seconds, findings, measures, error };
}
