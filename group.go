package multiprolab

import (
	"fmt"
	"slices"
	"strings"
	"sync"
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

// group is the workers that share a fate. It exists in main, and but for its mutex never changes
// once the program runs.
type group struct {
	strategy Strategy
	members  []*pool // in the order of their start
	site     *site
	// held by a member that has failed while it disturbs the others: of two that fail at once, the
	// second finds itself disturbed
	mu sync.Mutex
}

// RegisterGroup makes workers that were registered before share their fate: when one of them fails
// and is to be restarted, others are restarted with it, as the strategy says. They finish the task
// that they are working on and the messages that they have, within Config.ShutdownTimeout, as at
// the end of the program. Once all of them have ended they start again in the order that is given
// here, each member when the one before it is ready; so they do at the start of the program. If a
// worker is not replaced after a failure, because of WorkerConfig.Restart or OnRestartLimit, those
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
	g := &group{strategy: strategy, site: site}
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
			registrationPanic(
				"worker %q is in two groups, or twice in one, at %s and at %s: name it once",
				name,
				old,
				site,
			)
		}
		g.members = append(g.members, p)
	}
	for _, p := range g.members {
		p.group = g
	}
}

// others returns the instances that are restarted with one that has failed.
func (g *group) others(failed *slot) []*slot {
	if g == nil || g.strategy == OneForOne {
		return nil
	}
	members := g.members
	if g.strategy == RestForOne {
		members = members[slices.Index(members, failed.pool)+1:]
	}
	var others []*slot
	for _, p := range members {
		for _, s := range p.list() {
			if s != failed {
				others = append(others, s)
			}
		}
	}
	return others
}

// needs returns the names of the pools that must be ready before one of this pool starts.
func (p *pool) needs() []string {
	needs := p.cfg.Needs
	if g := p.group; g != nil && g.strategy != OneForOne {
		if i := slices.Index(g.members, p); i > 0 && !slices.Contains(needs, g.members[i-1].name) {
			needs = append(needs[:len(needs):len(needs)], g.members[i-1].name)
		}
	}
	return needs
}

// checkNeeds finds the worker that needs one that does not exist, or in the end itself.
func (m *Main) checkNeeds() error {
	for _, p := range m.pools {
		for _, name := range p.needs() {
			if m.pool(name) == nil {
				return &ConfigError{
					"WorkerConfig.Needs of worker " + p.name,
					name,
					"no worker is registered under this name; registered are " + strings.Join(m.poolNames(), ", "),
				}
			}
		}
		if circle := m.circle(p, nil); circle != nil {
			return &ConfigError{
				"WorkerConfig.Needs of worker " + p.name,
				strings.Join(circle, " -> "),
				"workers that need each other cannot start: take one of them out (the order of a group counts as well)",
			}
		}
	}
	return nil
}

// circle returns a way from a pool over what it needs back to itself.
func (m *Main) circle(p *pool, way []string) []string {
	if i := slices.Index(way, p.name); i >= 0 {
		if i == 0 {
			return append(way, p.name)
		}
		return nil // another pool's circle: it is found from there
	}
	way = append(way[:len(way):len(way)], p.name)
	for _, name := range p.needs() {
		if q := m.pool(name); q != nil {
			if c := m.circle(q, way); c != nil {
				return c
			}
		}
	}
	return nil
}
