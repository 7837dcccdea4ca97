// The types of this file live in both processes: main writes the role, the worker reads it.

package proc

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// markerName is the environment variable that makes a process a worker.
const markerName = "MULTIPROLAB_ROLE"

// markerVersion is the version of the marker's text. A worker refuses any other version.
const markerVersion = 4

// Exit statuses of a worker process that ends before or outside of user code. The worker writes one
// line on stderr as well, if there is still somebody to read it.
const (
	exitTakeover = 70 // the initialiser could not make this process a worker; EX_SOFTWARE of sysexits.h
	exitOrphan   = 75 // the main process is gone; EX_TEMPFAIL of sysexits.h
)

// Role is what a main process tells the worker process that it starts. It is written before the
// worker exists, and does not change in the worker.
type Role struct {
	Main   string   // Config.Name of the Main that has started this process
	Outer  []string // Config.Name of the Mains around that Main, from the outermost
	Path   []string // pool names from the outermost Main down to this worker, e.g. ["thumbnailer"] or ["outer","inner"]
	Index  int      // instance number within the pool, or the number of a spare
	Spare  bool     // the worker has no instance number yet: it stands by
	Life   int      // 1 for the first process of this instance, 2 for its replacement, ...
	Depth  int      // 1 for a worker of a top-level Main
	Root   int      // from which of the Mains on the Path the process sets out; 0 unless an inner one is hooked
	Cookie string   // random hex digits, with which the worker opens the wire
}

// check returns an error for the first field that has a value which no worker can have.
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
	case r.Root < 0 || r.Root >= len(r.Path):
		return fmt.Errorf("the role's Root is %d", r.Root)
	case r.Cookie == "":
		return errors.New("the role has no Cookie")
	}
	return nil
}

// String returns the name by which messages call this worker, for example "outer/inner/2".
func (r *Role) String() string {
	if r.Spare {
		return fmt.Sprintf("%s/spare.%d", strings.Join(r.Path, "/"), r.Index)
	}
	return fmt.Sprintf("%s/%d", strings.Join(r.Path, "/"), r.Index)
}

// marker is the content of the environment variable: the role, and what this package tells itself
// in the worker.
type marker struct {
	Role           // the role of the worker
	Parent int     // the pid of the process that starts the worker, as that process sees it
	Box    bool    // there is shared memory
	Stdout uintptr // Windows: the inherited handle that becomes the worker's standard output

	PIDNamespace bool // the worker was started as process 1 of a PID namespace
	OOMScoreAdj  int  // Spec.OOMScoreAdj of the worker

	Handed []handedFD // what the worker was handed, see Spec.Handed
}

// Pack describes the layout of the marker.
func (m *marker) Pack(p *pack.Packing) {
	pack.Text(p, &m.Main)
	pack.List(p, &m.Outer, pack.Text)
	pack.List(p, &m.Path, pack.Text)
	pack.Number(p, &m.Index)
	pack.Flag(p, &m.Spare)
	pack.Number(p, &m.Life)
	pack.Number(p, &m.Depth)
	pack.Number(p, &m.Root)
	pack.Text(p, &m.Cookie)
	pack.Number(p, &m.Parent)
	pack.Flag(p, &m.Box)
	pack.Number(p, &m.Stdout)
	pack.Flag(p, &m.PIDNamespace)
	pack.Number(p, &m.OOMScoreAdj)
	pack.List(p, &m.Handed, packHanded)
}

// text returns the marker as the value of the environment variable.
func (m *marker) text() string {
	return strconv.Itoa(markerVersion) + ":" + hex.EncodeToString(pack.Marshal(m))
}

// parseMarker is the inverse of text. It trusts nothing in the text.
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

// die ends a process that must not reach main.main.
func die(code int, format string, args ...any) {
	fmt.Fprintf(os.Stderr, "multiprolab: "+format+"\n", args...)
	os.Exit(code)
}
