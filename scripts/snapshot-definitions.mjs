// Prints the folder with the CustomResourceDefinitions of snapshots and group snapshots, as their project
// publishes them in its own Go module. The first call downloads it.
import { join } from 'node:path';
import { goModule } from './go.mjs';

const MODULE = 'github.com/kubernetes-csi/external-snapshotter/client/v8@v8.6.0';

process.stdout.write(`${join(goModule(MODULE), 'config', 'crd')}\n`);
