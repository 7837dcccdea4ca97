package sockets

import (
	"net"
	"os"
	"sync"
	"time"
)

// inert is a listener and a packet connection to which nothing comes. It exists in a process that
// only passes by where a worker takes its sockets. Any goroutine may use it.
type inert struct {
	once   sync.Once     // closes closed
	closed chan struct{} // closed by Close
}

// newInert returns an inert, which lasts until its Close.
func newInert() *inert { return &inert{closed: make(chan struct{})} }

// Accept waits for Close.
func (i *inert) Accept() (net.Conn, error) {
	<-i.closed
	return nil, net.ErrClosed
}

// ReadFrom waits for Close.
func (i *inert) ReadFrom([]byte) (int, net.Addr, error) {
	<-i.closed
	return 0, nil, net.ErrClosed
}

// WriteTo fails: nothing leaves this process.
func (i *inert) WriteTo([]byte, net.Addr) (int, error) { return 0, os.ErrClosed }

// Close ends the calls that wait.
func (i *inert) Close() error {
	i.once.Do(func() { close(i.closed) })
	return nil
}

// Addr returns an address that nobody has.
func (i *inert) Addr() net.Addr { return &net.UnixAddr{Net: "inert"} }

// LocalAddr is Addr.
func (i *inert) LocalAddr() net.Addr { return i.Addr() }

// SetDeadline has no effect, nor have the two others.
func (i *inert) SetDeadline(time.Time) error      { return nil }
func (i *inert) SetReadDeadline(time.Time) error  { return nil }
func (i *inert) SetWriteDeadline(time.Time) error { return nil }
