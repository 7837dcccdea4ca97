package multiprolab

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab/internal/codec"
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
				"same workers in each process, and give different Mains of a program different Config.Names",
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
			"worker %q: a Main inside a worker must be started in the worker's setup function\n",
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
			index:         indexOf(role),
			life:          role.Life,
			releaseThread: proc.ReleaseMainThread,
			process:       true,
			take:          takeHanded,
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
