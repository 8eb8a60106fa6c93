import { onPath, requireInstalled } from './packages.ts';

/** What the tests of the chart and the webhook run: there is no stand-in for any of it. */
export default function setup(): void {
  requireInstalled({
    promtool: 'prometheus',
    // Fetches Go where the machine has none (scripts/go.mjs).
    ...(onPath('go') ? {} : { pip3: 'python3-pip' }),
  });
}
