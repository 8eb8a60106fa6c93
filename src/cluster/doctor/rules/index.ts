import type { ClusterRule, PodRule, RuleText } from '../rule.ts';
import { annotationRules } from './annotations.ts';
import { backupHookRules } from './backup-hooks.ts';
import { copyRules } from './copy.ts';
import { dataRules } from './data.ts';
import { operatorRules } from './operators.ts';
import { ownHookRules } from './own-hooks.ts';
import { refusedRules } from './refused.ts';
import { schedulePodRules, scheduleRules } from './schedules.ts';
import { storageRules } from './storage.ts';
import { credentialRules } from './credentials.ts';
import { hookRules } from './hooks.ts';
import { probeTexts } from './probe.ts';
import { protectionRules } from './protection.ts';
import { NOT_LOOKED_AT } from './not-examined.ts';
import { restoreRules } from './restore.ts';
import { sidecarRules } from './sidecar.ts';
import { backupRules } from './backups.ts';
import { veleroRules } from './velero.ts';
import { webhookPodRules, webhookRules } from './webhook.ts';

/** Rules by theme, in the order of docs/doctor.md. */
export const THEMES: readonly { readonly title: string; readonly rules: readonly RuleText[] }[] = [
  { title: 'Protection', rules: [...protectionRules, ...operatorRules, ...refusedRules] },
  { title: 'Annotations', rules: annotationRules },
  { title: 'Hooks and timeouts', rules: [...backupHookRules, ...hookRules, ...ownHookRules] },
  { title: 'The sidecar', rules: sidecarRules },
  { title: 'Where the data is', rules: dataRules },
  { title: 'Credentials', rules: credentialRules },
  {
    title: 'How volumes are copied',
    rules: [...copyRules, ...storageRules, ...backupRules, ...schedulePodRules],
  },
  { title: 'Restores', rules: restoreRules },
  { title: 'Velero, Schedules and snapshot classes', rules: [...veleroRules, ...scheduleRules] },
  { title: 'The webhook', rules: [...webhookRules, ...webhookPodRules] },
  { title: 'Answers of the sidecars (--probe)', rules: probeTexts },
  { title: 'The examination itself', rules: [NOT_LOOKED_AT] },
];

export const POD_RULES: readonly PodRule[] = [
  ...protectionRules,
  ...refusedRules,
  ...annotationRules,
  ...backupHookRules,
  ...hookRules,
  ...ownHookRules,
  ...sidecarRules,
  ...dataRules,
  ...credentialRules,
  ...copyRules,
  ...storageRules,
  ...backupRules,
  ...schedulePodRules,
  ...restoreRules,
  ...webhookPodRules,
];

export const CLUSTER_RULES: readonly ClusterRule[] = [
  ...veleroRules,
  ...scheduleRules,
  ...operatorRules,
  ...webhookRules,
];
