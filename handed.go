package multiprolab

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file is what a worker is handed at its start, by names that both processes know.

// handedKind says what a worker was handed. Both processes use it.
type handedKind string

const (
	handedListener handedKind = "listener"
	handedPackets  handedKind = "packet connection"
	handedFile     handedKind = "file"
	handedLane     handedKind = "lane of shared data"
)

// key returns the name under which a process is handed a thing of this kind.
func (k handedKind) key(name string) string { return string(k) + " " + name }

// checkListenerName returns what is wrong with the name of a listener, or nil. The names are those
// that systemd allows.
func checkListenerName(name string) error {
	bad := func(r rune) bool { return r < ' ' || r == 0x7f || r == ':' }
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, bad) {
		return fmt.Errorf(
			"the listener name %.40q is malformed: give it 1 to 255 bytes, without ':' and control characters", name)
	}
	return nil
}

// known lists the names that there are, for the end of an error.
func known(names []string) string {
	if len(names) == 0 {
		return " (there are none)"
	}
	return " (there are: " + strings.Join(names, ", ") + ")"
}

// checkListeners returns an error for a listener that is named twice or has no name.
func (c *WorkerConfig) checkListeners() error {
	for i, name := range c.Listeners {
		field := fmt.Sprintf("WorkerConfig.Listeners[%d]", i)
		if err := checkListenerName(name); err != nil {
			return &ConfigError{field, name, err.Error()}
		}
		if slices.Contains(c.Listeners[:i], name) {
			return &ConfigError{field, name, "it is named twice: a worker gets a listener once"}
		}
	}
	return nil
}

// handed returns what the workers of this configuration are handed at their start.
func (m *registry) handed(cfg *WorkerConfig) (all []proc.Handed) {
	for _, name := range cfg.Listeners {
		s := m.sockets.Find(name) // checkHanded has found it, and none leaves the Set
		kind := handedListener
		if s.Packets {
			kind = handedPackets
		}
		all = append(all, proc.Handed{Name: kind.key(name), From: s})
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Files)) {
		all = append(all, proc.Handed{Name: handedFile.key(name), From: cfg.Files[name]})
	}
	return all
}

// checkShared returns an error for a malformed name of shared data.
func (c *WorkerConfig) checkShared() error {
	for i, name := range c.Shared {
		err := checkName("name of the shared data", name)
		if err == nil && slices.Contains(c.Shared[:i], name) {
			err = errors.New("it is named twice: a name is enough once")
		}
		if err != nil {
			return &ConfigError{fmt.Sprintf("WorkerConfig.Shared[%d]", i), cmp.Or(name, `""`), err.Error()}
		}
	}
	return nil
}
