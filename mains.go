package multiprolab

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file is what several Mains of one program have to do with each other. A process that is
// started as a worker comes to its own Main, to Hook, Run or Start, perhaps only after those of
// others: it passes them by. The names of the Mains tell them apart.

// names are the Mains of this process that workers find by their names. A worker process has its
// own. They are not forgotten, even if the Main has ended.
var names struct {
	mu sync.Mutex // guards outermost and nested
	// outermost are the Mains that were hooked, and those that were started outside of a worker.
	outermost map[string]*Main
	// nested are the Mains that were started inside this worker, and that a process comes to
	// through its setup function.
	nested map[string]*Main
}

// claimName takes the name of the Main for its workers, for the life of the process: a second Main
// of this name would have its workers become those of the first. With a hook in front of all Mains,
// as that of package multiprolabtest, names are not what a worker finds its Main by, unless it has
// come by one that was hooked before.
func (m *Main) claimName() error {
	names.mu.Lock()
	defer names.mu.Unlock()
	all := &names.outermost
	if m.nested && !m.hooked() {
		all = &names.nested
	}
	switch other := (*all)[m.cfg.Name]; {
	case other == m, other == nil && !m.hooked() && proc.TestBinaryAllowed() && !descent.become.Load():
		return nil
	case other != nil:
		return &ConfigError{
			"Config.Name",
			m.cfg.Name,
			fmt.Sprintf(
				"another Main of this program has this name, made at %s, and a process that is started as a worker "+
					"finds its Main by "+
					"it, even if the other one has ended: give each a Config.Name of its own",
				other.made,
			),
		}
	}
	if *all == nil {
		*all = map[string]*Main{}
	}
	(*all)[m.cfg.Name] = m
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

// place says what the process of a worker is to a Main that is hooked or started in it.
type place int

const (
	// elsewhere means that the worker is another Main's: this one does not run here.
	elsewhere place = iota
	// onTheWay means that the process is a worker of the Main, or of a Main inside of one.
	onTheWay
	// inside means that the Main belongs to the worker, and runs here as it would in main.
	inside
)

// placeIn returns what this process, which is that of a worker, is to the Main. level is how many
// setup functions it has entered.
func (m *Main) placeIn(role *proc.Role, level int) place {
	all := append(slices.Clone(role.Outer), role.Main)
	own, at := descent.become.Load(), role.Root+level
	switch {
	case own && m.nested:
		return inside
	case own, m.cfg.InProcess:
		// Once this process has come to its own Main, others of the same function are too late.
	case level > 0 && (m.hooked() || !m.nested):
		// The setup functions lead to Mains of their own.
	case at >= len(all), m.cfg.Name == all[at]:
		return onTheWay
	}
	if m.hook != nil && m.hook.initial {
		return inside // no worker comes to its start, because that is behind the hook
	}
	return elsewhere
}

// runsElsewhere is the elsewhereError of a Main in the process of another Main's worker.
func (m *Main) runsElsewhere(role *proc.Role) *elsewhereError {
	return &elsewhereError{
		text: fmt.Sprintf(
			"multiprolab: this is the process of worker %v of the Main %q, in which the Main %q does not run: what "+
				"comes before Hook, Run or Start of %q in the "+
				"program's main function runs in the processes of its workers, too",
			role,
			role.Main,
			m.cfg.Name,
			role.Main,
		),
	}
}

// missing is the error of a process that is to become a worker which the Main does not have.
func (m *Main) missing(role *proc.Role, worker string) error {
	if m.hook != nil {
		return fmt.Errorf(
			"multiprolab: this is the process of worker %q of the Main %q, but no such worker was registered before "+
				"Hook (%s), only %q: the process runs no further than Hook, so call RegisterWorker before it, in "+
				"every process alike, whatever flags or environment it has",
			worker,
			role.Main,
			m.hook.site,
			m.poolNames(),
		)
	}
	return fmt.Errorf(
		"multiprolab: this is the process of worker %q of the Main %q, but it has come to Run or Start of a "+
			"Main %q with other workers first (%s): "+
			"a worker process must reach its own Main by the same path as the main process, so register the "+
			"same workers in each process, and give different Mains of a program "+
			"different Config.Names",
		worker,
		role.Main,
		m.cfg.Name,
		strings.Join(m.poolNames(), ", "),
	)
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
