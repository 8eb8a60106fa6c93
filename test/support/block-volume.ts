export {
  type BlockVolume,
  makeBlockVolume,
  sweepBlockVolumes,
} from '../../src/testbed/volume/block-volume.ts';
