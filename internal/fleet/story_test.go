package fleet_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// TestStories plays the conversations in testdata: what happens to a fleet, and what it says then.
// With -rewrite the answers are written anew.
func TestStories(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		s := &story{
			t:     t,
			f:     fleet.New(fleet.Config{Rand: func() float64 { return 0.5 }}),
			slots: map[string]fleet.Slot{},
		}
		datadriven.RunTest(t, path, s.tell)
	}
}

// story is one conversation. The shell's part is played by whoever has written it.
type story struct {
	t     *testing.T
	f     *fleet.Fleet
	pools []string
	slots map[string]fleet.Slot // the newest with a name
	names []string              // of the slots, by their numbers
	now   time.Duration
}

// tell lets one thing happen, and returns what the rules say then.
func (s *story) tell(t *testing.T, d *datadriven.TestData) string {
	var said string
	if at, ok := d.Arg("at"); ok {
		s.now = s.duration(at.Vals[0])
	}
	switch d.Cmd {
	case "pools":
		for line := range strings.Lines(d.Input) {
			s.pools = append(s.pools, strings.Fields(line)[0])
		}
		for line := range strings.Lines(d.Input) {
			s.addPool(strings.Fields(line)[1:])
		}
	case "group":
		strategies := map[string]fleet.Strategy{
			"one-for-one": fleet.OneForOne, "all-for-one": fleet.AllForOne, "rest-for-one": fleet.RestForOne,
		}
		var members []fleet.Pool
		for _, a := range d.CmdArgs[1:] {
			members = append(members, s.pool(a.Key))
		}
		s.f.Group(strategies[d.CmdArgs[0].Key], members...)
	case "check":
		for i, p := range s.f.Check() {
			said += map[bool]string{false: " needs ", true: ""}[i == 0] + s.pools[p]
		}
	case "begin":
		s.f.Begin(s.now)
	case "started":
		s.each(d, s.f.Started)
	case "greeted":
		s.each(d, s.f.Greeted)
	case "up":
		s.each(d, func(id fleet.Slot) { s.f.Up(id, s.now) })
	case "comes-up": // the three before in one
		s.each(d, s.f.Started)
		s.each(d, s.f.Greeted)
		s.each(d, func(id fleet.Slot) { s.f.Up(id, s.now) })
	case "idle":
		s.each(d, s.f.Idle)
	case "doomed":
		var life int
		d.ScanArgs(t, "life", &life)
		s.each(d, func(id fleet.Slot) { s.f.Doomed(id, life) })
	case "leave":
		s.each(d, s.f.Leave)
	case "renew":
		s.f.Renew(s.pool(d.CmdArgs[0].Key))
	case "ended":
		s.each(d, func(id fleet.Slot) { s.f.Ended(id, fleet.How{Forced: has(d, "killed")}, s.now) })
	case "failed":
		how := fleet.How{
			Failed:    true,
			Forced:    has(d, "killed"),
			Blamed:    has(d, "in-a-task"),
			Permanent: has(d, "for-good"),
		}
		how.Cause = strings.TrimSpace(d.Input)
		s.each(d, func(id fleet.Slot) { s.f.Ended(id, how, s.now) })
	case "tick":
		s.f.Tick(s.now)
	case "resize":
		var n int
		d.ScanArgs(t, "to", &n)
		if !s.f.Resize(s.pool(d.CmdArgs[0].Key), n, s.now) {
			said = "no"
		}
	case "restart":
		s.each(d, func(id fleet.Slot) { said = fmt.Sprintf("request %d", s.f.Restart(id)) })
	case "waits-for":
		s.each(d, func(id fleet.Slot) {
			for _, o := range s.f.WaitsFor(id) {
				said = strings.TrimSpace(said + " " + s.names[o])
			}
		})
	case "exit":
		modes := map[string]fleet.Mode{"finish": fleet.FinishRunning, "drain": fleet.DrainQueue, "kill": fleet.KillAll}
		s.f.Exit(modes[d.CmdArgs[0].Key])
	case "end":
		s.f.End()
	default:
		d.Fatalf(t, "nothing like %q can happen", d.Cmd)
	}
	return s.effects(said)
}

// effects writes what the rules have said.
func (s *story) effects(said string) string {
	lines := []string{}
	if said != "" {
		lines = append(lines, said)
	}
	n := names{
		slot: func(id fleet.Slot) string { return s.names[id] },
		pool: func(p fleet.Pool) string { return s.pools[p] },
	}
	for _, e := range s.f.Effects(nil) {
		if e.Kind == fleet.Place {
			form := "%s/%d"
			if e.Spare {
				form = "%s/spare.%d"
			}
			s.name(e.Slot, fmt.Sprintf(form, s.pools[e.Pool], e.Index))
		}
		lines = append(lines, n.effect(&e))
	}
	return strings.Join(lines, "\n")
}

// name gives a slot a name, with a prime for each slot that had it before.
func (s *story) name(id fleet.Slot, name string) {
	for len(s.names) <= int(id) {
		s.names = append(s.names, "")
	}
	for s.slots[name] != 0 {
		name += "'"
	}
	s.slots[name], s.names[id] = id, name
}

func (s *story) addPool(options []string) {
	d := fleet.PoolDesc{Count: 1, Limit: 10, Window: time.Minute, Delay: 100 * time.Millisecond, Factor: 2,
		MaxDelay: 5 * time.Second, Reset: time.Minute}
	for _, w := range options {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "count", "limit", "spare":
			var n int
			if _, err := fmt.Sscan(value, &n); err != nil {
				s.t.Fatal(err)
			}
			switch key {
			case "count":
				d.Count = n
			case "limit":
				d.Limit = n
			default:
				d.Spare = n
			}
		case "needs":
			for _, name := range strings.Split(value, ",") {
				d.Needs = append(d.Needs, s.pool(name))
			}
		case "stop-worker":
			d.StopWorker = true
		case "jitter":
			d.Jitter = 0.2
		case "max-age":
			d.MaxAge = s.duration(value)
		default:
			s.t.Fatalf("a pool has no %q", key)
		}
	}
	s.f.Add(d)
}

func (s *story) pool(name string) fleet.Pool {
	for i, p := range s.pools {
		if p == name {
			return fleet.Pool(i)
		}
	}
	s.t.Fatalf("there is no pool %q", name)
	return 0
}

// each calls fn for the slots that are named.
func (s *story) each(d *datadriven.TestData, fn func(fleet.Slot)) {
	for _, a := range d.CmdArgs {
		if id, ok := s.slots[a.Key]; ok {
			fn(id)
		} else if strings.Contains(a.Key, "/") {
			d.Fatalf(s.t, "there is no worker %q", a.Key)
		}
	}
}

func (s *story) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func has(d *datadriven.TestData, key string) bool { return d.HasArg(key) }
