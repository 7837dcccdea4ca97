// The types of this file live in both processes: main writes the role, the worker reads it.

package proc

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// markerName is the environment variable that makes a process a worker.
const markerName = "MULTIPROLAB_ROLE"

// markerVersion is the version of the marker's text. A worker refuses any other.
const markerVersion = 3

// Exit statuses of a worker process that ends before or outside of user code. Both are accompanied
// by one line on stderr where there is still somebody to read it.
const (
	exitTakeover = 70 // the initialiser could not make this process a worker; EX_SOFTWARE of sysexits.h
	exitOrphan   = 75 // the main process is gone; EX_TEMPFAIL of sysexits.h
)

// Role is what a main process told the worker process that it started.
// It is written before the worker exists and read-only in the worker.
type Role struct {
	Main   string   // Config.Name of the Main that started this process
	Outer  []string // of the Mains around that one, from the outermost
	Path   []string // pool names from the outermost Main down to this worker, e.g. ["thumbnailer"] or ["outer","inner"]
	Index  int      // instance number within the pool
	Life   int      // 1 for the first process of this instance, 2 for its replacement, ...
	Depth  int      // 1 for a worker of a top-level Main
	Cookie string   // random hex, opens the wire
}

// check reports the first field that no worker can have.
func (r *Role) check() error {
	switch {
	case len(r.Path) == 0:
		return errors.New("the role has no Path")
	case r.Index < 0:
		return fmt.Errorf("the role's Index is %d", r.Index)
	case r.Life < 1:
		return fmt.Errorf("the role's Life is %d", r.Life)
	case r.Depth < 1:
		return fmt.Errorf("the role's Depth is %d", r.Depth)
	case r.Cookie == "":
		return errors.New("the role has no Cookie")
	}
	return nil
}

// String returns the name by which messages call this worker, for example "outer/inner/2".
func (r *Role) String() string {
	return fmt.Sprintf("%s/%d", strings.Join(r.Path, "/"), r.Index)
}

// marker is the content of the environment variable: the role, and what only the two sides of this
// package exchange.
type marker struct {
	Role
	Parent int     // pid of the process that starts the worker, as that process sees it
	Box    bool    // there is shared memory
	Stdout uintptr // Windows: the inherited handle that becomes the worker's standard output

	PIDNamespace bool // the worker was started as process 1 of a PID namespace
	OOMScoreAdj  int  // Spec.OOMScoreAdj
}

// Pack describes the layout.
func (m *marker) Pack(p *pack.Packing) {
	pack.Text(p, &m.Main)
	pack.List(p, &m.Outer, pack.Text)
	pack.List(p, &m.Path, pack.Text)
	pack.Number(p, &m.Index)
	pack.Number(p, &m.Life)
	pack.Number(p, &m.Depth)
	pack.Text(p, &m.Cookie)
	pack.Number(p, &m.Parent)
	pack.Flag(p, &m.Box)
	pack.Number(p, &m.Stdout)
	pack.Flag(p, &m.PIDNamespace)
	pack.Number(p, &m.OOMScoreAdj)
}

// text returns the marker as the value of the environment variable.
func (m *marker) text() string {
	return strconv.Itoa(markerVersion) + ":" + hex.EncodeToString(pack.Marshal(m))
}

// parseMarker is the inverse of text. It trusts nothing.
func parseMarker(text string) (*marker, error) {
	version, text, _ := strings.Cut(text, ":")
	if version != strconv.Itoa(markerVersion) {
		return nil, fmt.Errorf("it is of version %.20q, this binary reads version %d", version, markerVersion)
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil, err
	}
	m := new(marker)
	if err := pack.Unmarshal(b, m); err != nil {
		return nil, err
	}
	if m.Parent < 1 {
		return nil, fmt.Errorf("the parent's pid is %d", m.Parent)
	}
	return m, m.check()
}

// self is what the initialiser made of this process. It is the initialiser that has to run before
// anything else in the program: a package-level variable, because those of a package come before
// its init functions.
var self = takeOver()

