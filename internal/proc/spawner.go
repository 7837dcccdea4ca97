// The types of this file live in the process that starts workers.

package proc

import (
	"fmt"
	"os"
	"runtime"
	"sync"
)

// Spawner starts worker processes, one after the other. All methods may be called from any
// goroutine.
//
// Linux ties the signal that a child gets at its parent's death to the thread that started it
// (prctl(2), PR_SET_PDEATHSIG). To most workers the signal is SIGCONT: they look whether their
// parent is gone, and the kernel sends it again at the end of every thread whose child the worker
// has become since. So any thread may start them. A worker with a PID namespace is killed by the
// signal: those are started by a goroutine that is locked to its thread, which lasts.
type Spawner struct {
	mu       sync.Mutex // held during a start
	closed   bool
	requests chan *startRequest // to the goroutine with a thread of its own; nil until there is one
	done     chan struct{}      // closed by that goroutine when it ends
}

// startRequest carries one Start to the goroutine with a thread of its own, and its outcome back.
type startRequest struct {
	spec    *Spec
	process *Process
	err     error
	done    chan struct{} // closed when process and err are set
}

// NewSpawner returns a Spawner, for which Close has to be called.
func NewSpawner() *Spawner { return new(Spawner) }

func (s *Spawner) run() {
	defer close(s.done)
	runtime.LockOSThread()
	// With the lock in place the thread would end here, and Linux would signal whatever worker is
	// left.
	defer runtime.UnlockOSThread()
	for req := range s.requests {
		req.process, req.err = startWorker(req.spec)
		close(req.done)
	}
}

// Start starts a worker process. The error wraps the system's, EAGAIN or ENOENT for example, and
// names the program; after Close it wraps os.ErrClosed. The caller has to close the Process it
// gets, after or before Done.
func (s *Spawner) Start(spec *Spec) (*Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("start worker process %s: spawner: %w", &spec.Role, os.ErrClosed)
	}
	if !spec.PIDNamespace {
		return startWorker(spec)
	}
	if s.requests == nil {
		s.requests, s.done = make(chan *startRequest), make(chan struct{})
		go s.run() // ended, and waited for, by Close
	}
	req := &startRequest{spec: spec, done: make(chan struct{})}
	s.requests <- req
	<-req.done // never long: the goroutine answers every request that it takes
	return req.process, req.err
}

// Close ends the spawner's goroutine, if it has one, and waits for it. It is to be called after
// every process has been reaped; calls after the first only wait.
func (s *Spawner) Close() {
	s.mu.Lock()
	if !s.closed && s.requests != nil {
		close(s.requests)
	}
	s.closed = true
	s.mu.Unlock()
	if s.done != nil { // it does not change any more
		<-s.done
	}
}

// startWorker starts the process for one Spec.
func startWorker(spec *Spec) (*Process, error) {
	if err := spec.Role.check(); err != nil {
		return nil, fmt.Errorf("start worker process: %w", err)
	}
	if err := spec.unsupported(); err != nil {
		return nil, fmt.Errorf("start worker process %s: %w", &spec.Role, err)
	}
	path := spec.Path
	if path == "" {
		var err error
		if path, err = Executable(); err != nil {
			return nil, fmt.Errorf("start worker process %s: find the running program: %w", &spec.Role, err)
		}
	}
	p, err := start(spec, path)
	if err != nil {
		if spec.Dir != "" { // the system says only that something is missing
			if info, derr := os.Stat(spec.Dir); derr != nil {
				err = fmt.Errorf("working directory: %w", derr)
			} else if !info.IsDir() {
				err = fmt.Errorf("working directory %s: it is a file: %w", spec.Dir, err)
			}
		}
		err = spec.explain(err, path)
		return nil, fmt.Errorf("start worker process %s from %s: %w", &spec.Role, path, err)
	}
	go p.watch() // ends after the process has; closes p.done
	return p, nil
}
