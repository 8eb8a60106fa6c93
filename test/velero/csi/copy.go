package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// copyLive copies a folder as tar and file-system backups do: file by file, block by block, while programs
// write to it. Files that vanish meanwhile are left out; any other error fails the copy.
func copyLive(from, to string, c cutting) error {
	passes := []func(path string) bool{func(string) bool { return true }}
	rest := func(path string) bool { return !isLog(path) }
	switch c.order {
	case walFirst:
		passes = []func(string) bool{isLog, rest}
	case walLast:
		passes = []func(string) bool{rest, isLog}
	}
	for _, take := range passes {
		if err := copyPass(from, to, c.pause, take); err != nil {
			return err
		}
	}
	return nil
}

// isLog tells whether a file is in the folder of a write-ahead log (PostgreSQL's, MongoDB's) or of the receipt.
func isLog(path string) bool {
	for part := range strings.SplitSeq(filepath.Dir(path), "/") {
		if part == "pg_wal" || part == "journal" || part == ".quiesce" {
			return true
		}
	}
	return false
}

func copyPass(from, to string, pause time.Duration, take func(path string) bool) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if path != from && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			if !take(relative) {
				return nil
			}
			time.Sleep(pause)
		}
		err = copyEntry(path, filepath.Join(to, relative), entry)
		if path != from && errors.Is(err, fs.ErrNotExist) {
			if _, gone := os.Lstat(path); errors.Is(gone, fs.ErrNotExist) {
				return nil
			}
		}
		return err
	})
}

func copyEntry(from, to string, entry fs.DirEntry) error {
	about, err := entry.Info()
	if err != nil {
		return err
	}
	owner := about.Sys().(*syscall.Stat_t)
	switch {
	case entry.IsDir():
		if err := os.Mkdir(to, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case about.Mode().IsRegular():
		if err := copyContent(from, to); err != nil {
			return err
		}
	case about.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return errors.Join(os.Symlink(target, to), os.Lchown(to, int(owner.Uid), int(owner.Gid)))
	default:
		return nil // sockets and pipes have no content
	}
	// chown comes first: it clears the bits for other users and groups to run a program as.
	if err := os.Chown(to, int(owner.Uid), int(owner.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(to, owner.Mode&0o7777); err != nil {
		return err
	}
	return os.Chtimes(to, time.Time{}, about.ModTime())
}

// copyContent reads and writes block by block. Go's own copy would have the kernel clone the whole file at once.
func copyContent(from, to string) error {
	source, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer source.Close()
	about, err := source.Stat()
	if err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// As tar does, it takes what the file had when it was opened: a file that grows faster would never end.
	content := struct{ io.Reader }{io.LimitReader(source, about.Size())}
	_, err = io.CopyBuffer(struct{ io.Writer }{target}, content, make([]byte, 64<<10))
	return errors.Join(err, target.Close())
}
