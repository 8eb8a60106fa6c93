import { readFileSync } from 'node:fs';
import { packageFile } from '../../../src/testbed/package-file.ts';
import { type Edit, Manifest } from './manifest.ts';

/** What every application has from its manifest. */
export abstract class ManifestApp {
  readonly namespace: string;
  readonly pods: readonly string[];
  readonly claims: readonly string[];
  protected readonly objects: Manifest;
  readonly #text: string;

  /** @param path of the manifest in the checkout; without edits, its text is applied as it is */
  constructor(path: string, edits: readonly Edit[]) {
    const text = readFileSync(packageFile(path), 'utf8');
    this.objects = Manifest.of(text, edits);
    this.#text = edits.length === 0 ? text : this.objects.print();
    this.namespace = this.objects.namespace;
    this.pods = this.objects.pods;
    this.claims = this.objects.claims;
  }

  manifest(): string {
    return this.#text;
  }

  /** The pod of an application that has one. */
  protected get pod(): string {
    return this.pods[0] ?? '';
  }
}
