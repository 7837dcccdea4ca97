package sockets

import (
	"net"
	"os"
	"sync"
	"time"
)

// Inert is a listener and a packet connection to which nothing comes. It exists in a process that
// only passes by where a worker takes its sockets. Any goroutine may use it.
type Inert struct {
	once   sync.Once     // closes closed
	closed chan struct{} // closed by Close
}

// NewInert returns an Inert, which lasts until its Close.
func NewInert() *Inert { return &Inert{closed: make(chan struct{})} }

// Accept waits for Close.
func (i *Inert) Accept() (net.Conn, error) {
	<-i.closed
	return nil, net.ErrClosed
}

// ReadFrom waits for Close.
func (i *Inert) ReadFrom([]byte) (int, net.Addr, error) {
	<-i.closed
	return 0, nil, net.ErrClosed
}

// WriteTo fails: nothing leaves this process.
func (i *Inert) WriteTo([]byte, net.Addr) (int, error) { return 0, os.ErrClosed }

// Close ends the calls that wait.
func (i *Inert) Close() error {
	i.once.Do(func() { close(i.closed) })
	return nil
}

// Addr returns an address that nobody has.
func (i *Inert) Addr() net.Addr { return &net.UnixAddr{Net: "inert"} }

// LocalAddr is Addr.
func (i *Inert) LocalAddr() net.Addr { return i.Addr() }

// SetDeadline has no effect, nor have the two others.
func (i *Inert) SetDeadline(time.Time) error      { return nil }
func (i *Inert) SetReadDeadline(time.Time) error  { return nil }
func (i *Inert) SetWriteDeadline(time.Time) error { return nil }
