package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// cut makes a snapshot of one volume.
func (s *store) cut(source, id string, c cutting) error {
	v, err := need[volume](s, volumes, source)
	if err != nil {
		return err
	}
	data := s.data(volumes, v.ID, v.Mode)
	one := snapshot{ID: id, Source: v.ID, Mode: v.Mode, Bytes: v.Bytes}
	err = s.put(s.data(snapshots, id, v.Mode), func(at string) error {
		one.CutFrom = time.Now()
		defer func() { one.CutTo = time.Now() }()
		switch v.Mode {
		case subvolume:
			return run("btrfs", "subvolume", "snapshot", "-r", data, at)
		case live:
			return copyLive(data, at, c)
		}
		return cloneFile(data, at)
	})
	if err != nil {
		return err
	}
	// A volume that was deleted during the copy may have lost files before they were copied.
	if _, err = need[volume](s, volumes, source); err != nil {
		return errors.Join(err, removeData(s.data(snapshots, id, one.Mode)))
	}
	return s.saveSnapshot(one, c)
}

func (s *store) saveSnapshot(one snapshot, c cutting) error {
	one.Ready = time.Now().Add(c.readyDelay)
	one.Created = one.CutFrom.Add(c.clockOffset)
	log.Printf("snapshot %s of %s: cut between %s and %s", one.ID, one.Source,
		one.CutFrom.Format(time.RFC3339Nano), one.CutTo.Format(time.RFC3339Nano))
	return s.save(snapshots, one.ID, one)
}

// cloneFile makes a copy that shares all blocks. The kernel first writes back what was written to the file
// and lets nobody write meanwhile: the copy has the file at one moment.
func cloneFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := unix.IoctlFileClone(int(target.Fd()), int(source.Fd())); err != nil {
		return errors.Join(fmt.Errorf("cloning %s: %w", from, err), target.Close())
	}
	return target.Close()
}
