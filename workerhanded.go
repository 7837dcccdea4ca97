package multiprolab

import (
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/sockets"
)

// This file is how a worker takes what it was handed at its start.

// Listener returns the listener that main has opened under this name ([Main.Listen]), and that this
// worker inherits, because WorkerConfig.Listeners has the name. It is the worker's from then on: it
// can be taken once, and Close closes it in this worker alone. A worker that is told to end closes
// it first, finishes what it has accepted, and then ends; connections that come meanwhile go to
// other workers, or wait for the next one. See the example of this method.
func (w *Worker) Listener(name string) (net.Listener, error) {
	fd, err := w.take(handedListener, name, "name it in WorkerConfig.Listeners, and open it with Main.Listen")
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
	fd, err := w.take(handedPackets, name, "name it in WorkerConfig.Listeners, and open it with Main.Listen")
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
// the worker's to close.
func (w *Worker) File(name string) (*os.File, error) {
	fd, err := w.take(handedFile, name, "put it into WorkerConfig.Files")
	if err != nil {
		return nil, err
	}
	return os.NewFile(fd, name), nil
}

// take takes what the worker was handed. mend says what to do if there is nothing of the kind and
// name.
func (w *Worker) take(kind handedKind, name, mend string) (uintptr, error) {
	if w.role.take == nil {
		return 0, ErrNotWorker
	}
	w.takeMu.Lock()
	defer w.takeMu.Unlock()
	key := kind.key(name)
	if slices.Contains(w.taken, key) {
		return 0, fmt.Errorf("multiprolab: worker %s has taken the %s %q before: keep what you get",
			w.name(), kind, name)
	}
	fd, ok, err := w.role.take(key)
	if err != nil {
		return 0, fmt.Errorf("multiprolab: worker %s: %s %q: %w", w.name(), kind, name, err)
	}
	if !ok {
		return 0, fmt.Errorf("multiprolab: worker %s has no %s %q: %s", w.name(), kind, name, mend)
	}
	w.taken = append(w.taken, key)
	return fd, nil
}

// takeHanded is workerRole.take in a process of its own.
func takeHanded(key string) (uintptr, bool, error) {
	fd, ok := proc.TakeHanded(key)
	return fd, ok, nil
}
