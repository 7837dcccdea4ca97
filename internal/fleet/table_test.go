package fleet_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// scene is a fleet with a worker that is looked at: number 1 of the pool w. It needs the pool need,
// and follows the pool fellow in a group.
type scene struct {
	f                *fleet.Fleet
	need, fellow, w  fleet.Pool
	needs, fellows   fleet.Slot
	before           fleet.Slot // is registered between these and w
	first, self, old fleet.Slot // of w; old has left the pool
	now              time.Duration
}

func newScene(spares int) *scene {
	s := &scene{f: fleet.New(fleet.Config{Rand: func() float64 { return 0 }})}
	d := fleet.PoolDesc{
		Count: 1, StopWorker: true, Limit: 5, Window: time.Hour, Delay: time.Minute, Factor: 2, MaxDelay: time.Minute,
		Reset: time.Hour,
	}
	s.need, s.fellow = s.f.Add(d), s.f.Add(d)
	s.f.Add(d)
	d.Count, d.Spare, d.Needs, d.MaxAge = 2, spares, []fleet.Pool{s.need}, 24*time.Hour
	s.w = s.f.Add(d)
	s.f.Group(fleet.RestForOne, s.fellow, s.w)
	s.f.Begin(0)
	s.needs, s.fellows, s.before, s.first, s.self = 1, 2, 3, 4, 5
	return s
}

// until takes a life of a slot so far.
func (s *scene) until(id fleet.Slot, state fleet.State) {
	for s.f.State(id) != state {
		switch s.f.State(id) {
		case fleet.Spawning:
			s.f.Started(id)
		case fleet.Starting:
			s.f.Greeted(id)
		case fleet.Greeted:
			s.f.Up(id, s.now)
		}
	}
}

func (s *scene) failed(id fleet.Slot, permanent bool) {
	s.f.Ended(id, fleet.How{Failed: true, Permanent: permanent}, s.now)
}

// states bring a scene so far that the worker is in a state.
var states = map[string]func(s *scene){
	"lined": func(s *scene) {
		s.until(s.needs, fleet.Ready)
		s.until(s.fellows, fleet.Ready)
	},
	"waiting": func(s *scene) {
		s.until(s.needs, fleet.Greeted)
		s.until(s.fellows, fleet.Ready)
		s.until(s.before, fleet.Ready)
	},
	"pausing": func(s *scene) {
		s.ready(fleet.Ready)
		s.failed(s.self, false)
		s.failed(s.self, false)
	},
	"queued": func(s *scene) {
		s.ready(fleet.Ready)
		s.f.Resize(s.w, 1, s.now)
		s.f.Resize(s.w, 2, s.now)
		s.old, s.self = s.self, 6
	},
	"spawning":       func(s *scene) { s.ready(fleet.Spawning) },
	"starting":       func(s *scene) { s.ready(fleet.Starting) },
	"greeted":        func(s *scene) { s.ready(fleet.Greeted) },
	"ready":          func(s *scene) { s.ready(fleet.Ready) },
	"standing by":    func(s *scene) { s.spare() },
	"lent":           func(s *scene) { s.spare(); s.f.Doomed(s.first, 1) },
	"being replaced": func(s *scene) { s.ready(fleet.Ready); s.f.Idle(s.self) },
	"leaving for good": func(s *scene) {
		s.ready(fleet.Ready)
		s.failed(s.fellows, true)
	},
	"buried": func(s *scene) {
		s.ready(fleet.Ready)
		s.f.Ended(s.self, fleet.How{}, s.now)
	},
}

// ready takes all other workers until they are ready, and the one that is looked at until a state.
func (s *scene) ready(state fleet.State) {
	s.until(s.needs, fleet.Ready)
	s.until(s.fellows, fleet.Ready)
	s.until(s.before, fleet.Ready)
	s.until(s.first, fleet.Ready)
	s.until(s.self, state)
}

// spare has a spare of the pool w stand by, which is the one that is looked at.
func (s *scene) spare() {
	*s = *newScene(1)
	s.ready(fleet.Ready)
	s.self = 6
	s.until(s.self, fleet.Standby)
}

// occasions are the events of the table.
var occasions = map[string]func(s *scene){
	"the place is free":     func(s *scene) { s.f.Ended(s.old, fleet.How{}, s.now) },
	"its turn comes":        func(s *scene) { s.f.Started(s.before); s.f.Started(s.first) },
	"what it needs is up":   func(s *scene) { s.f.Up(s.needs, s.now) },
	"what it needs is gone": func(s *scene) { s.failed(s.needs, true) },
	"the time comes":        func(s *scene) { s.f.Tick(48 * time.Hour) },
	"Started":               func(s *scene) { s.f.Started(s.self) },
	"Greeted":               func(s *scene) { s.f.Greeted(s.self) },
	"Up":                    func(s *scene) { s.f.Up(s.self, s.now) },
	"Idle":                  func(s *scene) { s.f.Idle(s.self) },
	"Ended":                 func(s *scene) { s.f.Ended(s.self, fleet.How{}, s.now) },
	"Ended, failed":         func(s *scene) { s.failed(s.self, false) },
	"Doomed":                func(s *scene) { s.f.Doomed(s.self, 1) },
	"a place is empty":      func(s *scene) { s.failed(s.first, false) },
	"Restart":               func(s *scene) { s.f.Restart(s.self) },
	"its group restarts":    func(s *scene) { s.failed(s.fellows, false) },
	"its group ends":        func(s *scene) { s.failed(s.fellows, true) },
	"taken away":            func(s *scene) { s.f.Resize(s.w, 1, s.now) },
	"End":                   func(s *scene) { s.f.Exit(fleet.FinishRunning); s.f.End() },
}

var tableRow = regexp.MustCompile(`^//\t(\S.*?)  +(\S.*?)  +(\w+(?: \w+)*)(?:  +(\w.*))?$`)

// TestTable holds that the table in the comment of the package is true, and complete.
func TestTable(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	type outcome struct{ state, effects string }
	table := map[[2]string]outcome{}
	for line := range strings.Lines(string(text)) {
		m := tableRow.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil || m[1] == "state" {
			continue
		}
		require.Contains(t, states, m[1], line)
		require.Contains(t, occasions, m[2], line)
		key := [2]string{m[1], m[2]}
		require.NotContains(t, table, key, "twice")
		table[key] = outcome{m[3], m[4]}
	}
	require.Greater(t, len(table), 40)
	for state, arrange := range states {
		for occasion, act := range occasions {
			s := newScene(0)
			arrange(s)
			before := s.f.State(s.self).String()
			s.f.Effects(nil)
			act(s)
			var kinds []string
			for _, e := range s.f.Effects(nil) {
				if e.Slot == s.self || e.From == s.self {
					kinds = append(kinds, kindNames[e.Kind])
				}
			}
			want, ok := table[[2]string{state, occasion}]
			if !ok {
				want = outcome{before, ""}
			}
			require.Equal(
				t,
				want,
				outcome{s.f.State(s.self).String(), strings.Join(kinds, ", ")},
				"%s: %s",
				state,
				occasion,
			)
		}
	}
}
