package multiprolab

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file is how a process becomes the worker that it was started as, and how a worker is
// connected to its wire.

// takeRole makes this process the worker that its role says; in that case it does not return. In a
// main process, and for a Main that runs inside a worker, it returns nil. For the Main of another
// worker it returns an elsewhereError.
func (m *Main) takeRole() error {
	role := proc.Current()
	if role == nil {
		return nil
	}
	level := int(descent.level.Load())
	switch m.placeIn(role, level) {
	case elsewhere:
		return m.runsElsewhere(role)
	case inside:
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
	level += role.Root
	last := level == len(role.Path)-1
	name := role.Path[min(level, len(role.Path)-1)]
	p := m.pool(name)
	if p == nil {
		return m.missing(role, name)
	}
	if !last {
		m.passThrough(p)
	}
	descent.become.Store(true)
	m.becomeWorker(p, role)
	return nil
}

// passThrough runs the setup function of an outer worker, on the way to the Main that this function
// runs. Hook or Run of that Main takes over, so that passThrough does not return.
func (m *Main) passThrough(p *pool) {
	level := int(descent.level.Add(1)) + proc.Current().Root
	w := newWorker(workerRole{pool: p.name}, &codec.Codec{}, &m.cfg)
	w.die = dieOfGoexit
	m.stayOut(m.notHere(w))
	what := "the setup function of worker " + p.name
	err := w.live(func() error { return p.setup(w.ctx, w) }, &what)
	path := proc.Current().Path
	fmt.Fprintf(
		os.Stderr,
		"multiprolab: the setup function of worker %q returned (%v) before it reached Hook, Run or Start of the Main "+
			"with worker %q: a Main inside a worker must be started in the worker's setup function, or be hooked "+
			"outside of it\n",
		p.name,
		err,
		path[level],
	)
	os.Exit(1)
}

// becomeWorker is the whole life of a worker process after Hook or Run was called in it. It does
// not return.
func (m *Main) becomeWorker(p *pool, role *proc.Role) {
	identity, err := proc.Identity()
	if err != nil {
		identity = err.Error()
	}
	w := newWorker(
		workerRole{
			pool:          p.name,
			index:         indexOf(role),
			life:          role.Life,
			releaseThread: proc.ReleaseMainThread,
			process:       true,
			take:          proc.TakeHanded,
			initial:       goroutine.Initialises(),
			outlet:        newOutlet(),
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

// indexOf returns the number of the instance that a process is, as instanceName takes it.
func indexOf(role *proc.Role) int {
	if role.Spare {
		return -1 - role.Index
	}
	return role.Index
}
