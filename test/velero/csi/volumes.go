package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	defaultBytes = 1 << 30
	leastBytes   = 16 << 20
	// The size of ext4's blocks. A volume is a whole number of them.
	blockBytes = 4096
)

func (d *driver) CreateVolume(ctx context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	wanted, err := readVolume(r)
	if err != nil {
		return nil, err
	}
	err = d.jobs.run(ctx, "create", "volume "+wanted.ID, func() error { return d.createVolume(*wanted, r.GetCapacityRange()) })
	if err != nil {
		return nil, err
	}
	v, err := load[volume](d.store, volumes, wanted.ID)
	if err != nil {
		return nil, asStatus(err)
	}
	if v == nil {
		return nil, status.Errorf(codes.Aborted, "volume %s was deleted meanwhile", wanted.ID)
	}
	limit := r.GetCapacityRange().GetLimitBytes()
	if v.Source != wanted.Source || v.Bytes < wanted.Bytes || limit > 0 && v.Bytes > limit || v.Source == "" && v.Mode != wanted.Mode {
		return nil, status.Errorf(codes.AlreadyExists, "volume %s exists, and is another one: %+v", v.ID, *v)
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId: v.ID, CapacityBytes: v.Bytes, ContentSource: r.VolumeContentSource,
		VolumeContext: map[string]string{"mode": v.Mode},
	}}, nil
}

func readVolume(r *csi.CreateVolumeRequest) (*volume, error) {
	if !safe(r.Name) {
		return nil, invalid("the name %q of a volume cannot name a file", r.Name)
	}
	if err := checkCapabilities(r.VolumeCapabilities...); err != nil {
		return nil, err
	}
	mode, err := readMode(r.Parameters)
	if err != nil {
		return nil, err
	}
	source := r.GetVolumeContentSource()
	if source != nil && source.GetSnapshot() == nil {
		return nil, invalid("a volume can be made of a snapshot only")
	}
	bytes := r.GetCapacityRange().GetRequiredBytes()
	if bytes == 0 {
		bytes = defaultBytes
	}
	return &volume{ID: r.Name, Mode: mode, Source: source.GetSnapshot().GetSnapshotId(), Bytes: bytes}, nil
}

func (d *driver) createVolume(v volume, capacity *csi.CapacityRange) error {
	if old, err := load[volume](d.store, volumes, v.ID); err != nil || old != nil {
		return err
	}
	var from *snapshot
	var err error
	if v.Source != "" {
		if from, err = need[snapshot](d.store, snapshots, v.Source); err != nil {
			return err
		}
		if time.Now().Before(from.Ready) {
			return status.Errorf(codes.Unavailable, "snapshot %s is not ready yet", v.Source)
		}
		v.Mode, v.Bytes = from.Mode, max(v.Bytes, from.Bytes)
	}
	v.Bytes = (max(v.Bytes, leastBytes) + blockBytes - 1) / blockBytes * blockBytes
	if limit := capacity.GetLimitBytes(); limit > 0 && v.Bytes > limit {
		return status.Errorf(codes.OutOfRange, "the volume needs %d bytes; the limit is %d", v.Bytes, limit)
	}
	err = d.store.put(d.store.data(volumes, v.ID, v.Mode), func(at string) error {
		if from == nil {
			return fillEmpty(at, v)
		}
		return d.store.fillFrom(at, v, from)
	})
	if err != nil {
		return err
	}
	log.Printf("volume %s: %s, %d bytes, from %q", v.ID, v.Mode, v.Bytes, v.Source)
	return d.store.save(volumes, v.ID, v)
}

func fillEmpty(at string, v volume) error {
	switch v.Mode {
	case subvolume:
		return run("btrfs", "subvolume", "create", at)
	case live:
		return os.Mkdir(at, 0o755)
	}
	image, err := os.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(image.Truncate(v.Bytes), image.Close()); err != nil {
		return err
	}
	// Lazy initialization would write to the volume long after it was made.
	return run("mkfs.ext4", "-q", "-F", "-b", strconv.Itoa(blockBytes), "-m", "0", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", at)
}

func (s *store) fillFrom(at string, v volume, from *snapshot) error {
	data := s.data(snapshots, from.ID, from.Mode)
	var err error
	switch v.Mode {
	case subvolume:
		err = run("btrfs", "subvolume", "snapshot", data, at)
	case live:
		err = run("cp", "-a", data, at)
	default:
		if err = cloneFile(data, at); err == nil && v.Bytes > from.Bytes {
			err = grow(at, v.Bytes)
		}
	}
	if err != nil {
		return err
	}
	// A snapshot that was deleted during the copy may have lost files before they were copied.
	_, err = need[snapshot](s, snapshots, from.ID)
	return err
}

// grow enlarges the ext4 in an image that is not mounted. A mounted one cannot be enlarged where root lacks
// CAP_SYS_RESOURCE. The check comes first, as resize2fs requires; it replays the journal, as a mount does.
func grow(image string, bytes int64) error {
	if err := os.Truncate(image, bytes); err != nil {
		return err
	}
	var exit *exec.ExitError
	// Exit status 1 means that everything it found is repaired, such as files deleted while open.
	if err := run("e2fsck", "-f", "-p", image); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		return err
	}
	return run("resize2fs", image)
}

func (d *driver) DeleteVolume(ctx context.Context, r *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	err := d.jobs.run(ctx, "delete", "volume "+r.VolumeId, func() error {
		v, err := load[volume](d.store, volumes, r.VolumeId)
		if err != nil || v == nil {
			return err
		}
		at := d.store.data(volumes, v.ID, v.Mode)
		used, err := inUse(at, v.Mode)
		if err != nil {
			return err
		}
		if used {
			return status.Errorf(codes.FailedPrecondition, "volume %s is still mounted", v.ID)
		}
		return d.store.remove(volumes, v.ID, at)
	})
	return &csi.DeleteVolumeResponse{}, err
}

// inUse tells whether a volume is mounted in this mount namespace.
func inUse(at, mode string) (bool, error) {
	if mode == block {
		loops, err := output("losetup", "--noheadings", "--output", "NAME", "--associated", at)
		return loops != "", err
	}
	mounts, err := output("findmnt", "--raw", "--noheadings", "--output", "FSROOT")
	for root := range strings.SplitSeq(mounts, "\n") {
		if strings.HasSuffix(root, "/"+volumes+"/"+filepath.Base(at)) {
			return true, nil
		}
	}
	return false, err
}

func (d *driver) ValidateVolumeCapabilities(_ context.Context, r *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if _, err := need[volume](d.store, volumes, r.VolumeId); err != nil {
		return nil, asStatus(err)
	}
	if err := checkCapabilities(r.VolumeCapabilities...); err != nil {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: err.Error()}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeCapabilities: r.VolumeCapabilities,
	}}, nil
}
