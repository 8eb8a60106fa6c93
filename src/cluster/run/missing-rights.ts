import { each, type ObjectApi } from '../api/objects.ts';
import type { Right } from '../api/rights.ts';
import { at } from '../objects/kube-object.ts';

/** Those of the rights that the credentials lack, as the API server itself says. */
export async function missingRights(
  api: ObjectApi,
  rights: readonly Right[],
): Promise<readonly Right[]> {
  const denied = await each(rights, async (right) => {
    const { namespace, ...attributes } = right;
    const resourceAttributes = { ...attributes, ...(namespace !== undefined && { namespace }) };
    const answer = await api.post('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes },
    });
    // A cluster that refuses the question answers when it is asked to act.
    return answer.status === 201 && at(answer.body, 'status', 'allowed') === false ? [right] : [];
  });
  return denied.flat();
}
