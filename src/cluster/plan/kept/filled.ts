import { cleanPath } from '../../objects/clean-path.ts';
import { profileOf } from '../../../engines/profiles.ts';
import { ENGINE_NAMES } from '../../../engines/names.ts';
import type { Container, Pod } from '../../objects/pod.ts';
import { initContainers, isWritten, type Mounted, mountsOf, runningContainers } from './mounts.ts';

/** Programs that bring content, and a redirection of output into a file. */
const BRINGS =
  /\b(?:cp|mv|ln|tar|unzip|gunzip|rsync|curl|wget|git|tee|envsubst|sed|awk|jq|yq|aws|gsutil|s3cmd|rclone|mc|npm|pip|python3?|node|php|java|openssl|keytool|kubectl|vault|gomplate|install)\b|(?:^|[^<>-])>{1,2}\s*["']?(?!\/dev\/null)[/$]/;
/** Programs that only prepare a folder, or wait. */
const PREPARES =
  /\b(?:chown|chmod|chgrp|mkdir|touch|rm|find|test|ls|sleep|nc|until|while|pg_isready|true|echo|id|stat)\b/;
/** Names of volumes that hold what users have put there. */
const OF_USERS =
  /^(?:.*-)?(?:data|uploads?|storage|media|attachments?|repos(?:itories)?|sessions?|db|database)$/;

/** Where servers read what they start with, never where they keep users' files. */
const CONFIGURATION = /^\/(?:usr\/local\/etc|docker-entrypoint-initdb\.d)(?:\/|$)/;
/** Programs that bring what is elsewhere, by a setting that no command shows. */
const SYNCS = /sync|k8s-sidecar/;

/**
 * Whether an init container fills the emptyDir at each start of the pod, so that a restore brings its content
 * back. It does if nobody else writes there. Otherwise it must bring content, not only prepare the folder
 * (`chown`), and the volume must not look like the place of users' files: an application with its data on an
 * emptyDir also has init containers that mount it.
 */
export function isFilled(pod: Pod, volume: string): boolean {
  const running = mountsOf(runningContainers(pod), volume);
  const filling = mountsOf(initContainers(pod), volume).filter(isWritten);
  const writers = running.filter(isWritten);
  const brought = filling.filter(({ container }) => !onlyPrepares(container));
  // A sidecar that keeps a folder up to date (git-sync) writes for a main container that only reads.
  const refreshed = writers.length > 0 && writers.length < running.length && writers.every(isSync);
  if (writers.length === 0 || refreshed) return filling.length > 0 || refreshed;
  const configures = writers.every(({ mount }) => CONFIGURATION.test(cleanPath(mount.mountPath)));
  return (
    (configures || !OF_USERS.test(volume)) &&
    !writers.some(isDataFolder) &&
    brought.some((one) => writers.every((writer) => bringsFor(one, writer)))
  );
}

function onlyPrepares(container: Container): boolean {
  const text = textOf(container);
  return !BRINGS.test(text) && PREPARES.test(text);
}

/**
 * An init container with the writer's own image and mount prepares what the writer then goes on writing,
 * unless its command shows that it brings content.
 */
function bringsFor(init: Mounted, writer: Mounted): boolean {
  const sameImage = init.container.image === writer.container.image;
  const samePath = cleanPath(init.mount.mountPath) === cleanPath(writer.mount.mountPath);
  const { image = '' } = init.container;
  return !(sameImage && samePath) || SYNCS.test(image) || BRINGS.test(textOf(init.container));
}

function isSync({ container }: Mounted): boolean {
  return /sync|k8s-sidecar|reload|watch|agent/.test(`${container.name} ${container.image ?? ''}`);
}

/** Whether a known server keeps its data at this path. */
function isDataFolder({ mount }: Mounted): boolean {
  const path = cleanPath(mount.mountPath);
  return ENGINE_NAMES.some((name) => profileOf(name).places.includes(path));
}

function textOf({ command = [], args = [] }: Container): string {
  return [...command, ...args].join(' ');
}
