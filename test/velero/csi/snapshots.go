package main

import (
	"context"
	"slices"
	"strconv"
	"time"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (d *driver) CreateSnapshot(ctx context.Context, r *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	id := r.Name
	if !safe(id) {
		return nil, invalid("the name %q of a snapshot cannot name a file", id)
	}
	how, err := readCutting(r.Parameters)
	if err != nil {
		return nil, err
	}
	err = d.jobs.run(ctx, "create", "snapshot "+id, func() error {
		if old, err := load[snapshot](d.store, snapshots, id); err != nil || old != nil {
			return err
		}
		if _, err := need[volume](d.store, volumes, r.SourceVolumeId); err != nil {
			return err
		}
		time.Sleep(how.cutDelay)
		return d.store.cut(r.SourceVolumeId, id, how)
	})
	if err != nil {
		return nil, err
	}
	one, err := load[snapshot](d.store, snapshots, id)
	if err != nil {
		return nil, asStatus(err)
	}
	if one == nil {
		return nil, status.Errorf(codes.Aborted, "snapshot %s was deleted meanwhile", id)
	}
	if one.Source != r.SourceVolumeId {
		return nil, status.Errorf(codes.AlreadyExists, "snapshot %s exists, and is of volume %s", id, one.Source)
	}
	return &csi.CreateSnapshotResponse{Snapshot: describe(one)}, nil
}

func describe(s *snapshot) *csi.Snapshot {
	return &csi.Snapshot{
		SnapshotId: s.ID, SourceVolumeId: s.Source, SizeBytes: s.Bytes, CreationTime: timestamppb.New(s.Created),
		ReadyToUse: !time.Now().Before(s.Ready), GroupSnapshotId: s.Group,
	}
}

// DeleteSnapshot also deletes a member of a group alone: Velero takes the group's object away and keeps the
// snapshots as single ones.
func (d *driver) DeleteSnapshot(ctx context.Context, r *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	id := r.SnapshotId
	err := d.jobs.run(ctx, "delete", "snapshot "+id, func() error {
		one, err := load[snapshot](d.store, snapshots, id)
		if err != nil || one == nil {
			return err
		}
		if err := d.leaveGroup(one); err != nil {
			return err
		}
		return d.store.remove(snapshots, id, d.store.data(snapshots, id, one.Mode))
	})
	return &csi.DeleteSnapshotResponse{}, err
}

func (d *driver) ListSnapshots(_ context.Context, r *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	ids, err := d.store.list(snapshots)
	if err != nil {
		return nil, asStatus(err)
	}
	slices.Sort(ids)
	var entries []*csi.ListSnapshotsResponse_Entry
	for _, id := range ids {
		if r.SnapshotId != "" && r.SnapshotId != id {
			continue
		}
		one, err := load[snapshot](d.store, snapshots, id)
		if err != nil {
			return nil, asStatus(err)
		}
		if one != nil && (r.SourceVolumeId == "" || r.SourceVolumeId == one.Source) {
			entries = append(entries, &csi.ListSnapshotsResponse_Entry{Snapshot: describe(one)})
		}
	}
	return page(entries, r)
}

func page(entries []*csi.ListSnapshotsResponse_Entry, r *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	from := 0
	if r.StartingToken != "" {
		var err error
		if from, err = strconv.Atoi(r.StartingToken); err != nil || from < 0 || from > len(entries) {
			return nil, status.Errorf(codes.Aborted, "no page starts at %q", r.StartingToken)
		}
	}
	entries = entries[from:]
	if most := int(r.MaxEntries); most > 0 && most < len(entries) {
		return &csi.ListSnapshotsResponse{Entries: entries[:most], NextToken: strconv.Itoa(from + most)}, nil
	}
	return &csi.ListSnapshotsResponse{Entries: entries}, nil
}
