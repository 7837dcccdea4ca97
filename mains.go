package multiprolab

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file is what several Mains of one program have to do with each other. A process that is
// started as a worker runs the program's main function, and comes to Run or Start of its own Main
// only after those of others: it passes them by. The names of the Mains tell them apart.

// startedMains are the Mains that have started workers in this process, by their names. A worker
// process has its own.
var startedMains struct {
	mu     sync.Mutex
	byName map[string]*Main
}

// claimName takes the name of the Main for its workers, for the life of the process: a second Main
// of this name would have its workers become those of the first. With a hook in front of all Mains,
// as that of package multiprolabtest, names are not what a worker finds its Main by.
func (m *Main) claimName() error {
	if proc.TestBinaryAllowed() && !descent.become.Load() {
		return nil
	}
	startedMains.mu.Lock()
	defer startedMains.mu.Unlock()
	if other := startedMains.byName[m.cfg.Name]; other != nil {
		return &ConfigError{
			"Config.Name",
			m.cfg.Name,
			fmt.Sprintf(
				"another Main of this program has this name, made at %s, and a process that is started as a worker "+
					"finds its Main by it, even if the other one has ended: give each a Config.Name of its own",
				other.made,
			),
		}
	}
	if startedMains.byName == nil {
		startedMains.byName = map[string]*Main{}
	}
	startedMains.byName[m.cfg.Name] = m
	return nil
}

// stayOut makes every method of the Main return at once: it does not run in this process.
func (m *Main) stayOut(e *elsewhereError) {
	m.lifeMu.Lock()
	m.state, m.elsewhere = mainElsewhere, e
	m.serving.Store(false)
	m.lifeMu.Unlock()
	m.node.close(e)
	if e.worker == nil {
		m.cancel(ErrStopped)
		close(m.ended)
	}
}

// passesBy returns an elsewhereError if this process has become, or is on its way to, a worker of
// another Main than m. level is how many Mains it has passed through.
func (m *Main) passesBy(role *proc.Role, level int) error {
	names := append(slices.Clone(role.Outer), role.Main)
	own := descent.become.Load()
	switch {
	case own && m.nested:
		return nil
	case m.cfg.InProcess, own, level > 0 && !m.nested:
		// Once this process has come to its own Main, others of the same function are too late.
	case level >= len(names), m.cfg.Name == names[level]:
		return nil
	}
	return &elsewhereError{
		text: fmt.Sprintf(
			"multiprolab: this is the process of worker %v of the Main %q, in which the Main %q does not run: what "+
				"comes before Run or Start of %q in the "+
				"program's main function runs in the processes of its workers, too",
			role,
			role.Main,
			m.cfg.Name,
			role.Main,
		),
	}
}

// notHere is the elsewhereError of the Main whose worker this process becomes.
func (m *Main) notHere(w *Worker) *elsewhereError {
	return &elsewhereError{
		worker: w,
		text: fmt.Sprintf(
			"multiprolab: this is the process of worker %s, in which its Main %q does not run: use the Worker that "+
				"its setup function is given",
			w.name(),
			m.cfg.Name,
		),
	}
}

// descent says how far this process is on its way to the worker that it is to become. It belongs to
// the process, like the role itself. Any goroutine may use it.
var descent struct {
	level  atomic.Int32 // how many setup functions of outer workers the process has entered
	become atomic.Bool  // the process has become the worker
}
