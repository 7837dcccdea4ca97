package multiprolab

import (
	"fmt"
	"io"

	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/shared"
)

// This file is the shared data that main publishes, and how its workers get it.

// Publish puts what src writes into memory, once, under a name. The workers whose
// WorkerConfig.Shared has the name map it, with [Worker.Shared], to read it: however many they are,
// the memory is there once. Src may be a bytes.Reader, an *os.File (from where it is read up to),
// [Numbers], or anything else that has a WriteTo method.
//
// Publish may be called at any time, and again under the same name: that makes the next version,
// from 1, which it returns. A handler that has begun keeps the version that it has; the next one
// gets the new one. The memory of a version is free when no handler uses it any more and there is a
// newer one, after [Main.Unpublish], and at the end of the program, whatever the workers die of.
//
// On Linux the memory is a sealed memfd, of which nobody can change anything, main and its workers
// included; elsewhere it is a file in the directory for temporary files that has no name, or on
// Windows goes away with its last user. An error is that of src, or of the system: nothing is
// published then. After the end of the program the error is ErrStopped. In the process of a worker,
// which comes by here on its way to Run, Publish does not read src, and returns 0.
func (m *Main) Publish(name string, src io.WriterTo) (version uint64, err error) {
	if err := checkName("name of the shared data", name); err != nil {
		return 0, fmt.Errorf("multiprolab: %w", err)
	}
	if proc.Current() != nil && !descent.become.Load() {
		return 0, nil
	}
	s, err := shared.New(src)
	if err != nil {
		return 0, fmt.Errorf("multiprolab: shared data %q could not be put into memory: %w", name, err)
	}
	version, err = m.shares.replace(name, s)
	if err != nil {
		return 0, err
	}
	m.shares.tell(name, version)
	return version, nil
}

// Unpublish takes shared data away: no worker gets it any more, and its memory is free when no
// handler uses it. It does nothing if nothing is published under the name.
func (m *Main) Unpublish(name string) {
	if version, err := m.shares.replace(name, nil); err == nil && version > 0 {
		m.shares.tell(name, version)
	}
}
