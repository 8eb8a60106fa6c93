import type { Story } from '../story.ts';
import { kubelet } from './kubelet.ts';
import { wrongLogin } from './login.ts';
import { overlap } from './overlap.ts';
import { powerOff } from './power-off.ts';
import { webhookDown } from './webhook-down.ts';
import { lease } from './lease.ts';
import { killed } from './sidecar.ts';
import { veleroKilled } from './velero-killed.ts';

/** What goes wrong in the middle of a backup or at a restore: nothing is called consistent that is not. */
export const ugly: readonly Story[] = [
  ...lease,
  ...killed,
  kubelet,
  veleroKilled,
  wrongLogin,
  webhookDown,
  overlap,
  powerOff,
];
