package sockets

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

// listener is a net.Listener of a socket at which several processes accept. It exists in the worker
// process, and any goroutine may use it.
//
// Package net cannot make one: it puts a socket into the completion port of its process, and the
// system takes a socket for one completion port only, whatever process that belongs to. An accept
// that has an event of its own, with the lowest bit of its handle set, sends nothing to that port
// (GetQueuedCompletionStatus, remarks). The wait for the event takes a thread.
type listener struct {
	handle windows.Handle // the socket; open until Close
	addr   net.Addr       // its address; never changes
	family int32          // its address family; never changes
	ending windows.Handle // an event that Close sets; open until Close has ended

	mu      sync.Mutex     // guards closed
	closed  bool           // Close was called
	accepts sync.WaitGroup // the calls of Accept that are under way; none is added once closed is set
}

// listenerOf makes a listener of a handle that this process has inherited, and that is the listener's
// from then on.
func listenerOf(name string, fd uintptr) (net.Listener, error) {
	l := &listener{handle: windows.Handle(fd)}
	sa, err := windows.Getsockname(l.handle)
	if err == nil {
		l.ending, err = windows.CreateEvent(nil, 1, 0, nil)
	}
	if err != nil {
		_ = windows.Closesocket(l.handle) // the other error tells more
		return nil, &net.OpError{Op: "listen", Net: name, Err: err}
	}
	switch sa := sa.(type) {
	case *windows.SockaddrInet4:
		l.family, l.addr = windows.AF_INET, &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *windows.SockaddrInet6:
		l.family, l.addr = windows.AF_INET6, &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *windows.SockaddrUnix:
		l.family, l.addr = windows.AF_UNIX, &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	return l, nil
}

// Addr returns the address of the socket.
func (l *listener) Addr() net.Addr { return l.addr }

// Close ends the calls of Accept that are under way, and closes this process's handle.
func (l *listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return l.error("close", net.ErrClosed)
	}
	l.closed = true
	l.mu.Unlock()
	_ = windows.SetEvent(l.ending) // the handle is an event, and is open
	l.accepts.Wait()
	_ = windows.CloseHandle(l.ending) // nobody waits for it any more
	if err := windows.Closesocket(l.handle); err != nil {
		return l.error("close", os.NewSyscallError("closesocket", err))
	}
	return nil
}

// Accept waits for the next connection that no other process gets.
func (l *listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, l.error("accept", net.ErrClosed)
	}
	l.accepts.Add(1)
	l.mu.Unlock()
	defer l.accepts.Done()
	for {
		s, err := l.accept()
		switch err {
		case nil:
			return connection(s)
		case windows.ERROR_NETNAME_DELETED, windows.WSAECONNRESET: // that client has left already
		case windows.ERROR_OPERATION_ABORTED:
			return nil, l.error("accept", net.ErrClosed)
		default:
			return nil, l.error("accept", os.NewSyscallError("acceptex", err))
		}
	}
}

// error returns an error as package net makes it.
func (l *listener) error(op string, err error) error {
	return &net.OpError{Op: op, Net: l.addr.Network(), Addr: l.addr, Err: err}
}

// acceptance is the memory that the system uses while an accept is under way.
type acceptance struct {
	overlapped windows.Overlapped // says which event is set at the end
	received   uint32             // how many bytes came with the connection; always 0
	// addresses get both addresses of the connection, each with the 16 bytes more that AcceptEx
	// wants.
	addresses [2][unsafe.Sizeof(windows.RawSockaddrAny{}) + 16]byte
}

// accept waits for a connection, or for Close, and returns the socket of the connection.
func (l *listener) accept() (windows.Handle, error) {
	const flags = windows.WSA_FLAG_OVERLAPPED | windows.WSA_FLAG_NO_HANDLE_INHERIT
	s, err := windows.WSASocket(l.family, windows.SOCK_STREAM, 0, nil, 0, flags)
	if err != nil {
		return 0, err
	}
	event, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		_ = windows.Closesocket(s) // the other error tells more
		return 0, err
	}
	defer windows.CloseHandle(event)
	a := new(acceptance)
	var pinner runtime.Pinner
	pinner.Pin(a)
	defer pinner.Unpin()
	a.overlapped.HEvent = event | 1 // so that no completion port hears of it
	size := uint32(len(a.addresses[0]))
	err = windows.AcceptEx(l.handle, s, &a.addresses[0][0], 0, size, size, &a.received, &a.overlapped)
	if err == windows.ERROR_IO_PENDING {
		ended := []windows.Handle{event, l.ending}
		if which, _ := windows.WaitForMultipleObjects(ended, false, windows.INFINITE); which != windows.WAIT_OBJECT_0 {
			// It fails if the accept has come to its end meanwhile, with a connection perhaps.
			_ = windows.CancelIoEx(l.handle, &a.overlapped)
		}
		var flags uint32
		err = windows.WSAGetOverlappedResult(l.handle, &a.overlapped, &a.received, true, &flags)
	}
	if err == nil {
		err = windows.Setsockopt(
			s, windows.SOL_SOCKET, windows.SO_UPDATE_ACCEPT_CONTEXT,
			(*byte)(unsafe.Pointer(&l.handle)), int32(unsafe.Sizeof(l.handle)),
		)
	}
	if err != nil {
		_ = windows.Closesocket(s) // the other error tells more
		return 0, err
	}
	return s, nil
}

// connection makes a connection of the socket s.
func connection(s windows.Handle) (net.Conn, error) {
	file := os.NewFile(uintptr(s), "accepted")
	defer file.Close() // the connection has a duplicate
	return net.FileConn(file)
}

// packetConnOf returns an error: Windows has no packet connections for workers.
func packetConnOf(string, uintptr) (net.PacketConn, error) { return nil, errors.ErrUnsupported }
