package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
)

func TestBlockSnapshotLacksThePageCache(t *testing.T) {
	r := start(t)
	at := r.volume("v", block, "", 64*mib)
	write(t, filepath.Join(at, "synced"), "synced", true)
	write(t, filepath.Join(at, "unsynced"), "unsynced", false)
	first := r.snapshot("s", "v", nil)
	write(t, filepath.Join(at, "synced"), "later", true)
	again := r.snapshot("s", "v", nil)
	if !first.ReadyToUse || !first.CreationTime.AsTime().Equal(again.CreationTime.AsTime()) {
		t.Fatalf("the second call made another snapshot: %v, %v", first, again)
	}
	restored := r.volume("restored", block, "s", 64*mib)
	if text := read(t, filepath.Join(restored, "synced")); text != "synced" {
		t.Fatalf("what was synced reads %q", text)
	}
	if text, err := os.ReadFile(filepath.Join(restored, "unsynced")); err == nil && string(text) == "unsynced" {
		t.Fatal("the snapshot has what was only in the page cache")
	}
	write(t, filepath.Join(restored, "synced"), "changed", true)
	if text := read(t, filepath.Join(r.volume("second", block, "s", 64*mib), "synced")); text != "synced" {
		t.Fatalf("a write to a restored volume changed the snapshot: %q", text)
	}
	_, err := r.tryVolume("other", block, "", 64*mib)
	check(t, err)
	_, err = r.trySnapshot("s", "other", nil)
	expectCode(t, err, codes.AlreadyExists, "volume v")
}

func TestSubvolumeSnapshotHasThePageCache(t *testing.T) {
	r := start(t)
	at := r.volume("v", subvolume, "", 64*mib)
	write(t, filepath.Join(at, "unsynced"), "unsynced", false)
	r.snapshot("s", "v", nil)
	write(t, filepath.Join(at, "unsynced"), "later", true)
	restored := r.volume("restored", subvolume, "s", 64*mib)
	if text := read(t, filepath.Join(restored, "unsynced")); text != "unsynced" {
		t.Fatalf("it reads %q", text)
	}
	write(t, filepath.Join(restored, "writable"), "", true)
	_, err := r.DeleteSnapshot(r.Context, &csi.DeleteSnapshotRequest{SnapshotId: "s"})
	check(t, err)
}

// In each order a file of the log and one of the data are changed between the two parts of the copy.
func TestCopyIsNotAtomic(t *testing.T) {
	for _, order := range []string{walFirst, walLast} {
		t.Run(order, func(t *testing.T) {
			r := start(t)
			at := r.volume("v", live, "", 64*mib)
			check(t, os.MkdirAll(filepath.Join(at, "pg_wal"), 0o700))
			check(t, os.MkdirAll(filepath.Join(at, "base"), 0o700))
			set := func(text string) {
				for _, name := range []string{"pg_wal/log", "base/data"} {
					write(t, filepath.Join(at, name), text, false)
				}
			}
			set("old")
			write(t, filepath.Join(at, "base/zz-vanishes"), "", false)
			check(t, os.Symlink("data", filepath.Join(at, "base/link")))
			check(t, os.Chown(filepath.Join(at, "base/data"), 999, 998))
			done := make(chan error, 1)
			go func() {
				_, err := r.trySnapshot("s", "v", map[string]string{"pause": "700ms", "order": order})
				done <- err
			}()
			first := map[string]string{walFirst: "pg_wal/log", walLast: "base/data"}[order]
			waitFor(t, func() bool {
				text, _ := os.ReadFile(filepath.Join(r.root, snapshots, "s"+partial, first))
				return string(text) == "old"
			})
			set("new")
			_ = os.Remove(filepath.Join(at, "base/zz-vanishes"))
			check(t, <-done)
			restored := r.volume("restored", live, "s", 64*mib)
			for _, name := range []string{"pg_wal/log", "base/data"} {
				want := "new"
				if name == first {
					want = "old"
				}
				if text := read(t, filepath.Join(restored, name)); text != want {
					t.Fatalf("%s reads %q, not %q", name, text, want)
				}
			}
			if link, err := os.Readlink(filepath.Join(restored, "base/link")); err != nil || link != "data" {
				t.Fatalf("the link leads to %q: %v", link, err)
			}
			if owner, err := output("stat", "-c", "%u:%g %a", filepath.Join(restored, "base/data")); err != nil || owner != "999:998 644" {
				t.Fatalf("owner and mode are %s: %v", owner, err)
			}
			if _, err := os.Stat(filepath.Join(restored, "base/zz-vanishes")); !os.IsNotExist(err) {
				t.Fatalf("a file that vanished during the copy: %v", err)
			}
		})
	}
}

