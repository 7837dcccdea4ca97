package multiprolab

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/sockets"
)

// This file is the sockets that main opens for its workers through package sockets, and what a
// worker is handed at its start.

func init() {
	sockets.Root.Claim = func(main any, name string) (*sockets.Set, func()) {
		m := main.(*Main)
		if !m.claimListener(name, callSite()) {
			return nil, nil
		}
		return &m.sockets, func() { m.sockets.Disclaim(name) }
	}
	sockets.Root.Find = func(main any, name string) *sockets.Socket { return main.(*Main).sockets.Find(name) }
}

// claimListener notes the name of a listener. It returns false in the process of a worker that has
// not become the worker yet: there nothing is opened, but for a Main that runs there all the same.
func (m *Main) claimListener(name string, at *site) bool {
	if err := sockets.CheckName(name); err != nil {
		registrationPanic("%v (%s)", err, at)
	}
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if m.state != mainNew {
		registrationPanic("listener %q is opened after Run or Start: open it before (%s)", name, at)
	}
	if old := m.sockets.Claim(name, at); old != nil {
		registrationPanic("listener %q is opened twice, at %s and at %s: choose another name", name, old, at)
	}
	return proc.Current() == nil || descent.become.Load() || m.hook != nil && m.hook.initial
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
					"no listener has this name: call sockets.Listen before Run or Start" + known(m.sockets.Names()),
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(p.cfg.Files)) {
			field := fmt.Sprintf("WorkerConfig.Files[%q] of worker %s", name, p.name)
			if p.cfg.Files[name] == nil {
				return &ConfigError{field, nil, "it is nil: give an open file"}
			}
			if name == "" || proc.HasNUL(name) {
				return &ConfigError{field, p.cfg.Files[name].Name(), "the name is empty, or has a NUL byte"}
			}
		}
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
