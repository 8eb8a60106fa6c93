package main

import (
	"strings"
	"time"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	block     = "block"
	subvolume = "subvolume"
	live      = "copy"

	walFirst = "wal-first"
	walLast  = "wal-last"
)

// cutting says how a snapshot is made.
type cutting struct {
	cutDelay, readyDelay, pause time.Duration
	// What a clock of the storage that is wrong adds to the creation times that it reports.
	clockOffset time.Duration
	order       string
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// readCutting refuses what it does not know: a misspelled delay would make a test prove nothing.
func readCutting(parameters map[string]string) (c cutting, err error) {
	for key, value := range parameters {
		switch key {
		case "cutDelay":
			c.cutDelay, err = time.ParseDuration(value)
		case "readyDelay":
			c.readyDelay, err = time.ParseDuration(value)
		case "clockOffset":
			c.clockOffset, err = time.ParseDuration(value)
		case "pause":
			c.pause, err = time.ParseDuration(value)
		case "order":
			if c.order = value; value != walFirst && value != walLast {
				return c, invalid("order is %q; it can be %s or %s", value, walFirst, walLast)
			}
		default:
			if !fromSidecar(key) {
				return c, invalid("unknown parameter %q of a snapshot", key)
			}
		}
		if err != nil {
			return c, invalid("parameter %s: %v", key, err)
		}
	}
	return c, nil
}

func readMode(parameters map[string]string) (string, error) {
	mode := block
	for key, value := range parameters {
		if key == "mode" {
			mode = value
		} else if !fromSidecar(key) {
			return "", invalid("unknown parameter %q of a volume", key)
		}
	}
	if mode != block && mode != subvolume && mode != live {
		return "", invalid("mode is %q; it can be %s, %s or %s", mode, block, subvolume, live)
	}
	return mode, nil
}

// fromSidecar: the sidecars of Kubernetes add names of objects under this prefix if they are told to.
func fromSidecar(key string) bool { return strings.HasPrefix(key, "csi.storage.k8s.io/") }

// checkCapabilities accepts every access mode, since there is one node, but only mounted file systems.
func checkCapabilities(capabilities ...*csi.VolumeCapability) error {
	for _, c := range capabilities {
		if c.GetBlock() != nil {
			return invalid("this driver has no raw block volumes: use volumeMode Filesystem")
		}
		if kind := c.GetMount().GetFsType(); kind != "" && kind != "ext4" {
			return invalid("the file system is %q; this driver has ext4 only", kind)
		}
	}
	return nil
}
