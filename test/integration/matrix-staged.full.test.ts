import { describeCells } from '../matrix/slice.ts';

describeCells('staged');
