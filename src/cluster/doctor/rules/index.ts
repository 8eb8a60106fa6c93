import type { ClusterRule, PodRule, RuleText } from '../rule.ts';
import { annotationRules } from './annotations.ts';
import { backupHookRules } from './backup-hooks.ts';
import { copyRules } from './copy.ts';
import { credentialRules } from './credentials.ts';
import { hookRules } from './hooks.ts';
import { probeTexts } from './probe.ts';
import { protectionRules } from './protection.ts';
import { NOT_LOOKED_AT } from './not-examined.ts';
import { restoreRules } from './restore.ts';
import { sidecarRules } from './sidecar.ts';
import { backupRules, veleroRules } from './velero.ts';
import { webhookPodRules, webhookRules } from './webhook.ts';

/** Rules by theme, in the order of docs/doctor.md. */
export const THEMES: readonly { readonly title: string; readonly rules: readonly RuleText[] }[] = [
  { title: 'Protection', rules: protectionRules },
  { title: 'Annotations', rules: annotationRules },
  { title: 'Hooks and timeouts', rules: [...backupHookRules, ...hookRules] },
  { title: 'The sidecar', rules: sidecarRules },
  { title: 'Credentials', rules: credentialRules },
  { title: 'How volumes are copied', rules: [...copyRules, ...backupRules] },
  { title: 'Restores', rules: restoreRules },
  { title: 'Velero and snapshot classes', rules: veleroRules },
  { title: 'The webhook', rules: [...webhookRules, ...webhookPodRules] },
  { title: 'Answers of the sidecars (--probe)', rules: probeTexts },
  { title: 'The examination itself', rules: [NOT_LOOKED_AT] },
];

export const POD_RULES: readonly PodRule[] = [
  ...protectionRules,
  ...annotationRules,
  ...backupHookRules,
  ...hookRules,
  ...sidecarRules,
  ...credentialRules,
  ...copyRules,
  ...backupRules,
  ...restoreRules,
  ...webhookPodRules,
];

export const CLUSTER_RULES: readonly ClusterRule[] = [...veleroRules, ...webhookRules];
