package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// The tests run in a mount namespace of their own and unmount nothing: that everything is gone afterwards is
// one of the tests. They need root.
const roleVariable = "QUIESCE_CSI_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(outside())
	case "driver":
		main()
	case "inside":
		os.Exit(m.Run())
	}
}

func outside() int {
	folder, err := os.MkdirTemp("", "quiesce-csi-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	inside := exec.Command(os.Args[0], os.Args[1:]...)
	inside.Env = append(os.Environ(), roleVariable+"=inside", "TMPDIR="+folder)
	inside.Stdout, inside.Stderr = os.Stdout, os.Stderr
	inside.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := inside.Run(); err != nil {
		return 1
	}
	// The kernel takes the mounts down after the last process, and then the loop devices.
	var left string
	for range 100 {
		if left, err = output("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"); err == nil && !strings.Contains(left, folder) {
			return 0
		}
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Fprintf(os.Stderr, "FAIL: loop devices outlived the mount namespace: %s %v\n", left, err)
	return 1
}

var btrfs string

// onBtrfs is a new folder on a btrfs that all tests share.
func onBtrfs(t *testing.T) string {
	if btrfs == "" {
		image := filepath.Join(os.TempDir(), "btrfs.img")
		at := filepath.Join(os.TempDir(), "btrfs")
		check(t, os.Mkdir(at, 0o755))
		check(t, run("truncate", "-s", "4G", image))
		check(t, run("mkfs.btrfs", "-q", image))
		check(t, run("mount", "-o", "loop", image, at))
		btrfs = at
	}
	root := filepath.Join(btrfs, strings.ReplaceAll(t.Name(), "/", "-"))
	check(t, os.Mkdir(root, 0o755))
	return root
}

type rig struct {
	t       *testing.T
	root    string
	process *exec.Cmd
	log     *bytes.Buffer
	csi.ControllerClient
	csi.GroupControllerClient
	csi.NodeClient
	context.Context
}

func start(t *testing.T) *rig {
	r := &rig{t: t, root: onBtrfs(t)}
	r.launch()
	t.Cleanup(r.kill)
	return r
}

func (r *rig) command() *exec.Cmd {
	c := exec.Command(os.Args[0], "-root", r.root, "-endpoint", filepath.Join(r.root, "csi.sock"))
	c.Env = append(os.Environ(), roleVariable+"=driver")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

func (r *rig) launch() {
	r.process, r.log = r.command(), &bytes.Buffer{}
	r.process.Stderr = r.log
	check(r.t, r.process.Start())
	connection, err := grpc.NewClient("unix://"+filepath.Join(r.root, "csi.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	check(r.t, err)
	r.ControllerClient = csi.NewControllerClient(connection)
	r.GroupControllerClient = csi.NewGroupControllerClient(connection)
	r.NodeClient = csi.NewNodeClient(connection)
	var cancel context.CancelFunc
	r.Context, cancel = context.WithTimeout(context.Background(), 2*time.Minute)
	r.t.Cleanup(cancel)
	_, err = r.NodeGetInfo(r.Context, &csi.NodeGetInfoRequest{})
	check(r.t, err)
}

func (r *rig) kill() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
	if r.t.Failed() {
		r.t.Logf("the driver's log:\n%s", r.log)
	}
}

var mounts = &csi.VolumeCapability{AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}}}

func (r *rig) tryVolume(name, mode, from string, bytes int64) (*csi.Volume, error) {
	request := &csi.CreateVolumeRequest{
		Name: name, CapacityRange: &csi.CapacityRange{RequiredBytes: bytes}, VolumeCapabilities: []*csi.VolumeCapability{mounts},
		Parameters: map[string]string{"mode": mode},
	}
	if from != "" {
		request.VolumeContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
			Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: from},
		}}
	}
	answer, err := r.CreateVolume(r.Context, request)
	return answer.GetVolume(), err
}

// volume makes a volume and mounts it as the kubelet does. It returns where.
func (r *rig) volume(name, mode, from string, bytes int64) string {
	r.t.Helper()
	_, err := r.tryVolume(name, mode, from, bytes)
	check(r.t, err)
	return r.mount(name, false)
}

func (r *rig) staging(name string) string { return filepath.Join(r.root, "kubelet", name, "staging") }

func (r *rig) mount(name string, readOnly bool) string {
	r.t.Helper()
	_, err := r.NodeStageVolume(r.Context, &csi.NodeStageVolumeRequest{
		VolumeId: name, StagingTargetPath: r.staging(name), VolumeCapability: mounts,
	})
	check(r.t, err)
	at := filepath.Join(r.root, "kubelet", name, "mount")
	_, err = r.NodePublishVolume(r.Context, &csi.NodePublishVolumeRequest{
		VolumeId: name, StagingTargetPath: r.staging(name), TargetPath: at, VolumeCapability: mounts, Readonly: readOnly,
	})
	check(r.t, err)
	return at
}

func (r *rig) trySnapshot(name, of string, parameters map[string]string) (*csi.Snapshot, error) {
	answer, err := r.CreateSnapshot(r.Context, &csi.CreateSnapshotRequest{Name: name, SourceVolumeId: of, Parameters: parameters})
	return answer.GetSnapshot(), err
}

func (r *rig) snapshot(name, of string, parameters map[string]string) *csi.Snapshot {
	r.t.Helper()
	one, err := r.trySnapshot(name, of, parameters)
	check(r.t, err)
	return one
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expectCode(t *testing.T, err error, code codes.Code, part string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(err.Error(), part) {
		t.Fatalf("wanted %s with %q, got: %v", code, part, err)
	}
}

func write(t *testing.T, path, text string, sync bool) {
	t.Helper()
	file, err := os.Create(path)
	check(t, err)
	_, err = file.WriteString(text)
	check(t, err)
	if sync {
		check(t, file.Sync())
		folder, err := os.Open(filepath.Dir(path))
		check(t, err)
		check(t, folder.Sync())
		check(t, folder.Close())
	}
	check(t, file.Close())
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	return string(text)
}
