package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// moment is the place of the snapshot that has the images of all block volumes, while a group is made.
func (s *store) moment() string { return filepath.Join(s.root, "moment") }

func (d *driver) CreateVolumeGroupSnapshot(ctx context.Context, r *csi.CreateVolumeGroupSnapshotRequest) (*csi.CreateVolumeGroupSnapshotResponse, error) {
	if !safe(r.Name) || len(r.SourceVolumeIds) == 0 {
		return nil, invalid("a group needs a name that can name a file, and volumes")
	}
	how, err := readCutting(r.Parameters)
	if err != nil {
		return nil, err
	}
	err = d.jobs.run(ctx, "create", "group "+r.Name, func() error {
		if old, err := load[group](d.store, groups, r.Name); err != nil || old != nil {
			return err
		}
		if _, err := d.store.blockVolumes(r.SourceVolumeIds); err != nil {
			return err
		}
		time.Sleep(how.cutDelay)
		return d.cutGroup(r.Name, r.SourceVolumeIds, how)
	})
	if err != nil {
		return nil, err
	}
	g, members, err := d.readGroup(r.Name)
	if err != nil {
		return nil, err
	}
	for _, one := range members {
		if len(members) != len(r.SourceVolumeIds) || !slices.Contains(r.SourceVolumeIds, one.SourceVolumeId) {
			return nil, status.Errorf(codes.AlreadyExists, "group %s exists, and is of other volumes", r.Name)
		}
	}
	return &csi.CreateVolumeGroupSnapshotResponse{GroupSnapshot: describeGroup(g, members)}, nil
}

func (s *store) blockVolumes(ids []string) ([]*volume, error) {
	var found []*volume
	for _, id := range ids {
		v, err := need[volume](s, volumes, id)
		if err != nil {
			return nil, err
		}
		if v.Mode != block {
			return nil, invalid("volume %s has mode %s: only volumes of mode %s can be in a group", id, v.Mode, block)
		}
		found = append(found, v)
	}
	return found, nil
}

// cutGroup takes all volumes at one moment without stopping a writer: one snapshot of the subvolume that has
// their images, from which it then takes each image. Nothing is frozen, so no failure leaves anything frozen,
// and data in the page cache is left out, as in the snapshot of a single volume.
func (d *driver) cutGroup(id string, sources []string, how cutting) (err error) {
	d.moment.Lock()
	defer d.moment.Unlock()
	s := d.store
	vs, err := s.blockVolumes(sources)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeData(s.moment())) }()
	from := time.Now()
	err = s.put(s.moment(), func(at string) error {
		return run("btrfs", "subvolume", "snapshot", "-r", s.images(), at)
	})
	if err != nil {
		return err
	}
	to := time.Now()
	g := group{ID: id, Created: from.Add(how.clockOffset)}
	// Without the group's JSON its members do not count: they are removed here, or by the next start.
	defer func() {
		for _, member := range g.Members {
			if err != nil {
				err = errors.Join(err, s.remove(snapshots, member, s.data(snapshots, member, block)))
			}
		}
	}()
	for i, v := range vs {
		one := snapshot{ID: fmt.Sprintf("%s-%d", id, i), Source: v.ID, Mode: block, Group: id, Bytes: v.Bytes, CutFrom: from, CutTo: to}
		g.Members = append(g.Members, one.ID)
		err = s.put(s.data(snapshots, one.ID, block), func(at string) error {
			return cloneFile(filepath.Join(s.moment(), v.ID), at)
		})
		if err != nil {
			return err
		}
		if err = s.saveSnapshot(one, how); err != nil {
			return err
		}
	}
	return s.save(groups, id, g)
}

func (d *driver) readGroup(id string) (*group, []*csi.Snapshot, error) {
	g, err := need[group](d.store, groups, id)
	if err != nil {
		return nil, nil, asStatus(err)
	}
	var members []*csi.Snapshot
	for _, member := range g.Members {
		one, err := need[snapshot](d.store, snapshots, member)
		if err != nil {
			return nil, nil, asStatus(err)
		}
		members = append(members, describe(one))
	}
	return g, members, nil
}

func describeGroup(g *group, members []*csi.Snapshot) *csi.VolumeGroupSnapshot {
	ready := true
	for _, one := range members {
		ready = ready && one.ReadyToUse
	}
	return &csi.VolumeGroupSnapshot{
		GroupSnapshotId: g.ID, Snapshots: members, CreationTime: timestamppb.New(g.Created), ReadyToUse: ready,
	}
}

func (d *driver) GetVolumeGroupSnapshot(_ context.Context, r *csi.GetVolumeGroupSnapshotRequest) (*csi.GetVolumeGroupSnapshotResponse, error) {
	g, members, err := d.readGroup(r.GroupSnapshotId)
	if err != nil {
		return nil, err
	}
	return &csi.GetVolumeGroupSnapshotResponse{GroupSnapshot: describeGroup(g, members)}, nil
}

func (d *driver) DeleteVolumeGroupSnapshot(ctx context.Context, r *csi.DeleteVolumeGroupSnapshotRequest) (*csi.DeleteVolumeGroupSnapshotResponse, error) {
	id := r.GroupSnapshotId
	err := d.jobs.run(ctx, "delete", "group "+id, func() error {
		d.moment.Lock()
		defer d.moment.Unlock()
		g, err := load[group](d.store, groups, id)
		if err != nil || g == nil {
			return err
		}
		for _, asked := range r.SnapshotIds {
			one, err := load[snapshot](d.store, snapshots, asked)
			if err != nil {
				return err
			}
			if one != nil && one.Group != id {
				return invalid("snapshot %s is not in group %s", asked, id)
			}
		}
		if err := d.store.remove(groups, id, filepath.Join(d.store.root, groups, id)); err != nil {
			return err
		}
		for _, member := range g.Members {
			err = errors.Join(err, d.store.remove(snapshots, member, d.store.data(snapshots, member, block)))
		}
		return err
	})
	return &csi.DeleteVolumeGroupSnapshotResponse{}, err
}

// leaveGroup takes a snapshot out of its group, and the group away with its last one.
func (d *driver) leaveGroup(one *snapshot) error {
	if one.Group == "" {
		return nil
	}
	d.moment.Lock()
	defer d.moment.Unlock()
	g, err := load[group](d.store, groups, one.Group)
	if err != nil || g == nil {
		return err
	}
	g.Members = slices.DeleteFunc(g.Members, func(id string) bool { return id == one.ID })
	if len(g.Members) == 0 {
		return d.store.remove(groups, g.ID, filepath.Join(d.store.root, groups, g.ID))
	}
	return d.store.save(groups, g.ID, g)
}
