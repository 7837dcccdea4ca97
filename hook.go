package multiprolab

import (
	"context"
	"fmt"
	"os"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// Hook is where the process of a worker of this Main leaves the program: there it runs the worker
// and never returns. In main, and in the workers of other Mains, it does nothing, nor does it if it
// is called again, with Config.InProcess, or after Run or Start. It starts nothing in main: Run or
// Start does that, as always.
//
// Call it at the head of the program's main function, behind the calls of RegisterWorker. What
// follows, such as flags, connections, ports, locks and migrations, is then done in main alone. So
// what a setup function uses of that, such as the values of flags, is not there in the worker: hand
// it over in WorkerConfig.Process.Env, or in a message.
//
// Or call it in the initialiser of a package, behind the calls of RegisterWorker. Such a package
// uses multiprolab on its own: it calls Start when it is used for the first time, in whatever
// process that is, be it a worker of somebody else; it needs a Config.Name that nobody else has;
// and the program that imports it does not have to know, nor to close it: the workers end with the
// process that has started them. Its workers have the packages that it imports, and what its own
// init functions have done until then, but perhaps none of the packages that it does not import:
// the program's main package, or a decoder that this has registered, is missing there. A thread
// that C code has started cannot call Go there, because the runtime lets it wait until all packages
// are initialised. Call Hook in main where that is needed.
//
// Workers know what was registered before Hook. RegisterWorker panics after it, and RegisterError
// writes a warning to the log; what concerns main alone, such as RegisterGroup, Handle and Action,
// may come later.
//
// In the binary of a test, Hook counts if it is called in an initialiser or in TestMain: tests may
// start the workers then. Called in a test it does nothing.
func (m *Main) Hook() {
	switch {
	case m.cfg.InProcess, proc.IsTestBinary() && !goroutine.BeforeTests():
		return
	case proc.TestBinaryAllowed() && !goroutine.Initialises():
		return // the hook of package multiprolabtest is in front of this one
	}
	role := proc.Current()
	if !m.noteHook() || role == nil || m.placeIn(role, int(descent.level.Load())) != onTheWay {
		return
	}
	err := m.err
	if err == nil {
		err = m.takeRole() // if it returns, something is wrong
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// noteHook notes that Hook was called. It returns false if that comes too late.
func (m *Main) noteHook() bool {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if m.state != mainNew || m.hook != nil {
		return false
	}
	m.nested = m.nested || insideWorker(context.Background())
	m.hook = &hook{
		site:      callSite(),
		outermost: !m.nested && !descent.become.Load(),
		initial:   goroutine.Initialises() && !m.nested,
		errors:    len(m.errors),
	}
	if !m.hook.outermost {
		return true
	}
	if err := m.claimName(); err != nil && m.err == nil {
		m.err = err
	}
	return true
}
