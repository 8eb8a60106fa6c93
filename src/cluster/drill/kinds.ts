import type { Kind } from '../api/objects.ts';

export const SECRETS: Kind = { group: '', version: 'v1', plural: 'secrets' };
export const QUOTAS: Kind = { group: '', version: 'v1', plural: 'resourcequotas' };
export const LIMIT_RANGES: Kind = { group: '', version: 'v1', plural: 'limitranges' };
export const POLICIES: Kind = {
  group: 'networking.k8s.io',
  version: 'v1',
  plural: 'networkpolicies',
};
