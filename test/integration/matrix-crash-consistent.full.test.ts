import { describeCells } from '../matrix/slice.ts';

describeCells('crash-consistent');
