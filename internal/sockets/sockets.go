// Package sockets keeps the sockets of a main process by their names, so that its workers can
// inherit them. It knows descriptors of sockets, and neither processes nor package net: what
// makes the one of the other is the public package sockets, so that programs without sockets are
// not linked with package net.
package sockets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
)

// Set is the sockets of one main process. It exists in main. Its zero value is empty. Any goroutine
// may use it.
type Set struct {
	claims sync.Map // the places where sockets are opened, each a fmt.Stringer, by the names; it guards itself

	mu     sync.Mutex // guards all and closed
	all    []*Socket  // in the order in which they were added
	closed bool       // Close was called
}

// Socket is one socket of a Set: it listens, or takes packets. It exists in main. It does not
// change after it was added, but for its end, and any goroutine may use it.
type Socket struct {
	// Name is the name by which workers ask for it.
	Name string
	// Packets says that the socket takes packets, and does not listen.
	Packets bool
	// Addr is the address of the socket.
	Addr Addr

	file *hold       // main's descriptor of the socket
	from *Source     // where Open has it from; nil if Add has added it
	path string      // the file of a Unix socket that Open has made, and Close removes; or empty
	info os.FileInfo // what the file was when it was made
}

// SyscallConn gives the descriptor. Its Control fails with ErrClosed once the Set is closed.
func (s *Socket) SyscallConn() (syscall.RawConn, error) { return s.file.SyscallConn() }

// Source says how Open of package sockets has come to a socket. It exists in main, and never
// changes.
type Source struct {
	Network, Address string // what it was opened with; empty if the service manager has passed it
	Inherited        bool   // it was passed to this process
}

// ErrClosed says that the Set is closed.
var ErrClosed = errors.New("the sockets of the program are closed")

// Addr is the address of a socket: a net.Addr. Package net is not imported here, see package
// sockets at the root.
type Addr interface {
	Network() string
	String() string
}

// Opened is a socket that is to be added to a Set.
type Opened struct {
	// Name is the name by which workers ask for it.
	Name string
	// Conn has the descriptor. The Set takes a duplicate: a mere descriptor, so that no connection
	// wakes main.
	Conn syscall.Conn
	// Addr is its address.
	Addr Addr
	// Packets says that it takes packets, and does not listen.
	Packets bool
	// From says how it was opened for the Set; nil if it is the caller's.
	From *Source
	// Path is the file of a Unix socket that Close is to remove; or empty.
	Path string
}

// Add adds a duplicate of a socket. After Close it returns ErrClosed.
func (s *Set) Add(o *Opened) error {
	socket := &Socket{Name: o.Name, Packets: o.Packets, Addr: o.Addr, from: o.From, path: o.Path}
	if o.Path != "" {
		socket.info = fileOf(o.Path)
	}
	if lack := Lacks(o.Packets); lack != "" {
		return errors.New(lack)
	}
	var err error
	if socket.file, err = newHold(o.Conn); err != nil {
		socket.close()
		return err
	}
	return s.add(socket)
}

// Claim notes that a socket of a name is about to be opened at a place, until Disclaim. It returns
// the place of an earlier claim, if there is one: then that stands.
func (s *Set) Claim(name string, at fmt.Stringer) (before fmt.Stringer) {
	if old, claimed := s.claims.LoadOrStore(name, at); claimed {
		return old.(fmt.Stringer)
	}
	return nil
}

// Disclaim forgets the claim of a socket that could not be opened.
func (s *Set) Disclaim(name string) { s.claims.Delete(name) }

// CheckName returns what is wrong with the name of a listener, or nil. The names are those that
// systemd allows.
func CheckName(name string) error {
	bad := func(r rune) bool { return r < ' ' || r == 0x7f || r == ':' }
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, bad) {
		return fmt.Errorf(
			"the listener name %.40q is malformed: give it 1 to 255 bytes, without ':' and control characters", name)
	}
	return nil
}

// fileOf returns what the file of a Unix socket is, or nil.
func fileOf(path string) os.FileInfo {
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	return info
}

// isFile reports whether the file at a path is still the one that it was. As long as the socket is
// open no other file can be taken for its own.
func isFile(path string, was os.FileInfo) bool {
	if path == "" || was == nil {
		return false
	}
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(now, was) && now.Mode()&fs.ModeSocket != 0
}

// add adds a socket, or closes it if the Set is closed.
func (s *Set) add(socket *Socket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		socket.close()
		return ErrClosed
	}
	s.all = append(s.all, socket)
	return nil
}

// Find returns the socket of a name, or nil.
func (s *Set) Find(name string) *Socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, socket := range s.all {
		if socket.Name == name {
			return socket
		}
	}
	return nil
}

// Names returns the names of the sockets in the order in which they were added.
func (s *Set) Names() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, socket := range s.all {
		names = append(names, socket.Name)
	}
	return names
}

// Close closes main's descriptors, and removes the files of the Unix sockets that Open has made. A
// socket stays open as long as a worker has it. Calls after the first do nothing.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, socket := range s.all {
		socket.close()
	}
}

// close removes the file of the socket, unless another file has its name by now, and closes the
// descriptor.
func (s *Socket) close() {
	if isFile(s.path, s.info) {
		_ = os.Remove(s.path) // what cannot be removed is left, as net.UnixListener leaves it
	}
	if s.file != nil {
		s.file.close()
	}
}
