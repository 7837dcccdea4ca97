//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/backend"
)

// disk is a Backend that several processes share: each task is a file, in a directory for each
// queue, and whoever renames it has leased it.
type disk string

// stored is the content of a file.
type stored struct {
	backend.Task
	Leases int
}

// leaseTime is how long a lease lasts. The name of a file that is leased ends with its end.
const leaseTime = 2 * time.Second

func (d disk) queue(name string) string {
	dir := filepath.Join(string(d), strings.ReplaceAll(name, "/", "_"))
	must(os.MkdirAll(dir, 0o700))
	return dir
}

// write stores a task under a name that says where it stands in its queue.
func (d disk) write(s *stored, name string) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(s); err != nil {
		return err
	}
	path := filepath.Join(d.queue(s.Queue), name)
	if err := os.WriteFile(path+".new", b.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path+".task")
}

func (d disk) Enqueue(_ context.Context, tasks ...backend.Task) ([]backend.Receipt, error) {
	var all []backend.Receipt
	for _, t := range tasks {
		if err := d.write(&stored{Task: t}, fmt.Sprintf("%020d-%s", time.Now().UnixNano(), t.ID)); err != nil {
			return all, err
		}
		all = append(all, backend.Receipt{ID: t.ID})
	}
	return all, nil
}

// Fetch looks now and then.
func (d disk) Fetch(ctx context.Context, queue string, credit int) ([]backend.Lease, error) {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		dir := d.queue(queue)
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		var leases []backend.Lease
		for _, e := range entries {
			name, end, _ := strings.Cut(e.Name(), ".")
			ns, err := strconv.ParseInt(strings.TrimPrefix(end, "leased-"), 10, 64)
			if err == nil && time.Now().UnixNano() > ns { // another one may be faster
				_ = os.Rename(filepath.Join(dir, e.Name()), filepath.Join(dir, name+".task"))
				continue
			}
			if l := d.lease(dir, e.Name()); l != nil {
				if leases = append(leases, l); len(leases) == max(1, credit) {
					break
				}
			}
		}
		if len(leases) > 0 {
			return leases, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// lease leases the task of a file, if it is due and nobody else has it.
func (d disk) lease(dir, file string) *diskLease {
	name, ok := strings.CutSuffix(file, ".task")
	if !ok {
		return nil
	}
	l := &diskLease{disk: d, dir: dir, name: name, end: time.Now().Add(leaseTime)}
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil || gob.NewDecoder(bytes.NewReader(b)).Decode(&l.stored) != nil || time.Now().Before(l.NotBefore) {
		return nil
	}
	if os.Rename(filepath.Join(dir, file), l.path()) != nil {
		return nil
	}
	l.Leases++
	return l
}

func (d disk) Depth(_ context.Context, queue string) (n backend.Depth, err error) {
	entries, err := os.ReadDir(d.queue(queue))
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".task") {
			n.Ready++
		}
	}
	return n, err
}

func (d disk) Close(context.Context) error { return nil }

type diskLease struct {
	stored
	disk      disk
	dir, name string
	end       time.Time
}

func (l *diskLease) path() string {
	return filepath.Join(l.dir, fmt.Sprintf("%s.leased-%d", l.name, l.end.UnixNano()))
}
func (l *diskLease) Task() backend.Task  { return l.stored.Task }
func (l *diskLease) Attempt() int        { return l.Leases }
func (l *diskLease) Deadline() time.Time { return l.end }

// take takes the file away, if it is still that of the lease.
func (l *diskLease) take() error {
	if err := os.Remove(l.path()); errors.Is(err, fs.ErrNotExist) {
		return backend.ErrLeaseLost
	} else if err != nil {
		return err
	}
	return nil
}

func (l *diskLease) Ack(context.Context) error { return l.take() }

func (l *diskLease) Retry(_ context.Context, after time.Duration, _ string) error {
	if err := l.take(); err != nil {
		return err
	}
	s := l.stored
	s.NotBefore = time.Now().Add(after)
	return l.disk.write(&s, l.name)
}

func (l *diskLease) Extend(context.Context) error {
	before := l.path()
	l.end = time.Now().Add(leaseTime)
	if os.Rename(before, l.path()) != nil {
		return backend.ErrLeaseLost
	}
	return nil
}

func (l *diskLease) Dead(context.Context, string) error {
	return os.Rename(l.path(), filepath.Join(l.dir, l.name+".dead"))
}
