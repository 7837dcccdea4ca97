package multiprolab

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file is how a process becomes the worker that it was started as, and how a worker is
// connected to its wire.

// descent says how far this process is on its way to the worker that it is to become. It belongs to
// the process, like the role itself. Any goroutine may use it.
var descent struct {
	level  atomic.Int32 // how many setup functions of outer workers the process has entered
	become atomic.Bool  // the process has become the worker
}

// takeRole makes this process the worker that its role says; in that case it does not return. In a
// main process, and for a Main that runs inside a worker, it returns nil. For the Main of another
// worker it returns an elsewhereError.
func (m *Main) takeRole() error {
	role := proc.Current()
	if role == nil {
		return nil
	}
	level := int(descent.level.Load())
	if err := m.passesBy(role, level); err != nil {
		return err
	}
	if descent.become.Load() {
		m.path, m.outer, m.depth = role.Path, append(slices.Clone(role.Outer), role.Main), role.Depth
		if m.depth >= m.cfg.MaxDepth {
			return fmt.Errorf(
				"multiprolab: worker %s is %d deep already, as deep as Config.MaxDepth allows: raise it, or do not "+
					"run a Main in this worker",
				strings.Join(role.Path, " > "),
				m.depth,
			)
		}
		return nil
	}
	last := level == len(role.Path)-1
	name := role.Path[min(level, len(role.Path)-1)]
	p := m.pool(name)
	if p == nil {
		return fmt.Errorf(
			"multiprolab: this is the process of worker %q of the Main %q, but it has come to Run or Start of a "+
				"Main %q with other workers first (%s): "+
				"a worker process must reach its own Main by the same path as the main process, so register the "+
				"same workers in each process, and give different Mains of a program "+
				"different Config.Names",
			name,
			role.Main,
			m.cfg.Name,
			strings.Join(m.poolNames(), ", "),
		)
	}
	if !last {
		m.passThrough(p)
	}
	descent.become.Store(true)
	m.becomeWorker(p, role)
	return nil
}

// passThrough runs the setup function of an outer worker, on the way to the Main that this function
// runs. The Run of that Main takes over, so that passThrough does not return.
func (m *Main) passThrough(p *pool) {
	level := descent.level.Add(1)
	w := newWorker(workerRole{pool: p.name}, &codec.Codec{}, &m.cfg)
	w.die = dieOfGoexit
	m.stayOut(m.notHere(w))
	what := "the setup function of worker " + p.name
	err := w.live(func() error { return p.setup(w.ctx, w) }, &what)
	path := proc.Current().Path
	fmt.Fprintf(
		os.Stderr,
		"multiprolab: the setup function of worker %q returned (%v) before it reached Run or Start of the Main with "+
			"worker %q: "+
			"a Main inside a worker must be started in the worker's setup function\n",
		p.name,
		err,
		path[level],
	)
	os.Exit(1)
}

// becomeWorker is the whole life of a worker process after Run was called in it. It does not
// return.
func (m *Main) becomeWorker(p *pool, role *proc.Role) {
	identity, err := proc.Identity()
	if err != nil {
		identity = err.Error()
	}
	w := newWorker(
		workerRole{
			pool:          p.name,
			index:         role.Index,
			life:          role.Life,
			releaseThread: proc.ReleaseMainThread,
			process:       true,
		},
		&codec.Codec{},
		&m.cfg,
	)
	w.errors, w.die = m.errors, dieOfGoexit
	m.stayOut(m.notHere(w))
	in, out := proc.Wire()
	err = w.run(proc.Inlet(in), out, p.setup, identity, role.Cookie, func(error) { proc.KillSelfTree() })
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// wrapWire wraps both directions of a worker's wire. It is nil except in the workers of tests,
// which use it to die between two frames, or in the middle of a frame, and to note which frames
// have gone out.
var wrapWire func(w *Worker, r io.Reader, out io.Writer) (io.Reader, io.Writer)

// run connects the worker to its wire and lives its life. It calls lost if main is gone before the
// worker has said goodbye. The goroutines that it starts end with the wire, which the caller
// closes.
func (w *Worker) run(
	r io.Reader,
	out io.Writer,
	setup func(context.Context, *Worker) error,
	identity, cookie string,
	lost func(error),
) error {
	mark, err := hex.DecodeString(cookie)
	if err != nil {
		return err
	}
	if _, err := out.Write(mark); err != nil {
		return err
	}
	if wrapWire != nil {
		r, out = wrapWire(w, r, out)
	}
	w.link = newLink(w.codec, r, out, link.Options{MaxBody: w.maxBody, OneFrame: true, Fail: w.kill})
	w.receiver.interrupt = w.link.Interrupt
	if w.role.process && wrapWire == nil { // a test that wraps the wire sees only what goes through the pipe
		w.link.SetBox(proc.Box())
		w.link.Share(proc.Shared(), false, nil) // the memory stays mapped as long as the process lives
	}
	if err := w.link.ReadUntil(w.receive, func() bool { return w.welcome != nil }); err != nil {
		lost(err)
		return err
	}
	wrote := make(chan struct{})
	go func() { // ends when this function closes the link, or when the pipe is closed
		defer close(wrote)
		_ = w.link.WriteLoop()
	}()
	var ending atomic.Bool
	go func() { // ends with the pipe or, in a process of its own, with the process
		err := w.link.ReadLoop(w.receive)
		if !ending.Load() {
			lost(err)
		}
		w.node.close(errors.Join(w.stopCause(), err))
	}()
	var what string
	err = w.live(func() error { return w.serve(setup, identity, &what) }, &what)
	ending.Store(true)
	w.link.Close()
	<-wrote
	w.kill(w.stopCause())
	return err
}