// workerSelf lives in the worker process only; in a main process it is empty. It never changes
// after initialisation, except for released.
type workerSelf struct {
	role   *Role
	r, w   *os.File
	box    []byte
	shared []byte
	// the original os.Stdin and os.Stdout: kept, because their finalizers would close our
	// descriptors
	std      [2]*os.File
	guarded  <-chan struct{}
	released atomic.Bool // ReleaseMainThread was called
}

// takeOver makes this process a worker if the marker is present. A marker that is present always
// means worker: a process that cannot become one exits here, because running on as a main would
// start workers that do the same, without end.
func takeOver() *workerSelf {
	s := new(workerSelf)
	text, ok := os.LookupEnv(markerName)
	if !ok {
		return s
	}
	if err := os.Unsetenv(markerName); err != nil {
		die(exitTakeover, "cannot remove %s from the environment: %v", markerName, err)
	}
	m, err := parseMarker(text)
	if err != nil {
		die(
			exitTakeover,
			"the environment variable %s is not for users to set, and its value is malformed: %v",
			markerName,
			err,
		)
	}
	// Package initialisation runs on the main goroutine and on the process's main thread. The lock
	// keeps the goroutine there until ReleaseMainThread, so that user code which needs the main
	// thread can still be given it.
	runtime.LockOSThread()
	s.guarded = guardWorker(m)
	if m.OOMScoreAdj != 0 {
		// What cannot be is said where the user asks for it: Limits.Apply.
		_ = setOOMScoreAdj(m.OOMScoreAdj)
	}
	s.std = [2]*os.File{os.Stdin, os.Stdout}
	if s.r, s.w, err = takeOverPipes(m); err != nil {
		die(exitTakeover, "worker %s cannot take over its standard input and output: %v", &m.Role, err)
	}
	if m.Box {
		s.box, s.shared = takeOverBox()
	}
	s.role = &m.Role
	return s
}

// die ends a process that must not reach main.main.
func die(code int, format string, args ...any) {
	fmt.Fprintf(os.Stderr, "multiprolab: "+format+"\n", args...)
	os.Exit(code)
}

// Current returns the role of this process, or nil in a process that is not a worker. The caller
// must not change it.
func Current() *Role {
	return self.role
}

// Wire returns the pipes of a worker process, r for what main writes and w for what main reads;
// nil, nil in a process that is not a worker. On Unix both are on the runtime's poller, so that
// Close and deadlines unblock a pending call; but on Linux r is in blocking mode, for Inlet. On
// Windows they are synchronous: Close cancels a pending call, deadlines are not supported, and main
// reads the end of file only when this process ends.
func Wire() (r, w *os.File) {
	return self.r, self.w
}

// Guarded returns a channel that is closed when this worker process is deaf to the terminal's
// interrupt and notices the end of the one that started it at once.
func Guarded() <-chan struct{} { return self.guarded }

// Box returns the memory of BoxSize bytes that a worker process shares with the one that started
// it, which can read it when the worker has ended, or nil if there is none.
func Box() []byte { return self.box }

// Shared returns the other memory that a worker process shares with the one that started it, of
// SharedSize bytes, or nil if there is none.
func Shared() []byte { return self.shared }

// ReleaseMainThread undoes the lock that holds the main goroutine of a worker process on the
// process's main thread. It has to be called on the main goroutine. The first call counts, and in a
// process that is not a worker none does.
func ReleaseMainThread() {
	if self.role != nil && self.released.CompareAndSwap(false, true) {
		runtime.UnlockOSThread()
	}
}

// OnMainThread reports whether the calling goroutine runs on the process's main thread at this
// moment. Only a goroutine that is locked to its thread can rely on the answer for longer. Linux
// and Windows know; elsewhere there is no way to ask without cgo, and the answer is whether the
// main goroutine of a worker is still locked to the thread.
func OnMainThread() bool {
	return onMainThread()
}
