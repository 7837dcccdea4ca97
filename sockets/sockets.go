// Package sockets lets workers serve sockets that main holds: main opens each once, the workers
// inherit it, and a connection that comes while a worker is replaced waits for the next worker. So
// several processes serve one address, and none of them has to be there all the time.
//
//	app.RegisterWorker("echo", func(ctx context.Context, w *multiprolab.Worker) error {
//		l, err := sockets.Listener(w, "echo")
//		...
//	}, &multiprolab.WorkerConfig{Count: 4, Listeners: []string{"echo"}})
//	if err := sockets.Listen(app, "echo", "tcp", ":7000"); err != nil {
//		log.Fatal(err)
//	}
//
// HTTP servers take package prefork, which knows how they end without a broken connection.
//
// It is a package of its own because it needs package net: programs without sockets are not linked
// with that, which with cgo means the dynamic linker, slower starts of workers, and 8 MiB of their
// memory limit for each thread.
package sockets

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/sockets"
)

// Systemd is the network of [Listen] that stands for a socket which the service manager has passed
// to the program, and for no other.
const Systemd = "systemd"

// Listen opens a listener, or a packet connection if the network is one of packets ("udp",
// "unixgram", "ip:1" and the like), under a name. Main holds it until the program ends, and
// accepts nothing itself. The workers whose [multiprolab.WorkerConfig].Listeners has the name
// inherit it, and take it with [Listener] or [PacketConn].
//
// If the service manager has passed a socket of that name (systemd's socket activation;
// FileDescriptorName= of systemd.socket(5), by default the name of the unit, such as
// "web.socket"), Listen takes that one, whatever its address is. Of several sockets with one name
// the second is name#2, and so on. With the network [Systemd] it opens none itself.
//
// After an Upgrade it takes the socket of the old version that was opened with the same network and
// address, and also with the same name unless the address leads to one socket alone, as ":80" does
// and ":0" does not. What the new version does not ask for is closed when it runs.
//
// Network and address are those of net.Listen and net.ListenPacket; the errors, too. The file of a
// Unix socket is removed when the program ends, by main alone. Windows has no packet connections
// for workers.
//
// Call it before Run or Start. It panics after that, and if the name is malformed or taken. In the
// process of a worker, which comes by here on its way to Run, it does nothing.
func Listen(m *multiprolab.Main, name, network, address string) error {
	to, forget := sockets.Root.Claim(m, name)
	if to == nil {
		return nil
	}
	if err := open(to, name, network, address); err != nil {
		forget()
		return fmt.Errorf("multiprolab: listener %q: %w", name, err)
	}
	return nil
}

// Add is Listen with a socket that is open already: a net.Listener or a net.PacketConn of package
// net, not one that wraps it, as a listener of crypto/tls does. Main takes a duplicate; the socket
// itself stays the caller's, to close it for example. The file of a Unix socket is the caller's,
// too. Open it behind [multiprolab.Main.Hook]: what comes before Hook, Run or Start happens in the
// process of each worker as well, where the address is taken.
func Add(m *multiprolab.Main, name string, socket any) error {
	to, forget := sockets.Root.Claim(m, name)
	if to == nil {
		return nil
	}
	o := &sockets.Opened{Name: name}
	err := describe(o, socket)
	if err == nil {
		err = to.Add(o)
	}
	if err != nil {
		forget()
		return fmt.Errorf("multiprolab: listener %q: %w", name, err)
	}
	return nil
}

// Addr returns the address of a socket of Listen or Add, such as the port that the system has
// chosen. It returns nil if there is none of this name, and in the process of a worker on its way
// to Run.
func Addr(m *multiprolab.Main, name string) net.Addr {
	if s := sockets.Root.Find(m, name); s != nil {
		return s.Addr
	}
	return nil
}

// Activated returns the names of the sockets that the service manager has passed to this process
// (systemd's socket activation) and that Listen has not taken yet.
func Activated() []string { return sockets.TakePassed() }

