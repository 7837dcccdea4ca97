package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"

	"github.com/multiprolab/multiprolab"
)

// roster knows which worker processes live, from the events of the library, and kills some of them
// for -kill. It exists in main. The loop of main calls onEvent; everything else belongs to the
// goroutine of the survey.
type roster struct {
	terminal io.Writer
	killed   []process // in their order

	mu      sync.Mutex
	live    []process
	own     map[int]bool  // the pids of killed
	over    bool          // a worker is not replaced any more: the program ends
	changed chan struct{} // tells killOne to look again
}

// process is a worker process that is ready. It is held by a handle: after its death another
// process could get its pid.
type process struct {
	name   string
	pid    int
	handle *os.Process
}

func (p process) String() string { return fmt.Sprintf("%s (pid %d)", p.name, p.pid) }

func newRoster(terminal io.Writer) *roster {
	return &roster{terminal: terminal, own: map[int]bool{}, changed: make(chan struct{}, 1)}
}

// note prints a line above the bar.
func (r *roster) note(format string, args ...any) {
	fmt.Fprintf(r.terminal, format+"\n", args...)
}

func (r *roster) onEvent(e multiprolab.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := e.(type) {
	case *multiprolab.WorkerReady:
		if handle, err := os.FindProcess(e.PID); err == nil {
			r.live = append(r.live, process{e.Worker, e.PID, handle})
		}
	case *multiprolab.WorkerStopped:
		r.remove(e.PID)
	case *multiprolab.WorkerFailed:
		r.remove(e.PID)
		r.over = r.over || !e.Restart
		if !r.own[e.PID] {
			r.note("%s", brief(e.Err))
		}
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *roster) remove(pid int) {
	if i := slices.IndexFunc(r.live, func(p process) bool { return p.pid == pid }); i >= 0 {
		_ = r.live[i].handle.Release()
		r.live = slices.Delete(r.live, i, i+1)
	}
}

// killOne kills one of the live processes at random. It waits while there is none because all are
// being replaced.
func (r *roster) killOne(ctx context.Context) error {
	for {
		if done, err := r.tryKill(); done || err != nil {
			return err
		}
		select {
		case <-r.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *roster) tryKill() (done bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.live) > 0 {
		i := rand.IntN(len(r.live))
		p := r.live[i]
		r.live = slices.Delete(r.live, i, i+1) // none is killed twice
		err := p.handle.Kill()
		_ = p.handle.Release()
		if errors.Is(err, os.ErrProcessDone) {
			continue // it died by itself; the event is on its way
		}
		if err != nil {
			return false, fmt.Errorf("kill %v: %w", p, err)
		}
		r.killed = append(r.killed, p)
		r.own[p.pid] = true
		r.note("killed %v", p)
		return true, nil
	}
	if r.over {
		return false, errors.New("no worker is left to kill")
	}
	return false, nil
}
