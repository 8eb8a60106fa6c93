import { describe, expect, it } from 'vitest';
import { deployment, notKeptIn, planObjects, problemsIn } from './support.ts';

interface Given {
  readonly volume?: string;
  readonly init: object;
  readonly main?: object;
  readonly others?: readonly object[];
}

/** The problems of an application with an emptyDir that an init container mounts. It is always listed. */
function problems({ volume = 'content', init, main = {}, others = [] }: Given): readonly string[] {
  const spec = {
    initContainers: [
      {
        name: 'init',
        image: 'busybox',
        volumeMounts: [{ name: volume, mountPath: '/out' }],
        ...init,
      },
    ],
    containers: [
      {
        name: 'app',
        image: 'acme/app',
        volumeMounts: [{ name: volume, mountPath: '/in', ...main }],
      },
      ...others,
    ],
    volumes: [{ name: volume, emptyDir: {} }],
  };
  const plan = planObjects([deployment('app', spec)]);
  expect(notKeptIn(plan)).toEqual([`Deployment/app ${volume}`]);
  return problemsIn(plan, /^STATE_/);
}

const mountAt = (mountPath: string, more: object = {}) => ({
  volumeMounts: [{ name: 'content', mountPath, ...more }],
});
const sh = (text: string) => ({ command: ['sh', '-c', text] });

describe('an init container fills a volume', () => {
  it.each<[string, Given]>([
    ['if the others only read it', { init: sh('render > /out/a.conf'), main: { readOnly: true } }],
    ['by the entry point of its own image', { init: { image: 'acme/plugins:2' } }],
    ['by copying', { init: sh('cp -r /themes/* /out/') }],
    ['by downloading', { init: sh('wget -O /out/a.jar https://example.org/a.jar') }],
    ['by writing', { init: sh('chown 1000 /out && echo "key: $KEY" > /out/a.yaml') }],
    ['by copying from the main image', { init: { image: 'acme/app', ...sh('cp -a public /out') } }],
    [
      'that a sidecar then keeps up to date',
      {
        init: { image: 'git-sync', args: ['--one-time'] },
        main: { readOnly: true },
        others: [
          {
            name: 'git-sync',
            image: 'git-sync',
            volumeMounts: [{ name: 'content', mountPath: '/git' }],
          },
        ],
      },
    ],
    [
      'by the program that keeps it up to date later',
      {
        init: { image: 'kiwigrid/k8s-sidecar:2', ...mountAt('/in') },
        others: [{ name: 'reload', image: 'kiwigrid/k8s-sidecar:2', ...mountAt('/in') }],
      },
    ],
    [
      'where a server reads its configuration, whatever the volume is called',
      {
        volume: 'scripts-data',
        init: sh('cp -r /docker-entrypoint-initdb.d/* /out'),
        main: { mountPath: '/docker-entrypoint-initdb.d' },
      },
    ],
  ])('%s', (_, given) => {
    expect(problems(given)).toEqual([]);
  });
});

describe('an init container does not fill a volume', () => {
  it.each<[string, Given]>([
    ['if it only reads it', { init: mountAt('/out', { readOnly: true }) }],
    ['if it only changes its owner', { init: sh('chown -R 1000:1000 /out') }],
    ['if it only makes folders', { init: sh('mkdir -p /out/a && chmod 700 /out/a 2>/dev/null') }],
    ['if it only waits', { init: sh('until nc -z db 5432; do sleep 1; done') }],
    [
      'if it prepares what its own image goes on writing',
      {
        init: { image: 'acme/app', command: ['/init.sh'], ...mountAt('/in') },
      },
    ],
    ['of users’ uploads', { volume: 'uploads', init: sh('cp -r /seed /out') }],
    ['of data', { volume: 'app-data', init: sh('cp -r /seed /out') }],
    [
      'in which a database has its data',
      { init: sh('cp /seed /out'), main: { mountPath: '/var/lib/postgresql/data' } },
    ],
  ])('%s', (_, given) => {
    expect(problems(given)).toEqual(['STATE_NOT_KEPT Deployment/app']);
  });

  it('that runs as long as the pod: it is a container like the others', () => {
    const init = { restartPolicy: 'Always', ...sh('cp -r /seed /out') };
    expect(problems({ init })).toEqual(['STATE_NOT_KEPT Deployment/app']);
  });
});
