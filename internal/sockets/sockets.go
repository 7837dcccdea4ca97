// Package sockets keeps the sockets of a main process by their names, so that its workers can
// inherit them, and makes listeners and packet connections of what a worker has inherited. It knows
// sockets and no processes.
package sockets

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
)

// Set is the sockets of one main process. It exists in main. Its zero value is empty. Any goroutine
// may use it.
type Set struct {
	mu     sync.Mutex // guards every other field
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
	Addr net.Addr

	file *hold       // main's descriptor of the socket
	from *source     // where Open has it from; nil if Add has added it
	path string      // the file of a Unix socket that Open has made, and Close removes; or empty
	info os.FileInfo // what the file was when it was made
}

// SyscallConn gives the descriptor. Its Control fails with net.ErrClosed once the Set is closed.
func (s *Socket) SyscallConn() (syscall.RawConn, error) { return s.file.SyscallConn() }

// source says how Open has come to a socket. It exists in main, and never changes.
type source struct {
	network, address string // what it was opened with; empty if the service manager has passed it
	inherited        bool   // it was passed to this process
}

// ErrActivated says that the service manager has passed no socket of a name.
var ErrActivated = errors.New("the service manager has passed no socket of this name (LISTEN_FDS, LISTEN_PID, " +
	"LISTEN_FDNAMES; FileDescriptorName= of systemd.socket(5))")

// Activated is the network that stands for what the service manager has passed.
const Activated = "systemd"

// Open adds the socket that the service manager has passed under the name or, if there is none,
// opens one at the address. The network Activated opens none.
func (s *Set) Open(name, network, address string) error {
	if p := inherited(name, network, address); p != nil {
		socket, err := adopt(name, p.file)
		if err != nil {
			return fmt.Errorf("the socket %q that the service manager has passed: %w", name, err)
		}
		if network != Activated && socket.Packets != packets(network) {
			socket.close()
			return fmt.Errorf("the socket %q that the service manager has passed is of another kind than %s",
				name, network)
		}
		socket.from = &source{p.network, p.address, true}
		if socket.path = p.path; p.path != "" {
			socket.note()
		}
		return s.add(socket)
	}
	if network == Activated {
		return ErrActivated
	}
	if packets(network) {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			return err
		}
		return s.take(name, c, c.LocalAddr(), &source{network: network, address: address})
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return hint(network, address, err)
	}
	return s.take(name, l, l.Addr(), &source{network: network, address: address})
}

// packets reports whether the sockets of a network take packets.
func packets(network string) bool {
	kind, _, _ := strings.Cut(network, ":")
	return strings.HasPrefix(kind, "udp") || strings.HasPrefix(kind, "ip") || kind == "unixgram"
}

// hint adds what to do about the file of a Unix socket that an earlier process has left.
func hint(network, address string, err error) error {
	if strings.HasPrefix(network, "unix") && errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w (if no process listens there any more, remove the file %s first)", err, address)
	}
	return err
}

// Add adds a duplicate of a listener or packet connection, which stays the caller's.
func (s *Set) Add(name string, socket any) error {
	switch c := socket.(type) {
	case net.Listener:
		return s.take(name, c, c.Addr(), nil)
	case net.PacketConn:
		return s.take(name, c, c.LocalAddr(), nil)
	}
	return fmt.Errorf("a %T is neither a net.Listener nor a net.PacketConn", socket)
}

// closer is what take is given.
type closer interface{ Close() error }

// take adds a duplicate of a listener or packet connection. If it has a source, it was opened for
// this Set, and take closes it: the Set holds a mere descriptor, so that no connection wakes main.
func (s *Set) take(name string, c closer, addr net.Addr, from *source) error {
	socket := &Socket{Name: name, Addr: addr, from: from}
	_, socket.Packets = c.(net.PacketConn)
	if from != nil {
		if u, ok := addr.(*net.UnixAddr); ok && u.Name != "" && u.Name[0] != '@' && u.Name[0] != 0 {
			socket.path = u.Name
			socket.note()
		}
		if l, ok := c.(*net.UnixListener); ok {
			l.SetUnlinkOnClose(false)
		}
		defer c.Close() // nothing was accepted that could be lost
	}
	if lack := Lacks(socket.Packets); lack != "" {
		return errors.New(lack)
	}
	conn, ok := c.(syscall.Conn)
	if !ok {
		return fmt.Errorf("a %T has no descriptor that a worker could inherit: give what is inside it, "+
			"and wrap that in the worker", c)
	}
	var err error
	if socket.file, err = newHold(conn); err != nil {
		return err
	}
	return s.add(socket)
}

// note notes which file the path of a Unix socket leads to.
func (s *Socket) note() {
	if info, err := os.Lstat(s.path); err == nil {
		s.info = info
	}
}

// add adds a socket, or closes it if the Set is closed.
func (s *Set) add(socket *Socket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		socket.close()
		return net.ErrClosed
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

// close closes the descriptor, and removes the file of the socket unless another file has its name
// by now.
func (s *Socket) close() {
	if s.file != nil {
		s.file.close()
	}
	if s.path == "" || s.info == nil {
		return
	}
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.info) && now.Mode()&fs.ModeSocket != 0 {
		_ = os.Remove(s.path) // what cannot be removed is left, as net.UnixListener leaves it
	}
}
