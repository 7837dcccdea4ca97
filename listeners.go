package multiprolab

import (
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/sockets"
)

// This file is the sockets that main opens for its workers, and what a worker is handed at its
// start.

// Systemd is the network of [Main.Listen] that stands for a socket which the service manager has
// passed to the program, and for no other.
const Systemd = sockets.Activated

// Listen opens a listener, or a packet connection if the network is one of packets ("udp",
// "unixgram", "ip:1" and the like), under a name. Main holds it until the program ends, and
// accepts nothing itself. The workers whose WorkerConfig.Listeners has the name inherit it, and
// take it with [Worker.Listener] or [Worker.PacketConn]. So several processes serve one address,
// and none of them has to be there all the time: a connection that comes while a worker is
// replaced waits for the next worker.
//
// If the service manager has passed a socket of that name (systemd's socket activation;
// FileDescriptorName= of systemd.socket(5), by default the name of the unit, such as
// "web.socket"), Listen takes that one, whatever its address is. Of several sockets with one name
// the second is name#2, and so on. With the network [Systemd] it opens none itself.
//
// Network and address are those of net.Listen and net.ListenPacket; the errors, too. The file of a
// Unix socket is removed when the program ends, by main alone. Windows has no packet connections
// for workers.
//
// Call it before Run or Start. It panics after that, and if the name is malformed or taken. In the
// process of a worker, which comes by here on its way to Run, it does nothing.
func (m *Main) Listen(name, network, address string) error {
	at := callSite()
	if !m.claimListener(name, at) {
		return nil
	}
	if err := m.sockets.Open(name, network, address); err != nil {
		m.dropListener(name)
		return fmt.Errorf("multiprolab: listener %q: %w", name, err)
	}
	return nil
}

// AddListener is Listen with a socket that is open already: a net.Listener or a net.PacketConn of
// package net, not one that wraps it, as a listener of crypto/tls does. Main takes a duplicate;
// the socket itself stays the caller's, to close it for example. The file of a Unix socket is the
// caller's, too. Open it behind [Main.Hook]: what comes before Hook, Run or Start happens in the
// process of each worker as well, where the address is taken.
func (m *Main) AddListener(name string, socket any) error {
	at := callSite()
	if !m.claimListener(name, at) {
		return nil
	}
	if err := m.sockets.Add(name, socket); err != nil {
		m.dropListener(name)
		return fmt.Errorf("multiprolab: listener %q: %w", name, err)
	}
	return nil
}

// ListenerAddr returns the address of a socket of Listen or AddListener, such as the port that the
// system has chosen. It returns nil if there is none of this name, and in the process of a worker
// on its way to Run.
func (m *Main) ListenerAddr(name string) net.Addr {
	if s := m.sockets.Find(name); s != nil {
		return s.Addr
	}
	return nil
}

// Activated returns the names of the sockets that the service manager has passed to this process
// (systemd's socket activation) and that Listen has not taken yet.
func Activated() []string { return sockets.TakePassed() }

// claimListener notes the name of a listener. It returns false in the process of a worker that has
// not become the worker yet: there nothing is opened, but for a Main that runs there all the same.
func (m *Main) claimListener(name string, at *site) bool {
	if err := checkListenerName(name); err != nil {
		registrationPanic("%v (%s)", err, at)
	}
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if m.state != mainNew {
		registrationPanic("listener %q is opened after Run or Start: open it before (%s)", name, at)
	}
	if old := m.opened[name]; old != nil {
		registrationPanic("listener %q is opened twice, at %s and at %s: choose another name", name, old, at)
	}
	if m.opened == nil {
		m.opened = map[string]*site{}
	}
	m.opened[name] = at
	return proc.Current() == nil || descent.become.Load() || m.hook != nil && m.hook.initial
}

// dropListener forgets the name of a listener that could not be opened.
func (m *Main) dropListener(name string) {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	delete(m.opened, name)
}

// checkHanded checks that there is what the workers are to be handed.
func (m *Main) checkHanded() error {
	if proc.Current() == nil && sockets.Meant() {
		sockets.TakePassed() // so that no worker inherits what nobody has asked for
	}
	for _, p := range m.pools {
		for _, name := range p.cfg.Listeners {
			if m.sockets.Find(name) == nil {
				return &ConfigError{
					"WorkerConfig.Listeners of worker " + p.name, name,
					"no listener has this name: call Main.Listen before Run or Start" + known(m.sockets.Names()),
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(p.cfg.Files)) {
			field := fmt.Sprintf("WorkerConfig.Files[%q] of worker %s", name, p.name)
			if p.cfg.Files[name] == nil {
				return &ConfigError{field, nil, "it is nil: give an open file"}
			}
			if name == "" || hasNUL(name) {
				return &ConfigError{field, p.cfg.Files[name].Name(), "the name is empty, or has a NUL byte"}
			}
		}
	}
	return nil
}
