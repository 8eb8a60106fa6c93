import { describeCells } from '../matrix/slice.ts';

describeCells('replica-paused');
