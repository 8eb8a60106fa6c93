import type { Database } from './find-database.ts';
import type { Pod, SecurityContext } from '../objects/pod.ts';

/** What "restricted" of the Pod Security Standards asks for, and a root file system nobody writes to. */
const RESTRICTED = {
  readOnlyRootFilesystem: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

/**
 * The security context of what is added: restricted, as the user that owns the data. A server that is
 * started as root gives root up, so that the image's own user counts; `undefined` user where nothing
 * tells it, and the cluster decides.
 */
export function securityContext(pod: Pod, { container, profile }: Database): SecurityContext {
  const own = container.securityContext;
  const shared = pod.spec?.securityContext;
  const told = own?.runAsUser ?? shared?.runAsUser;
  if (told !== undefined && told !== 0) {
    const gid = own?.runAsGroup ?? shared?.runAsGroup;
    return {
      runAsUser: told,
      ...(gid === undefined ? {} : { runAsGroup: gid }),
      runAsNonRoot: true,
      ...RESTRICTED,
    };
  }
  const image = profile.user(container.image ?? '');
  if (image === undefined) return { runAsNonRoot: true, ...RESTRICTED };
  const gid = image.gid === undefined ? {} : { runAsGroup: image.gid };
  return { runAsUser: image.uid, ...gid, runAsNonRoot: true, ...RESTRICTED };
}

/** Whether the server is started as root, and a volume's own folder may belong to root. */
export function startsAsRoot(pod: Pod, { container }: Database): boolean {
  return (container.securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser ?? 0) === 0;
}
