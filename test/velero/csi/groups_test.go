package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
)

func (r *rig) group(name string, of ...string) (*csi.VolumeGroupSnapshot, error) {
	answer, err := r.CreateVolumeGroupSnapshot(r.Context, &csi.CreateVolumeGroupSnapshotRequest{Name: name, SourceVolumeIds: of})
	return answer.GetGroupSnapshot(), err
}

func TestGroupOfAWrongClock(t *testing.T) {
	r := start(t)
	r.volume("v", block, "", 32*mib)
	from := time.Now()
	answer, err := r.CreateVolumeGroupSnapshot(r.Context, &csi.CreateVolumeGroupSnapshotRequest{
		Name: "g", SourceVolumeIds: []string{"v"}, Parameters: map[string]string{"clockOffset": "1h"},
	})
	check(t, err)
	g := answer.GroupSnapshot
	for _, says := range []time.Time{g.CreationTime.AsTime(), g.Snapshots[0].CreationTime.AsTime()} {
		if created := says.Add(-time.Hour); created.Before(from) || created.After(time.Now()) {
			t.Fatalf("it says %s", says)
		}
	}
}

// counters writes rising numbers to both volumes, each synced, to the first one first. At any one moment the
// first is equal to the second, or ahead by one.
func counters(t *testing.T, first, second string) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 1; ; n++ {
			select {
			case <-end:
				return
			default:
			}
			for _, at := range []string{first, second} {
				write(t, filepath.Join(at, fmt.Sprintf("n%d", n%2)), fmt.Sprintf("%09d", n), true)
			}
		}
	}()
	return func() { close(end); <-ended }
}

// counter is the highest number on a restored volume: of the two files, one may be cut while it is replaced.
func (r *rig) counter(snapshot string) int {
	at := r.volume("of-"+snapshot, block, snapshot, 32*mib)
	highest := 0
	files, err := filepath.Glob(filepath.Join(at, "n?"))
	check(r.t, err)
	for _, file := range files {
		n, _ := strconv.Atoi(read(r.t, file))
		highest = max(highest, n)
	}
	return highest
}

func TestGroupIsOfOneMoment(t *testing.T) {
	r := start(t)
	stop := counters(t, r.volume("a", block, "", 32*mib), r.volume("b", block, "", 32*mib))
	time.Sleep(time.Second)
	for i := range 5 {
		name := fmt.Sprintf("g%d", i)
		g, err := r.group(name, "a", "b")
		check(t, err)
		again, err := r.group(name, "b", "a")
		check(t, err)
		if !g.ReadyToUse || !again.CreationTime.AsTime().Equal(g.CreationTime.AsTime()) || len(again.Snapshots) != 2 {
			t.Fatalf("%v, then %v", g, again)
		}
	}
	r.snapshot("single-a", "a", nil)
	time.Sleep(500 * time.Millisecond)
	r.snapshot("single-b", "b", nil)
	stop()
	for i := range 5 {
		a, b := r.counter(fmt.Sprintf("g%d-0", i)), r.counter(fmt.Sprintf("g%d-1", i))
		if a == 0 || a != b && a != b+1 {
			t.Fatalf("group %d has %d and %d", i, a, b)
		}
	}
	// The same measure shows single snapshots apart: it can fail.
	if a, b := r.counter("single-a"), r.counter("single-b"); a == b || a == b+1 {
		t.Fatalf("snapshots of two moments have %d and %d", a, b)
	}
}

func TestGroupLacksThePageCache(t *testing.T) {
	r := start(t)
	at := r.volume("v", block, "", 32*mib)
	write(t, filepath.Join(at, "n0"), "1", true)
	write(t, filepath.Join(at, "n1"), "2", false)
	_, err := r.group("g", "v")
	check(t, err)
	if n := r.counter("g-0"); n != 1 {
		t.Fatalf("it has %d", n)
	}
}

func TestGroupOfWhatCannotBeInOneIsRefused(t *testing.T) {
	r := start(t)
	for name, mode := range map[string]string{"a": block, "b": block, "s": subvolume} {
		_, err := r.tryVolume(name, mode, "", 32*mib)
		check(t, err)
	}
	_, err := r.group("g", "a", "none")
	expectCode(t, err, codes.NotFound, "none")
	_, err = r.group("g", "a", "s")
	expectCode(t, err, codes.InvalidArgument, "mode subvolume")
	answer, err := r.ListSnapshots(r.Context, &csi.ListSnapshotsRequest{})
	check(t, err)
	if len(answer.Entries) != 0 {
		t.Fatalf("a refused group left %v", answer.Entries)
	}
	_, err = r.group("g", "a")
	check(t, err)
	_, err = r.group("g", "a", "b")
	expectCode(t, err, codes.AlreadyExists, "other volumes")
}

func TestGroupIsDeletedWholeOrByMember(t *testing.T) {
	r := start(t)
	for _, name := range []string{"a", "b"} {
		_, err := r.tryVolume(name, block, "", 32*mib)
		check(t, err)
	}
	for _, name := range []string{"g", "h"} {
		_, err := r.group(name, "a", "b")
		check(t, err)
	}
	_, err := r.DeleteVolumeGroupSnapshot(r.Context, &csi.DeleteVolumeGroupSnapshotRequest{GroupSnapshotId: "g", SnapshotIds: []string{"h-0"}})
	expectCode(t, err, codes.InvalidArgument, "h-0")
	_, err = r.DeleteVolumeGroupSnapshot(r.Context, &csi.DeleteVolumeGroupSnapshotRequest{GroupSnapshotId: "g", SnapshotIds: []string{"g-0", "g-1"}})
	check(t, err)
	_, err = r.DeleteSnapshot(r.Context, &csi.DeleteSnapshotRequest{SnapshotId: "h-0"})
	check(t, err)
	answer, err := r.GetVolumeGroupSnapshot(r.Context, &csi.GetVolumeGroupSnapshotRequest{GroupSnapshotId: "h"})
	check(t, err)
	if left := answer.GroupSnapshot.Snapshots; len(left) != 1 || left[0].SnapshotId != "h-1" {
		t.Fatalf("left: %v", left)
	}
	_, err = r.DeleteSnapshot(r.Context, &csi.DeleteSnapshotRequest{SnapshotId: "h-1"})
	check(t, err)
	_, err = r.GetVolumeGroupSnapshot(r.Context, &csi.GetVolumeGroupSnapshotRequest{GroupSnapshotId: "h"})
	expectCode(t, err, codes.NotFound, "h")
}
