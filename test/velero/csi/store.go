package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// An object exists if and only if its JSON file does. Data is made under a temporary name and renamed, and
// the JSON is written last; it is removed first. What a crash leaves has no JSON, and the next start removes it.
const (
	volumes   = "volumes"
	snapshots = "snapshots"
	groups    = "groups"
	partial   = ".partial"
)

type volume struct {
	ID, Mode, Source string
	Bytes            int64
}

type snapshot struct {
	ID, Source, Mode, Group string
	Bytes                   int64
	// The copy was made between these two moments.
	CutFrom, CutTo time.Time
	Ready          time.Time
	// When it says that it was created.
	Created time.Time
}

type group struct {
	ID      string
	Members []string
	// When it says that it was created.
	Created time.Time
}

type store struct {
	root string
	lock *os.File
}

// openStore takes the folder for this process alone and removes what an earlier one left half done.
func openStore(root string) (*store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	var about unix.Statfs_t
	if err := unix.Statfs(root, &about); err != nil {
		return nil, fmt.Errorf("%s: %w", root, err)
	}
	if int64(about.Type) != unix.BTRFS_SUPER_MAGIC {
		return nil, fmt.Errorf("%s is not on btrfs", root)
	}
	s := &store{root: root}
	if s.lock, err = os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%s is in use by another driver: %w", root, err)
	}
	for _, kind := range []string{volumes, snapshots, groups} {
		if err := os.MkdirAll(filepath.Join(root, kind), 0o755); err != nil {
			return nil, err
		}
	}
	// The images of all block volumes are in one subvolume: a snapshot of it has all of them at one moment.
	if _, err := os.Stat(s.images()); errors.Is(err, fs.ErrNotExist) {
		if err := run("btrfs", "subvolume", "create", s.images()); err != nil {
			return nil, err
		}
	}
	return s, s.sweep()
}

func (s *store) images() string              { return filepath.Join(s.root, "images") }
func (s *store) json(kind, id string) string { return filepath.Join(s.root, kind, id+".json") }

// data is the place of a snapshot's or a volume's data.
func (s *store) data(kind, id, mode string) string {
	if kind == volumes && mode == block {
		return filepath.Join(s.images(), id)
	}
	return filepath.Join(s.root, kind, id)
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)

// safe tells whether an id can name a file here: it has no slash and no dot.
func safe(id string) bool { return idPattern.MatchString(id) }

func (s *store) save(kind, id string, object any) error {
	text, err := json.MarshalIndent(object, "", "  ")
	if err != nil {
		return err
	}
	path := s.json(kind, id)
	if err := os.WriteFile(path+partial, text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+partial, path)
}

// load returns nil without an error if there is no such object.
func load[T any](s *store, kind, id string) (*T, error) {
	if !safe(id) {
		return nil, nil
	}
	text, err := os.ReadFile(s.json(kind, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var object T
	return &object, json.Unmarshal(text, &object)
}

// need is load for an object that has to be there.
func need[T any](s *store, kind, id string) (*T, error) {
	object, err := load[T](s, kind, id)
	if err == nil && object == nil {
		return nil, status.Errorf(codes.NotFound, "there is no %s in %s", id, kind)
	}
	return object, err
}

func (s *store) list(kind string) ([]string, error) {
	files, err := filepath.Glob(s.json(kind, "*"))
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".json")
	}
	return files, err
}

// put has fill make the data under a temporary name and puts it in place. The caller then saves the JSON.
func (s *store) put(at string, fill func(at string) error) error {
	for _, old := range []string{at, at + partial} {
		if err := removeData(old); err != nil {
			return err
		}
	}
	if err := fill(at + partial); err != nil {
		return errors.Join(err, removeData(at+partial))
	}
	return os.Rename(at+partial, at)
}

// remove forgets the object first: one that is only half removed must not be taken for a whole one.
func (s *store) remove(kind, id, at string) error {
	if err := os.Remove(s.json(kind, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return removeData(at)
}

// removeData removes a file, a folder or a btrfs subvolume, if it is there.
func removeData(path string) error {
	about, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// The root of every btrfs subvolume has this inode number, and nothing else has.
	if about.IsDir() && about.Sys().(*syscall.Stat_t).Ino == 256 {
		return run("btrfs", "subvolume", "delete", path)
	}
	return os.RemoveAll(path)
}

func run(args ...string) error {
	_, err := output(args...)
	return err
}

func output(args ...string) (string, error) {
	command := exec.Command(args[0], args[1:]...)
	var complaint strings.Builder
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
