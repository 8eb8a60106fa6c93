package main

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// jobs runs one piece of work at a time for each object. A caller that gives up does not stop it, so that
// a snapshot that takes longer than the caller waits is still made; the next call joins the same work.
type jobs struct {
	mu      sync.Mutex
	running map[string]*job
}

type job struct {
	verb string
	done chan struct{}
	err  error
}

func newJobs() *jobs { return &jobs{running: map[string]*job{}} }

// run does the work, or waits for the same verb that already runs on the object. Every caller gets the
// error of the work that it waited for.
func (j *jobs) run(ctx context.Context, verb, object string, work func() error) error {
	j.mu.Lock()
	mine, found := j.running[object]
	if found && mine.verb != verb {
		j.mu.Unlock()
		return status.Errorf(codes.Aborted, "cannot %s %s now: another call is at work on it (%s)", verb, object, mine.verb)
	}
	if !found {
		mine = &job{verb: verb, done: make(chan struct{})}
		j.running[object] = mine
		go func() {
			mine.err = work()
			j.mu.Lock()
			delete(j.running, object)
			j.mu.Unlock()
			close(mine.done)
		}()
	}
	j.mu.Unlock()
	select {
	case <-mine.done:
		return asStatus(mine.err)
	case <-ctx.Done():
		// The sidecars of Kubernetes ask again after this code.
		return status.Errorf(codes.Aborted, "%s %s: not done yet", verb, object)
	}
}

// asStatus keeps a code that the work chose, and makes every other error an internal one.
func asStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, coded := status.FromError(err); coded {
		return err
	}
	return status.Error(codes.Internal, err.Error())
}
