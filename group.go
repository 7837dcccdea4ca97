package multiprolab

import (
	"fmt"
	"slices"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// Strategy says which workers of a group are restarted when one of them has failed; see
// Main.RegisterGroup.
type Strategy int

const (
	// OneForOne restarts the one that failed. That is what happens to workers that are in no group.
	OneForOne Strategy = iota
	// AllForOne restarts all workers of the group, when none of them can do without the others.
	AllForOne
	// RestForOne restarts the one that failed, and the workers of the members behind its own, when
	// each member builds on those before it.
	RestForOne
)

// String returns the name of the strategy.
func (s Strategy) String() string {
	names := []string{"OneForOne", "AllForOne", "RestForOne"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("Strategy(%d)", int(s))
	}
	return names[s]
}

// RegisterGroup makes workers that were registered before share their fate: when one of them fails
// and is to be restarted, others are restarted with it, as the strategy says. They finish the task
// that they are working on and the messages that they have, within Config.ShutdownTimeout, as at
// the end of the program. Once all of them have ended they start again in the order that is given
// here, each member when the one before it is ready; so they do at the start of the program. If a
// worker is not replaced after a failure, because of WorkerConfig.Restart or RestartLimit, those
// that would be restarted with it end as well. A death in the middle of a task is a failure here,
// too.
//
// It panics if a worker is unknown, or in another group.
func (m *Main) RegisterGroup(strategy Strategy, workers ...string) {
	site := callSite()
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if m.state != mainNew {
		registrationPanic("a group is registered after Run or Start: register it before (%s)", site)
	}
	if strategy < OneForOne || strategy > RestForOne {
		registrationPanic("%v is none: use OneForOne, AllForOne or RestForOne (%s)", strategy, site)
	}
	g := &group{strategy: fleet.Strategy(strategy), site: site}
	for _, name := range workers {
		p := m.pool(name)
		if p == nil {
			registrationPanic(
				"worker %q is in a group, but not registered: call RegisterWorker before RegisterGroup (%s)",
				name,
				site,
			)
		}
		if p.group != nil || slices.Contains(g.members, p) {
			old := site
			if p.group != nil {
				old = p.group.site
			}
			registrationPanic("worker %q is in two groups, or twice in one, at %s and at %s: name it once", name,
				old, site)
		}
		g.members = append(g.members, p)
	}
	for _, p := range g.members {
		p.group = g
	}
	m.groups = append(m.groups, g)
}
