package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// NodeStageVolume mounts the volume. mount makes the loop device of an image itself, so the kernel takes it
// away with the last mount, also when that ends with its mount namespace.
func (d *driver) NodeStageVolume(ctx context.Context, r *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	if err := checkCapabilities(r.VolumeCapability); err != nil {
		return nil, err
	}
	err := d.jobs.run(ctx, "stage", "volume "+r.VolumeId, func() error {
		v, err := need[volume](d.store, volumes, r.VolumeId)
		if err != nil {
			return err
		}
		data := d.store.data(volumes, v.ID, v.Mode)
		if v.Mode != block {
			return mountAt(r.StagingTargetPath, "--bind", data)
		}
		flags := strings.Join(append([]string{"loop"}, r.GetVolumeCapability().GetMount().GetMountFlags()...), ",")
		return mountAt(r.StagingTargetPath, "-t", "ext4", "-o", flags, data)
	})
	return &csi.NodeStageVolumeResponse{}, err
}

func (d *driver) NodeUnstageVolume(ctx context.Context, r *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	err := d.jobs.run(ctx, "unstage", "volume "+r.VolumeId, func() error { return unmount(r.StagingTargetPath) })
	return &csi.NodeUnstageVolumeResponse{}, err
}

func (d *driver) NodePublishVolume(ctx context.Context, r *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	if err := checkCapabilities(r.VolumeCapability); err != nil {
		return nil, err
	}
	err := d.jobs.run(ctx, "publish", "target "+r.TargetPath, func() error {
		staged, err := mounted(r.StagingTargetPath)
		if err != nil {
			return err
		}
		if !staged {
			return status.Errorf(codes.FailedPrecondition, "volume %s is not staged at %q", r.VolumeId, r.StagingTargetPath)
		}
		if err := mountAt(r.TargetPath, "--bind", r.StagingTargetPath); err != nil || !r.Readonly {
			return err
		}
		if err := run("mount", "-o", "remount,bind,ro", r.TargetPath); err != nil {
			return errors.Join(err, unmount(r.TargetPath))
		}
		return nil
	})
	return &csi.NodePublishVolumeResponse{}, err
}

func (d *driver) NodeUnpublishVolume(ctx context.Context, r *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	err := d.jobs.run(ctx, "unpublish", "target "+r.TargetPath, func() error {
		if err := unmount(r.TargetPath); err != nil {
			return err
		}
		// Not the whole tree: a folder that is not empty is something else's.
		if err := os.Remove(r.TargetPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	return &csi.NodeUnpublishVolumeResponse{}, err
}

// NodeGetVolumeStats is asked by the kubelet for its metrics of volumes. Volumes of the modes subvolume and
// copy have no size of their own: theirs are those of the whole file system.
func (d *driver) NodeGetVolumeStats(_ context.Context, r *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	there, err := mounted(r.VolumePath)
	if err != nil {
		return nil, asStatus(err)
	}
	if !there {
		return nil, status.Errorf(codes.NotFound, "volume %s is not mounted at %q", r.VolumeId, r.VolumePath)
	}
	var about unix.Statfs_t
	if err := unix.Statfs(r.VolumePath, &about); err != nil {
		return nil, asStatus(err)
	}
	blocks := func(n uint64) int64 { return int64(n) * about.Bsize }
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		{
			Unit: csi.VolumeUsage_BYTES, Total: blocks(about.Blocks), Available: blocks(about.Bavail),
			Used: blocks(about.Blocks - about.Bfree),
		},
		{
			Unit: csi.VolumeUsage_INODES, Total: int64(about.Files), Available: int64(about.Ffree),
			Used: int64(about.Files - about.Ffree),
		},
	}}, nil
}

// mountAt mounts at path, unless something is mounted there already.
func mountAt(path string, what ...string) error {
	if path == "" {
		return invalid("the path of the mount is missing")
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	there, err := mounted(path)
	if err != nil || there {
		return err
	}
	return run(append(append([]string{"mount"}, what...), path)...)
}

func unmount(path string) error {
	there, err := mounted(path)
	if err != nil || !there {
		return err
	}
	return run("umount", path)
}

func mounted(path string) (bool, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	err := exec.Command("mountpoint", "--quiet", path).Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 32 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("mountpoint %s: %w", path, err)
	}
	return true, nil
}
