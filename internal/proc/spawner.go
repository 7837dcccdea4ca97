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
// Linux ties the signal that a child gets at its parent's death to the thread that started the
// child (prctl(2), PR_SET_PDEATHSIG). Most workers get SIGCONT, and look whether their parent is
// gone. The kernel gives a child of a thread that ends to another thread of the parent, and signals
// it again when that thread ends. So any thread may start these workers. A worker with a PID
// namespace is killed by the signal: such workers are started by a goroutine that is locked to a
// thread, which lasts as long as the Spawner.
type Spawner struct {
	mu       sync.Mutex         // guards every other field; held during a start
	closed   bool               // Close was called
	requests chan *startRequest // to the goroutine with a thread of its own; nil until there is one
	done     chan struct{}      // the goroutine with a thread of its own closes it when it ends
}

// startRequest carries one Start to the goroutine with a thread of its own, and its outcome back.
// The goroutine may touch it until it closes done, and afterwards the caller of Start.
type startRequest struct {
	spec    *Spec         // what to start
	process *Process      // what was started, or nil
	err     error         // why nothing was started, or nil
	done    chan struct{} // closed when process and err are set
}

// NewSpawner returns a Spawner, for which Close has to be called.
func NewSpawner() *Spawner { return new(Spawner) }

// run is the goroutine with a thread of its own. It ends when requests is closed.
func (s *Spawner) run() {
	defer close(s.done)
	runtime.LockOSThread()
	// Without the unlock the thread would end with the goroutine, and Linux would signal every
	// worker that is left.
	defer runtime.UnlockOSThread()
	for req := range s.requests {
		req.process, req.err = startWorker(req.spec)
		close(req.done)
	}
}

// Start starts a worker process. The error wraps the system's error, for example EAGAIN or ENOENT,
// and names the program; after Close it wraps os.ErrClosed. The caller has to close the Process
// that it gets, before or after Done.
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
	<-req.done // this does not take long: the goroutine answers every request that it takes
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
	if s.done != nil { // done does not change after closed is set
		<-s.done
	}
}

// startWorker starts the process for one Spec.
func startWorker(spec *Spec) (*Process, error) {
	if err := spec.Role.check(); err != nil {
		return nil, fmt.Errorf("start worker process: %w", err)
	}
	if err := spec.Check(); err != nil {
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
		if spec.Dir != "" { // the system does not say which file is missing
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
