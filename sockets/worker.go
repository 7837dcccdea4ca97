package sockets

import (
	"fmt"
	"net"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/sockets"
)

// This file is how a worker takes the sockets that it was handed at its start.

// Listener returns the listener that main has opened under this name ([Listen]), and that this
// worker inherits, because [multiprolab.WorkerConfig].Listeners has the name. It is the worker's
// from then on: it can be taken once, and Close closes it in this worker alone. A worker that is
// told to end closes it first, finishes what it has accepted, and then ends; connections that come
// meanwhile go to other workers, or wait for the next one. See the example.
//
// The process of an inner Main's worker comes by the setup function of the outer worker, and must
// get past it. There it gets a listener to which nobody comes, and Add takes that.
func Listener(w *multiprolab.Worker, name string) (net.Listener, error) {
	fd, passes, err := sockets.Root.Take(w, name, false)
	if passes {
		return newInert(), nil
	}
	if err != nil {
		return nil, err
	}
	l, err := listenerOf(name, fd)
	if err != nil {
		return nil, fmt.Errorf("multiprolab: worker %s: listener %q: %w", w.Name(), name, err)
	}
	return l, nil
}

// PacketConn is Listener for a network of packets, such as "udp". Each packet goes to one of the
// workers that read.
func PacketConn(w *multiprolab.Worker, name string) (net.PacketConn, error) {
	fd, passes, err := sockets.Root.Take(w, name, true)
	if passes {
		return newInert(), nil
	}
	if err != nil {
		return nil, err
	}
	c, err := packetConnOf(name, fd)
	if err != nil {
		return nil, fmt.Errorf("multiprolab: worker %s: packet connection %q: %w", w.Name(), name, err)
	}
	return c, nil
}
