import type { Cause } from '../state.ts';
import { listAt, textAt } from '../../objects/kube-object.ts';
import type { PodContext } from './context.ts';

const REASONS =
  /^(?:ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull|ImageInspectError|RegistryUnavailable|SignatureValidationFailed)$/;
/** A registry that says so says it again. */
const FINAL =
  /not found|manifest unknown|name unknown|unauthorized|authentication required|denied|forbidden|no basic auth|invalid reference|no match for platform|no matching manifest|does not exist/i;

/** The image of the container cannot be pulled, in the words of the registry. */
export function imageCause(
  { name }: { readonly name: string },
  reason: string,
  message: string,
  context: PodContext,
): Cause | undefined {
  if (!REASONS.test(reason)) return undefined;
  const specs = ['containers', 'initContainers'].flatMap((one) => listAt(context.pod, 'spec', one));
  const image =
    textAt(
      specs.find((one) => textAt(one, 'name') === name),
      'image',
    ) ?? '';
  // The message of a container that backs off may say only that.
  const event = context.events.latest(context.pod, /^Failed$/, /^Failed to pull image/);
  const plain =
    event !== undefined && (image === '' || event.message.includes(image)) ? event.message : '';
  const said =
    /^Back-off pulling image "[^"]*"\.?$/.test(message) || message === ''
      ? plain || message
      : message;
  const words = said.replace(
    /^Failed to pull image "[^"]*": |^Back-off pulling image "[^"]*": (?:ErrImagePull: )?/,
    '',
  );
  const final =
    reason === 'InvalidImageName' || reason === 'ErrImageNeverPull' || FINAL.test(words);
  const hint = /unauthorized|denied|authentication|no basic auth|forbidden/i.test(words)
    ? 'Correct the name, or give the pod the imagePullSecret of that registry.'
    : reason === 'ErrImageNeverPull'
      ? 'Its imagePullPolicy is Never: load the image on the node.'
      : final
        ? 'Correct the name of the image, or push it to that registry.'
        : 'Look whether the node reaches the registry.';
  const text = `The image ${image} of the container ${name} cannot be pulled: ${words || reason}`;
  return context.cause('IMAGE_NOT_PULLED', text, !final, hint);
}
