package multiprolab

import (
	"errors"
	"fmt"
	"os"

	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/sockets"
)

// This file is how a worker takes what it was handed at its start.

func init() {
	sockets.Root.Take = func(worker any, name string, packets bool) (uintptr, bool, error) {
		return worker.(*Worker).takeSocket(name, packets)
	}
}

// takeSocket takes the descriptor of a listener or packet connection that main has opened. passes
// says that this process only comes by the setup function, and has none.
func (w *Worker) takeSocket(name string, packets bool) (fd uintptr, passes bool, err error) {
	if w.passes() {
		return 0, true, nil
	}
	kind, mend := handedListener, "; for a network of packets there is PacketConn"
	if packets {
		kind, mend = handedPackets, ", in a network of packets; for others there is Listener"
	}
	fd, err = w.take(kind, name, "name it in WorkerConfig.Listeners, and open it with sockets.Listen"+mend)
	return fd, false, err
}

// File returns the file that WorkerConfig.Files has under this name. It can be taken once, and is
// the worker's to close. It returns ErrNotWorker in the process of an inner Main's worker,
// which comes by the setup function.
func (w *Worker) File(name string) (*os.File, error) {
	fd, err := w.take(handedFile, name, "put it into WorkerConfig.Files")
	if err != nil {
		return nil, err
	}
	return os.NewFile(fd, name), nil
}

// passes reports whether this process only comes by the setup function, see passThrough.
func (w *Worker) passes() bool { return w.role.take == nil }

// take takes what the worker was handed. mend says what to do if there is nothing of the kind and
// name.
func (w *Worker) take(kind handedKind, name, mend string) (uintptr, error) {
	if w.passes() {
		return 0, ErrNotWorker
	}
	fd, err := w.role.take(kind.key(name))
	switch {
	case errors.Is(err, proc.ErrTaken):
		err = fmt.Errorf("multiprolab: worker %s has taken the %s %q before: keep what you get", w.name(), kind, name)
	case err != nil:
		err = fmt.Errorf("multiprolab: worker %s has no %s %q: %s", w.name(), kind, name, mend)
	}
	return fd, err
}
