// A CSI driver for the one node of the test cluster. It keeps volumes and snapshots on one btrfs file system.
//
// The parameter "mode" of a StorageClass says what a volume is and how a snapshot copies it:
//
//	block      (default) an ext4 in an image file behind a loop device. A snapshot is a reflink of the image:
//	           atomic, and without the data in the page cache, as with a cloud's block volumes.
//	subvolume  a btrfs subvolume. A snapshot is a read-only snapshot of it: atomic, page cache included.
//	copy       a folder. A snapshot copies its files one after the other while they change: not atomic.
//
// Parameters of a VolumeSnapshotClass:
//
//	cutDelay    how long the driver waits before it copies, such as 40s
//	readyDelay  how long after the copy the snapshot is reported as ready to use
//	clockOffset what is added to the creation time that is reported, such as -1h: the storage's clock is wrong
//	pause       mode copy: how long it waits before each file
//	order       mode copy: wal-first or wal-last says when the write-ahead log and .quiesce/ are copied
//
// It needs root, mount, mkfs.ext4, e2fsck, resize2fs, losetup and btrfs.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

type options struct {
	name, root, node, endpoint, registration string
}

func main() {
	var o options
	flag.StringVar(&o.name, "driver", "csi.quiesce.test", "name of the driver")
	flag.StringVar(&o.root, "root", "", "folder on btrfs for volumes and snapshots")
	flag.StringVar(&o.node, "node", "node", "name of the node")
	flag.StringVar(&o.endpoint, "endpoint", "", "path of the socket it serves")
	flag.StringVar(&o.registration, "registration", "", "path of the socket on which the kubelet finds it")
	flag.Parse()
	if o.root == "" || o.endpoint == "" {
		log.Fatal("-root and -endpoint are needed")
	}
	if err := serve(o); err != nil {
		log.Fatal(err)
	}
}

func serve(o options) error {
	store, err := openStore(o.root)
	if err != nil {
		return err
	}
	d := newDriver(o, store)
	s := grpc.NewServer(grpc.UnaryInterceptor(logErrors))
	csi.RegisterIdentityServer(s, d)
	csi.RegisterControllerServer(s, d)
	csi.RegisterGroupControllerServer(s, d)
	csi.RegisterNodeServer(s, d)
	listener, err := listen(o.endpoint)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- s.Serve(listener) }()
	if o.registration != "" {
		listener, err := listen(o.registration)
		if err != nil {
			return err
		}
		kubelet := grpc.NewServer()
		registration.RegisterRegistrationServer(kubelet, d)
		go func() { failed <- kubelet.Serve(listener) }()
	}
	log.Printf("%s serves %s on %s", o.name, o.root, o.endpoint)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	select {
	case err := <-failed:
		return err
	case <-stop:
		// What is half done now is removed by the next start, as after a crash.
		return nil
	}
}

func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	// The store's lock has shown that no other driver of this folder lives: the socket is a leftover.
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return net.Listen("unix", path)
}

func logErrors(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	answer, err := handle(ctx, request)
	if err != nil {
		log.Printf("%s: %v", info.FullMethod, err)
	}
	return answer, err
}
