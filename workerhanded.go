package multiprolab

import (
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/multiprolab/multiprolab/internal/sockets"
)

// This file is how a worker takes what it was handed at its start.

// Listener returns the listener that main has opened under this name ([Main.Listen]), and that this
// worker inherits, because WorkerConfig.Listeners has the name. It is the worker's from then on: it
// can be taken once, and Close closes it in this worker alone. A worker that is told to end closes
// it first, finishes what it has accepted, and then ends; connections that come meanwhile go to
// other workers, or wait for the next one. See the example of this method.
//
// The process of an inner Main's worker comes by the setup function of the outer worker, and must
// get past it. There it gets a listener to which nobody comes, and AddListener takes that.
func (w *Worker) Listener(name string) (net.Listener, error) {
	if w.passes() {
		return sockets.NewInert(), nil
	}
	fd, err := w.take(handedListener, name, "name it in WorkerConfig.Listeners, and open it with Main.Listen; for a "+
		"network of packets there is PacketConn")
	if err != nil {
		return nil, err
	}
	l, err := sockets.Listener(name, fd)
	if err != nil {
		return nil, fmt.Errorf("multiprolab: worker %s: listener %q: %w", w.name(), name, err)
	}
	return l, nil
}

// PacketConn is Listener for a network of packets, such as "udp". Each packet goes to one of the
// workers that read.
func (w *Worker) PacketConn(name string) (net.PacketConn, error) {
	if w.passes() {
		return sockets.NewInert(), nil
	}
	fd, err := w.take(handedPackets, name, "name it in WorkerConfig.Listeners, and open it with Main.Listen, in a "+
		"network of packets; for others there is Listener")
	if err != nil {
		return nil, err
	}
	c, err := sockets.PacketConn(name, fd)
	if err != nil {
		return nil, fmt.Errorf("multiprolab: worker %s: packet connection %q: %w", w.name(), name, err)
	}
	return c, nil
}

// File returns the file that WorkerConfig.Files has under this name. It can be taken once, and is
// the worker's to close. It returns ErrNotWorker in a process that only comes by, see Listener.
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
	w.takeMu.Lock()
	defer w.takeMu.Unlock()
	key := kind.key(name)
	if slices.Contains(w.taken, key) {
		return 0, fmt.Errorf("multiprolab: worker %s has taken the %s %q before: keep what you get",
			w.name(), kind, name)
	}
	fd, ok := w.role.take(key)
	if !ok {
		return 0, fmt.Errorf("multiprolab: worker %s has no %s %q: %s", w.name(), kind, name, mend)
	}
	w.taken = append(w.taken, key)
	return fd, nil
}
