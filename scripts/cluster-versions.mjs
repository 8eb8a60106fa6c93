// The versions of what the cluster of `npm run test:velero` is built from; of Kubernetes also for
// `npm run test:kubernetes`. Folders in the cache and images have them in their names.
export const VERSIONS = {
  kubernetes: '1.35.4',
  provisioner: '6.4.0',
  snapshotter: '8.7.0',
  velero: '1.18.3',
  'velero-plugin-for-aws': '1.14.3',
  'kube-router': '2.1.0',
  layer: '2.2.2',
  moto: '5.2.5',
};
