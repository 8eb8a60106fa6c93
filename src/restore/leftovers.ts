import type { Logger } from 'pino';
import type { Engine } from '../engines/engine.ts';
import type { Receipt } from '../receipt/receipt.ts';
import type { ReceiptVolume } from '../receipt/volume.ts';
import { beforeNextTry } from './ask.ts';

interface LeftoversDeps {
  readonly engine: Engine;
  readonly volume: ReceiptVolume;
  readonly logger: Logger;
}

/** Removes what a freeze left on a volume and in its database if its journal was lost with its pod. */
export class Leftovers {
  readonly #deps: LeftoversDeps;
  readonly #stop: AbortSignal;

  constructor(deps: LeftoversDeps, stop: AbortSignal) {
    this.#deps = deps;
    this.#stop = stop;
  }

  /** Removes the receipt of a freeze that has ended. */
  async removeReceipt(id: string): Promise<void> {
    const problem = await this.#deps.volume.clear(id);
    this.#deps.logger.warn({ freeze: id, problem }, 'the receipt of an ended freeze was left here');
    await this.remove();
  }

  /**
   * Ends, on the live volume, the freeze of a pod that died with its journal. The receipt goes first: every
   * later copy would carry it.
   */
  async takeOver({ id, frozenAt }: Receipt): Promise<void> {
    const problem = await this.#deps.volume.clear(id);
    this.#deps.logger.warn(
      { freeze: id, frozenAt, problem },
      'this is the live volume of a pod that died while frozen, not a restored copy: its receipt is removed (a restored copy needs the name of its restore in QUIESCE_RESTORE_MARK)',
    );
    while (!this.#stop.aborted && !(await this.remove())) {
      await beforeNextTry(this.#stop);
    }
  }

  /** Lets the engine remove what has no owner. @returns whether it did */
  async remove(): Promise<boolean> {
    try {
      await this.#deps.engine.recover(null, this.#stop);
      return true;
    } catch (error) {
      this.#deps.logger.warn(
        { err: error },
        'the remains of an earlier freeze could not be removed',
      );
      return false;
    }
  }
}