// errActivated says that the service manager has passed no socket of a name.
var errActivated = errors.New("the service manager has passed no socket of this name (LISTEN_FDS, LISTEN_PID, " +
	"LISTEN_FDNAMES; FileDescriptorName= of systemd.socket(5))")

// open adds the socket that this process was passed under the name or, if there is none, opens one
// at the address.
func open(to *sockets.Set, name, network, address string) error {
	if p := sockets.Inherited(name, network, address); p != nil {
		defer p.File.Close() // the Set has a duplicate
		if err := adopt(to, p, network); err != nil {
			return fmt.Errorf("the socket %q that the service manager has passed: %w", name, err)
		}
		return nil
	}
	if network == Systemd {
		return errActivated
	}
	o := &sockets.Opened{Name: name, From: &sockets.Source{Network: network, Address: address}}
	if packets(network) {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			return hint(network, address, err)
		}
		defer c.Close() // the Set has a duplicate; nothing was read
		return add(to, o, c)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return hint(network, address, err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	defer l.Close() // the Set has a duplicate; nothing was accepted
	return add(to, o, l)
}

// add adds a socket that was opened for the Set.
func add(to *sockets.Set, o *sockets.Opened, socket any) error {
	if err := describe(o, socket); err != nil {
		return err
	}
	if u, ok := o.Addr.(*net.UnixAddr); ok && u.Name != "" && u.Name[0] != '@' && u.Name[0] != 0 {
		o.Path = u.Name
	}
	return to.Add(o)
}

// adopt adds a descriptor that this process was passed.
func adopt(to *sockets.Set, p *sockets.Passed, network string) error {
	takes, err := sockets.Kind(p.File)
	if err != nil {
		return err
	}
	if network != Systemd && takes != packets(network) {
		return fmt.Errorf("it is of another kind than %s", network)
	}
	from := &sockets.Source{Network: p.Network, Address: p.Address, Inherited: true}
	o := &sockets.Opened{Name: p.Name, Conn: p.File, Packets: takes, From: from, Path: p.Path}
	if takes {
		c, err := net.FilePacketConn(p.File)
		if err != nil {
			return err
		}
		o.Addr = c.LocalAddr()
		_ = c.Close() // it is a duplicate
	} else {
		l, err := net.FileListener(p.File)
		if err != nil {
			return err
		}
		o.Addr = l.Addr()
		_ = l.Close() // it is a duplicate
	}
	return to.Add(o)
}

// describe fills in what package net knows of a socket.
func describe(o *sockets.Opened, socket any) error {
	switch c := socket.(type) {
	case net.Listener:
		o.Addr = c.Addr()
	case net.PacketConn:
		o.Addr, o.Packets = c.LocalAddr(), true
	default:
		return fmt.Errorf("a %T is neither a net.Listener nor a net.PacketConn", socket)
	}
	conn, ok := socket.(syscall.Conn)
	if !ok && sockets.Lacks(o.Packets) == "" {
		return fmt.Errorf("a %T has no descriptor that a worker could inherit: give what is inside it, "+
			"and wrap that in the worker", socket)
	}
	o.Conn = conn
	return nil
}

// packets reports whether the sockets of a network take packets.
func packets(network string) bool {
	kind, _, _ := strings.Cut(network, ":")
	return strings.HasPrefix(kind, "udp") || strings.HasPrefix(kind, "ip") || kind == "unixgram"
}

// hint adds what to do about an address that is taken: by the file of a Unix socket that an earlier
// process has left, or by the old version of the program, which has other words for it.
func hint(network, address string, err error) error {
	switch old := sockets.HandedOver(); {
	case !errors.Is(err, syscall.EADDRINUSE):
	case len(old) > 0:
		return fmt.Errorf("%w (if it is one of the old version of the program, write its network and address as that "+
			"does: %s)", err, strings.Join(old, ", "))
	case strings.HasPrefix(network, "unix"):
		return fmt.Errorf("%w (if no process listens there any more, remove the file %s first)", err, address)
	}
	return err
}