func TestErrorOfTheCutReachesEveryCaller(t *testing.T) {
	r := start(t)
	_, err := r.trySnapshot("s", "none", nil)
	expectCode(t, err, codes.NotFound, "none")
	_, err = r.tryVolume("v", block, "", 32*mib)
	check(t, err)
	check(t, os.Remove(filepath.Join(r.root, "images", "v")))
	failed := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := r.trySnapshot("s", "v", map[string]string{"cutDelay": "1s"})
			failed <- err
		}()
	}
	for range 2 {
		expectCode(t, <-failed, codes.Internal, "images/v: no such file")
	}
	answer, err := r.ListSnapshots(r.Context, &csi.ListSnapshotsRequest{})
	check(t, err)
	if len(answer.Entries) != 0 {
		t.Fatalf("a failed cut left %v", answer.Entries)
	}
}

func TestLateCutIsMadeOnceThoughCallersGiveUp(t *testing.T) {
	r := start(t)
	at := r.volume("v", block, "", 64*mib)
	write(t, filepath.Join(at, "file"), "before the delay", true)
	late := map[string]string{"cutDelay": "2s", "readyDelay": "3s", "csi.storage.k8s.io/volumesnapshot/name": "x"}
	brief, cancel := context.WithTimeout(r.Context, 300*time.Millisecond)
	defer cancel()
	_, err := r.CreateSnapshot(brief, &csi.CreateSnapshotRequest{Name: "s", SourceVolumeId: "v", Parameters: late})
	if err == nil {
		t.Fatal("it did not wait")
	}
	begun := time.Now()
	write(t, filepath.Join(at, "file"), "during the delay", true)
	one := r.snapshot("s", "v", late)
	if took := time.Since(begun); took > 1900*time.Millisecond {
		t.Fatalf("the second call began the delay anew: %s", took)
	}
	if one.ReadyToUse {
		t.Fatal("it is ready too early")
	}
	_, err = r.tryVolume("early", block, "s", 64*mib)
	expectCode(t, err, codes.Unavailable, "not ready")
	waitFor(t, func() bool { return r.snapshot("s", "v", late).ReadyToUse })
	if text := read(t, filepath.Join(r.volume("restored", block, "s", 64*mib), "file")); text != "during the delay" {
		t.Fatalf("it reads %q", text)
	}
}

func TestCreationTimeOfAWrongClock(t *testing.T) {
	r := start(t)
	at := r.volume("v", block, "", 64*mib)
	for offset, shift := range map[string]time.Duration{"1h": time.Hour, "-1h": -time.Hour} {
		name := "s" + offset
		write(t, filepath.Join(at, "file"), name, true)
		from := time.Now()
		one := r.snapshot(name, "v", map[string]string{"clockOffset": offset})
		if created := one.CreationTime.AsTime().Add(-shift); created.Before(from) || created.After(time.Now()) {
			t.Fatalf("offset %s: it says %s", offset, one.CreationTime.AsTime())
		}
		if !one.ReadyToUse {
			t.Fatal("the wrong clock also judges whether it is ready")
		}
		again, err := r.ListSnapshots(r.Context, &csi.ListSnapshotsRequest{SnapshotId: name})
		check(t, err)
		if !again.Entries[0].Snapshot.CreationTime.AsTime().Equal(one.CreationTime.AsTime()) {
			t.Fatalf("it is listed with another time: %v", again.Entries[0].Snapshot)
		}
		if text := read(t, filepath.Join(r.volume("of-"+name, block, name, 64*mib), "file")); text != name {
			t.Fatalf("it reads %q", text)
		}
	}
}

func TestSnapshotsAreListedInPages(t *testing.T) {
	r := start(t)
	_, err := r.tryVolume("v", block, "", 32*mib)
	check(t, err)
	for i := range 3 {
		r.snapshot(fmt.Sprintf("s%d", i), "v", nil)
	}
	var found []string
	for token := ""; ; {
		answer, err := r.ListSnapshots(r.Context, &csi.ListSnapshotsRequest{MaxEntries: 2, StartingToken: token, SourceVolumeId: "v"})
		check(t, err)
		for _, entry := range answer.Entries {
			found = append(found, entry.Snapshot.SnapshotId)
		}
		if token = answer.NextToken; token == "" {
			break
		}
	}
	if fmt.Sprint(found) != "[s0 s1 s2]" {
		t.Fatalf("listed: %v", found)
	}
	answer, err := r.ListSnapshots(r.Context, &csi.ListSnapshotsRequest{SnapshotId: "s1"})
	check(t, err)
	if len(answer.Entries) != 1 || answer.Entries[0].Snapshot.SnapshotId != "s1" {
		t.Fatalf("listed: %v", answer.Entries)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatal("it did not happen within 30 s")
}
