import type { KubeObject } from '../../objects/kube-object.ts';
import type { Events } from '../events.ts';
import { ageMs, causeOf, GRACE_MS, type HealthScene } from '../scene.ts';
import type { Cause } from '../state.ts';

/** A pod with what is known around it. */
export class PodContext {
  readonly pod: KubeObject;
  readonly scene: HealthScene;
  readonly events: Events;

  constructor(pod: KubeObject, scene: HealthScene, events: Events) {
    this.pod = pod;
    this.scene = scene;
    this.events = events;
  }

  get ageMs(): number {
    return ageMs(this.pod, this.scene.catalog.now);
  }

  /** Whether somebody may still bring what the pod lacks. */
  get fresh(): boolean {
    return this.ageMs < GRACE_MS;
  }

  cause(code: string, message: string, passing: boolean, hint?: string): Cause {
    return causeOf(this.pod, code, message, { passing, ...(hint !== undefined && { hint }) });
  }
}
