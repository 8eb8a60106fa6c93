import type { RestoreLevel } from '../../receipt/restore-level.ts';
import type { Cause } from '../health/state.ts';
import type { MemberRef } from '../plan/document.ts';

/**
 * `proven`: all is there and answers, and no data is in doubt. `unproven`: all is there, but something could
 * not be checked, or a restore is not proven. `failed`: something is broken.
 */
export type ValidationVerdict = 'proven' | 'unproven' | 'failed';

export interface ValidationProblem {
  readonly code: string;
  /** `error`: the application is not whole. `warning`: it is not proven. `info`: worth knowing. */
  readonly severity: 'error' | 'warning' | 'info';
  readonly message: string;
  readonly hint?: string;
  /** `KIND/NAME`, with the namespace before it: `shop StatefulSet/db`. */
  readonly object: string;
}

export interface ValidatedMember extends MemberRef {
  readonly engine?: string;
  readonly ready: boolean;
  /** The lowest level of its sidecars; absent: they know of no restore, or there are none. */
  readonly level?: RestoreLevel;
  readonly message?: string;
  /** The freezes that its data comes from. */
  readonly receipts: readonly string[];
  /** Those of them that are runs on record in these namespaces. */
  readonly onRecord?: readonly string[];
  readonly causes: readonly Cause[];
}

/** A member, and something that its `quiesce.dev/depends-on` names. */
export interface Link {
  readonly from: MemberRef;
  /** As the annotation names it. */
  readonly to: string;
  /** `HOST:PORT`; absent: the name stands for nothing that could be asked. */
  readonly target?: string;
  /** The pod that it was tried from. */
  readonly pod?: string;
  /**
   * `tcp`: a connection from the network of the pod. `endpoints`: the member has no sidecar to try from, so
   * only the endpoints of the Service were looked at. `none`: it was not checked.
   */
  readonly how: 'tcp' | 'endpoints' | 'none';
  readonly ok: boolean;
  readonly message: string;
}

/** A check of the user's own, in one pod. */
export interface Check {
  readonly member: MemberRef;
  readonly kind: 'sql' | 'http';
  readonly pod: string;
  readonly what: string;
  /** Absent: it could not be made. */
  readonly ok?: boolean;
  readonly message: string;
}

/** What `quiesce validate -o json` prints. */
export interface ValidationRun {
  readonly apiVersion: 'quiesce.dev/v1';
  readonly kind: 'ValidationRun';
  readonly group: string;
  readonly namespaces: readonly string[];
  readonly verdict: ValidationVerdict;
  readonly members: readonly ValidatedMember[];
  readonly links: readonly Link[];
  readonly checks: readonly Check[];
  readonly problems: readonly ValidationProblem[];
  readonly startedAt: string;
  readonly endedAt: string;
}
