import type { Database } from './find-database.ts';
import type { NamespaceRules } from './namespace-rules.ts';
import type { InjectConfig } from './options.ts';
import type { Pod, SecurityContext } from '../objects/pod.ts';

/** The "restricted" level of the Pod Security Standards, and a read-only root file system. */
const RESTRICTED = {
  readOnlyRootFilesystem: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

/**
 * The security context of the added containers: restricted, as the user that owns the data. A server
 * that starts as root switches to the image's user, so that user is taken. Without a known user the
 * context has no `runAsUser`, and the cluster decides.
 *
 * @param platform the platform chooses users, and would refuse the image's
 */
export function securityContext(
  pod: Pod,
  { container, profile }: Database,
  platform = false,
): SecurityContext {
  const own = container.securityContext;
  const podContext = pod.spec?.securityContext;
  const declaredUser = own?.runAsUser ?? podContext?.runAsUser;
  if (declaredUser !== undefined && declaredUser !== 0) {
    const gid = own?.runAsGroup ?? podContext?.runAsGroup;
    return {
      runAsUser: declaredUser,
      ...(gid === undefined ? {} : { runAsGroup: gid }),
      runAsNonRoot: true,
      ...RESTRICTED,
    };
  }
  const image = platform ? undefined : profile.user(container.image ?? '');
  if (image === undefined) return { runAsNonRoot: true, ...RESTRICTED };
  const gid = image.gid === undefined ? {} : { runAsGroup: image.gid };
  return { runAsUser: image.uid, ...gid, runAsNonRoot: true, ...RESTRICTED };
}

/** Whether the server starts as root, in which case the root folder of its volume may belong to root. */
export function startsAsRoot(pod: Pod, { container }: Database): boolean {
  return (container.securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser ?? 0) === 0;
}

/** OpenShift's own registry: no other platform has it. */
const OPENSHIFT_REGISTRY = /^image-registry\.openshift-image-registry\.svc[:/]/;

/** Whether the platform chooses the user of a container that sets none, and refuses others. */
export function leavesUser(
  { container }: Database,
  config: Pick<InjectConfig, 'runAsUser'>,
  rules: NamespaceRules | undefined,
): boolean {
  const openshift = rules?.ownUsers === true || OPENSHIFT_REGISTRY.test(container.image ?? '');
  return config.runAsUser === 'platform' || openshift;
}
