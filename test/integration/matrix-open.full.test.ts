import { describeCells } from '../matrix/slice.ts';

describeCells('open');
