package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
)

func (r *rig) restart() {
	r.kill()
	r.launch()
}

func TestKilledDuringACutItLeavesNoSnapshot(t *testing.T) {
	r := start(t)
	at := r.volume("v", live, "", 32*mib)
	for i := range 10 {
		write(t, filepath.Join(at, fmt.Sprintf("file%d", i)), "content", false)
	}
	slow := map[string]string{"pause": "500ms"}
	go func() { _, _ = r.trySnapshot("s", "v", slow) }()
	half := filepath.Join(r.root, snapshots, "s"+partial)
	waitFor(t, func() bool { _, err := os.Stat(filepath.Join(half, "file1")); return err == nil })
	r.restart()
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Fatalf("the half of a copy is left: %v", err)
	}
	answer, err := r.ListSnapshots(r.Context, &csi.ListSnapshotsRequest{})
	check(t, err)
	if len(answer.Entries) != 0 {
		t.Fatalf("a cut that was broken off counts: %v", answer.Entries)
	}
	r.snapshot("s", "v", nil)
	restored := r.volume("restored", live, "s", 32*mib)
	for i := range 10 {
		if text := read(t, filepath.Join(restored, fmt.Sprintf("file%d", i))); text != "content" {
			t.Fatalf("file%d reads %q", i, text)
		}
	}
}

func TestRestartRemovesOnlyWhatIsIncomplete(t *testing.T) {
	r := start(t)
	at := r.volume("a", block, "", 32*mib)
	write(t, filepath.Join(at, "n0"), "1", true)
	_ = r.volume("b", subvolume, "", 32*mib)
	r.snapshot("of-b", "b", nil)
	for _, name := range []string{"whole", "half"} {
		_, err := r.group(name, "a")
		check(t, err)
	}
	// What a crash leaves: a group without its own file, and data without JSON, renamed or not.
	check(t, os.Remove(filepath.Join(r.root, groups, "half.json")))
	for _, left := range []string{"snapshots/orphan", "snapshots/x.partial", "images/orphan", "volumes/y.json.partial"} {
		check(t, os.WriteFile(filepath.Join(r.root, left), nil, 0o600))
	}
	for _, left := range []string{"snapshots/subvolume.partial", "moment"} {
		check(t, run("btrfs", "subvolume", "snapshot", "-r", filepath.Join(r.root, "volumes/b"), filepath.Join(r.root, left)))
	}
	r.restart()
	var found []string
	for _, folder := range []string{"images", volumes, snapshots, groups} {
		entries, err := os.ReadDir(filepath.Join(r.root, folder))
		check(t, err)
		for _, entry := range entries {
			found = append(found, folder+"/"+entry.Name())
		}
	}
	const want = "images/a volumes/a.json volumes/b volumes/b.json snapshots/of-b snapshots/of-b.json " +
		"snapshots/whole-0 snapshots/whole-0.json groups/whole.json"
	if got := strings.Join(found, " "); got != want {
		t.Fatalf("there is %s\nnot      %s", got, want)
	}
	if _, err := os.Stat(filepath.Join(r.root, "moment")); !os.IsNotExist(err) {
		t.Fatalf("moment is left: %v", err)
	}
	write(t, filepath.Join(at, "n0"), "2", true) // the volume is still mounted
	if n := r.counter("whole-0"); n != 1 {
		t.Fatalf("the snapshot has %d", n)
	}
}

func TestSecondDriverOfAFolderIsRefused(t *testing.T) {
	r := start(t)
	out, err := r.command().CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by another driver") {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := r.tryVolume("v", block, "", 32*mib); err != nil {
		t.Fatalf("the first driver was disturbed: %v", err)
	}
}
