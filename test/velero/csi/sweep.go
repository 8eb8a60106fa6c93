package main

import (
	"log"
	"os"
	"path/filepath"
	"strings"
)

// sweep removes what an earlier process left half done: data without its JSON, and snapshots of a group
// that was not completed.
func (s *store) sweep() error {
	if err := s.sweepGroups(); err != nil {
		return err
	}
	for folder, kind := range map[string]string{s.images(): volumes, filepath.Join(s.root, volumes): volumes,
		filepath.Join(s.root, snapshots): snapshots, filepath.Join(s.root, groups): groups} {
		if err := s.sweepFolder(folder, kind); err != nil {
			return err
		}
	}
	return removeData(s.moment())
}

func (s *store) sweepFolder(folder, kind string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, ".json") {
			continue
		}
		if _, err := os.Stat(s.json(kind, name)); err == nil {
			continue
		}
		log.Printf("removing %s/%s: it was not completed", filepath.Base(folder), name)
		if err := removeData(filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) sweepGroups() error {
	ids, err := s.list(snapshots)
	if err != nil {
		return err
	}
	for _, id := range ids {
		one, err := load[snapshot](s, snapshots, id)
		if err != nil {
			return err
		}
		if one.Group == "" {
			continue
		}
		whole, err := load[group](s, groups, one.Group)
		if err != nil {
			return err
		}
		if whole == nil {
			log.Printf("removing snapshot %s: its group %s was not completed", id, one.Group)
			if err := s.remove(snapshots, id, s.data(snapshots, id, one.Mode)); err != nil {
				return err
			}
		}
	}
	return nil
}
