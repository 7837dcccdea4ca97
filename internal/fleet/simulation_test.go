package fleet_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

var (
	eventsFlag = flag.Int("events", 1_000_000, "how many events TestSimulation lets happen")
	seedFlag   = flag.Uint64("seed", 1, "the seed of the first program of TestSimulation")
)

// drawn lets rapid choose, which finds the shortest way to a failure.
type drawn struct{ t *rapid.T }

func (d drawn) pick(n int, what string) int { return rapid.IntRange(0, n-1).Draw(d.t, what) }

// thrown chooses by a seed.
type thrown struct{ r *rand.Rand }

func (d thrown) pick(n int, _ string) int { return d.r.IntN(n) }

// TestModel holds that the rules do what the model says, whatever happens.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(drawn{t}, t.Fatalf, nil)
		w.run(t.Fatalf)
	})
}

// TestSimulation is TestModel for many events. A program that fails is told with its seed, and
//
//	go test ./internal/fleet -run TestSimulation -events 1 -seed SEED
//
// shows what happened in it.
func TestSimulation(t *testing.T) {
	events, most := 0, *eventsFlag
	if raceEnabled {
		most /= 10 // nothing here runs beside anything else
	}
	for seed := *seedFlag; events < most; seed++ {
		n, text := simulate(seed, false)
		events += n
		if text != "" {
			_, text = simulate(seed, true)
			t.Fatalf("after %d events a program fails; replay it with -run TestSimulation -events 1 -seed %d\n%s",
				events, seed, text)
		}
	}
	t.Logf("%d events", events)
}

// failure is what ends a program of the simulation.
type failure string

// simulate runs one program, and returns how many events it had, and what has failed.
func simulate(seed uint64, traced bool) (events int, text string) {
	var lines []string
	var trace func(string)
	if traced {
		trace = func(line string) { lines = append(lines, line) }
	}
	fail := func(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }
	var w *world
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprint(r)
			if _, ok := r.(failure); !ok && traced {
				panic(r)
			}
			text = strings.Join(append(lines, text), "\n")
		}
		if w != nil {
			events = w.events
		}
	}()
	w = newWorld(thrown{rand.New(rand.NewPCG(seed, 0))}, fail, trace)
	w.run(fail)
	return w.events, ""
}

// run lets a program live and end.
func (w *world) run(fail func(string, ...any)) {
	if w.pick(20, "too late") == 0 {
		w.exit(fleet.Mode(w.pick(3, "mode")))
	}
	w.begin()
	n := 20 + w.pick(200, "steps")
	for range n {
		if w.gone > 0 {
			return
		}
		w.step()
	}
	if !w.m.asked && w.pick(2, "calm") == 0 {
		w.calmDown(fail)
	}
	if !w.m.asked {
		w.exit(fleet.Mode(w.pick(3, "mode")))
	}
	w.end()
	for w.gone == 0 {
		s := w.pickSlot(func(s *modelSlot) bool { return s.busy() && w.lives[s.id].led })
		if s == nil {
			fail("nobody is led out, and not all are gone")
			return
		}
		w.dies(s)
	}
}

// calmDown lets all go well, and checks that all come up that are not buried.
func (w *world) calmDown(fail func(string, ...any)) {
	for range 1000 {
		s := w.pickSlot(func(s *modelSlot) bool {
			return s.busy() && (s.state < fleet.Standby || w.lives[s.id].led || w.lives[s.id].retired)
		})
		switch {
		case s != nil && w.lives[s.id].led:
			w.diesOf(s, fleet.How{}, w.m.now)
		case s != nil:
			w.goesOn(s)
		default:
			pauses := w.pickSlot(func(s *modelSlot) bool { return s.state == fleet.Pausing })
			if pauses == nil {
				for _, s := range w.m.slots {
					if s.state != fleet.Buried && !s.up() && s.state != fleet.Standby {
						fail("all is calm, and slot %d is %v", s.id, s.state)
					}
				}
				return
			}
			w.tick(w.wake)
		}
		if w.m.asked {
			return
		}
	}
	for _, p := range w.m.pools {
		if p.desc.MaxAge > 0 {
			return // they go on like that
		}
	}
	fail("it does not become calm")
}
