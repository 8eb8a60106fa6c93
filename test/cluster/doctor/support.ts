import { readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { examine } from '../../../src/cluster/doctor/examine.ts';
import { readInventory } from '../../../src/cluster/inventory/read-manifests.ts';
import type { Inventory } from '../../../src/cluster/inventory/catalog.ts';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import type { Finding } from '../../../src/cluster/doctor/rule.ts';

export const BROKEN = resolve('test/cluster/doctor/fixtures/broken');
export const CLEAN = resolve('test/cluster/doctor/fixtures/clean');

export const NOW = Date.parse('2026-06-01T00:00:00Z');

/** Names of the manifests in a folder, without their extension. */
export function namesIn(folder: string): readonly string[] {
  return readdirSync(folder).map((name) => basename(name, '.yaml'));
}

export function load(paths: readonly string[], whole = false): Promise<Inventory> {
  return readInventory(paths, { whole, namespaces: undefined, now: NOW });
}

export function inventory(objects: readonly object[], more: Partial<Inventory> = {}): Inventory {
  return { objects: objects as KubeObject[], scope: 'part', unexamined: [], now: NOW, ...more };
}

export function findingsOf(objects: readonly object[], more: Partial<Inventory> = {}) {
  return examine(inventory(objects, more)).findings;
}

export function codes(findings: readonly Finding[]): readonly string[] {
  return [...new Set(findings.map(({ code }) => code))].toSorted();
}

export function fixture(name: string): string {
  return join(BROKEN, `${name}.yaml`);
}
