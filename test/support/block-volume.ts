export {
  type BlockVolume,
  makeBlockVolume,
  sweepBlockVolumes,
} from '../../src/demo/block-volume.ts';
