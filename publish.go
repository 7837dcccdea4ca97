package multiprolab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/shared"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the shared data that main publishes, and how its workers get it.

// Publish puts what src writes into memory, once, under a name. The workers whose
// WorkerConfig.Shared has the name map it, with [Worker.Shared], to read it: however many they are,
// the memory is there once. Src may be a bytes.Reader, an *os.File (from where it is read up to),
// [Numbers], or anything else that has a WriteTo method.
//
// Publish may be called at any time, and again under the same name: that makes the next version,
// whose number it returns. The first is 1, and each is larger than those before: no number of a
// name comes again, and one is left out where Unpublish has taken the name away. A handler that has
// begun keeps the version that it has; the next one gets the new one. The memory of a version is
// free when no handler uses it any more and there is a newer one, after [Main.Unpublish], and at
// the end of the program, whatever the workers die of.
//
// On Linux the memory is a sealed memfd, of which nobody can change anything, main and its workers
// included; elsewhere it is a file in the directory for temporary files that has no name, or on
// Windows goes away with its last user. An error is that of src, or of the system: nothing is
// published then. After the end of the program the error is ErrStopped. In the process of a worker,
// which comes by here on its way to Run, Publish does not read src, and returns 0.
func (m *Main) Publish(name string, src io.WriterTo) (version uint64, err error) {
	if err := checkSharedName(name); err != nil {
		return 0, fmt.Errorf("multiprolab: %w", err)
	}
	if proc.Current() != nil && !descent.become.Load() {
		return 0, nil
	}
	s, err := shared.New(src)
	if err != nil {
		return 0, fmt.Errorf("multiprolab: shared data %q could not be put into memory: %w", name, err)
	}
	if version = m.shares.Replace(name, s); version == 0 {
		return 0, ErrStopped
	}
	return version, nil
}

// Unpublish takes shared data away: no worker gets it any more, and its memory is free when no
// handler uses it. That there is nothing has a number as well, so that a worker can tell it from
// the version before: the next Publish under the name skips that number. Unpublish does nothing if
// nothing is published under the name.
func (m *Main) Unpublish(name string) { m.shares.Replace(name, nil) }

// share answers a worker that asks for shared data. The worker is not trusted: an error of share
// ends it.
func (m *Main) share(to *peer, f *wire.Frame) error {
	news, err := m.shares.Pass(f.Type, to.shares)
	switch {
	case errors.Is(err, shared.ErrFull):
		return lie("it asked for shared data again and again, and did not take it")
	case errors.Is(err, shared.ErrNotAllowed):
		err = fmt.Errorf("name it in WorkerConfig.Shared: %w", fs.ErrPermission)
	case errors.Is(err, shared.ErrNotPublished):
		err = fmt.Errorf("nothing is published under this name: call Main.Publish before: %w", fs.ErrNotExist)
	}
	if err != nil {
		news = &shared.News{Failure: packedError(err)}
	}
	to.tellShared(f.Type, f.ID, news)
	return nil
}
