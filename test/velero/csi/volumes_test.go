package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
)

const mib = 1 << 20

func TestVolumeIsMadeOnce(t *testing.T) {
	r := start(t)
	at := r.volume("v", block, "", 64*mib)
	write(t, filepath.Join(at, "kept"), "kept", true)
	_, err := r.tryVolume("v", block, "", 64*mib)
	check(t, err)
	if read(t, filepath.Join(at, "kept")) != "kept" {
		t.Fatal("the second call made the volume anew")
	}
	_, err = r.tryVolume("v", block, "", 128*mib)
	expectCode(t, err, codes.AlreadyExists, "v")
	_, err = r.tryVolume("v", subvolume, "", 64*mib)
	expectCode(t, err, codes.AlreadyExists, "v")
}

func TestRestoredVolumeMayBeLarger(t *testing.T) {
	r := start(t)
	at := r.volume("v", block, "", 64*mib)
	write(t, filepath.Join(at, "file"), "content", true)
	// Deleted while open: the check of the file system finds something to repair.
	open, err := os.Create(filepath.Join(at, "deleted"))
	check(t, err)
	defer open.Close()
	check(t, os.Remove(filepath.Join(at, "deleted")))
	check(t, open.Sync())
	r.snapshot("s", "v", nil)
	larger := r.volume("larger", block, "s", 256*mib)
	if read(t, filepath.Join(larger, "file")) != "content" {
		t.Fatal("the content is not that of the snapshot")
	}
	answer, err := r.NodeGetVolumeStats(r.Context, &csi.NodeGetVolumeStatsRequest{VolumeId: "larger", VolumePath: larger})
	check(t, err)
	if total := answer.Usage[0].Total; total < 200*mib || total > 256*mib {
		t.Fatalf("a volume of 256 MiB reports %d bytes", total)
	}
	smaller, err := r.tryVolume("smaller", block, "s", 16*mib)
	check(t, err)
	if smaller.CapacityBytes != 64*mib {
		t.Fatalf("a volume made of a snapshot of 64 MiB has %d bytes", smaller.CapacityBytes)
	}
}

func TestVolumeOverItsLimitIsRefused(t *testing.T) {
	r := start(t)
	_, err := r.CreateVolume(r.Context, &csi.CreateVolumeRequest{
		Name: "v", CapacityRange: &csi.CapacityRange{LimitBytes: 4096}, VolumeCapabilities: []*csi.VolumeCapability{mounts},
	})
	expectCode(t, err, codes.OutOfRange, "limit")
}

func TestMountedVolumeIsNotDeleted(t *testing.T) {
	r := start(t)
	for _, mode := range []string{block, subvolume, live} {
		name := "v-" + mode
		at := r.volume(name, mode, "", 32*mib)
		_, err := r.DeleteVolume(r.Context, &csi.DeleteVolumeRequest{VolumeId: name})
		expectCode(t, err, codes.FailedPrecondition, "still mounted")
		_, err = r.NodeUnpublishVolume(r.Context, &csi.NodeUnpublishVolumeRequest{VolumeId: name, TargetPath: at})
		check(t, err)
		_, err = r.NodeUnstageVolume(r.Context, &csi.NodeUnstageVolumeRequest{VolumeId: name, StagingTargetPath: r.staging(name)})
		check(t, err)
		for range 2 { // deleting twice is no error
			for range 50 { // the loop device goes a moment after the mount
				if _, err = r.DeleteVolume(r.Context, &csi.DeleteVolumeRequest{VolumeId: name}); err == nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			check(t, err)
		}
		for _, left := range []string{at, filepath.Join(r.root, "images", name), filepath.Join(r.root, volumes, name)} {
			if _, err := os.Lstat(left); !os.IsNotExist(err) {
				t.Fatalf("%s is left: %v", left, err)
			}
		}
	}
}

func TestReadOnlyVolumeRefusesWrites(t *testing.T) {
	r := start(t)
	_, err := r.tryVolume("v", block, "", 32*mib)
	check(t, err)
	at := r.mount("v", true)
	if err := os.WriteFile(filepath.Join(at, "x"), nil, 0o600); err == nil || !strings.Contains(err.Error(), syscall.EROFS.Error()) {
		t.Fatalf("a write on a read-only volume: %v", err)
	}
}

func TestWhatItDoesNotKnowIsRefused(t *testing.T) {
	r := start(t)
	raw := &csi.VolumeCapability{AccessType: &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}}
	xfs := &csi.VolumeCapability{AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: "xfs"}}}
	for part, request := range map[string]*csi.CreateVolumeRequest{
		"raw block":      {Name: "v", VolumeCapabilities: []*csi.VolumeCapability{raw}},
		"ext4 only":      {Name: "v", VolumeCapabilities: []*csi.VolumeCapability{xfs}},
		"mode is":        {Name: "v", Parameters: map[string]string{"mode": "blok"}},
		`parameter "mod`: {Name: "v", Parameters: map[string]string{"mod": "block"}},
		"name a file":    {Name: "../v"},
	} {
		_, err := r.CreateVolume(r.Context, request)
		expectCode(t, err, codes.InvalidArgument, part)
	}
	r.volume("v", block, "", 32*mib)
	for key, value := range map[string]string{"cutDelay": "40", "cutdelay": "40s", "clockOffset": "fast", "order": "first"} {
		_, err := r.trySnapshot("s", "v", map[string]string{key: value})
		expectCode(t, err, codes.InvalidArgument, key)
	}
	_, err := r.NodePublishVolume(r.Context, &csi.NodePublishVolumeRequest{
		VolumeId: "v", StagingTargetPath: r.root + "/none", TargetPath: r.root + "/at", VolumeCapability: mounts,
	})
	expectCode(t, err, codes.FailedPrecondition, "not staged")
	_, err = r.NodeGetVolumeStats(r.Context, &csi.NodeGetVolumeStatsRequest{VolumeId: "v", VolumePath: r.root + "/none"})
	expectCode(t, err, codes.NotFound, "not mounted")
}
