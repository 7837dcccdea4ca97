package queue

import (
	"flag"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// events and seed choose how long TestSimulation is, and which. A day that fails names its seed:
//
//	go test ./internal/queue -run TestSimulation -events 1 -seed 4711
//
// plays it again, with events that say what they are about.
var (
	simEvents = flag.Int("events", 1_000_000, "how many events TestSimulation has")
	simSeed   = flag.Uint64("seed", 1, "the seed of its first day")
)

// pass plays a day to its end.
func (d *day) pass(events int, liars bool) {
	for range events {
		d.play(liars)
	}
	d.finish()
}

// finish ends the day in one of the ways in which a program does, and checks that nothing is left.
func (d *day) finish() {
	switch d.dice(4) {
	case 0:
		d.did("stop")
		d.halted, d.drain = true, true
		d.q.Stop(false)
		d.carryOut()
		d.look()
		for range 20 {
			d.play(false)
		}
	case 1:
		d.did("drain")
		d.drain = true
		d.q.Stop(true)
		d.carryOut()
	}
	if d.dice(3) > 0 {
		d.workOff()
	}
	for len(d.workers) > 0 && d.dice(8) > 0 {
		d.leave(d.workers[0])
		d.look()
	}
	d.did("end")
	d.halted, d.drain = true, true
	d.q.End()
	d.carryOut()
	if len(d.tasks) > 0 || d.q.Live() > 0 {
		d.wrong("%d tasks are left at the end", len(d.tasks))
	}
	for len(d.workers) > 0 {
		d.leave(d.workers[0])
	}
	d.look()
	if r := d.q.Residue(); r != (Residue{}) {
		d.wrong("this is left: %+v", r)
	}
}

// workOff has honest workers do all that is left.
func (d *day) workOff() {
	d.did("work off")
	d.pause("", false)
	for _, s := range d.slots {
		if s.gone && !s.out { // else nobody would come
			d.addSlot(s.pool)
		}
	}
	for len(d.workers) > 0 { // who comes after them takes everything
		d.leave(d.workers[0])
	}
	for range 400 {
		if len(d.tasks) == 0 {
			return
		}
		for _, s := range d.slots {
			if s.life == nil && !s.gone && !s.out && !s.last {
				d.retired++
				d.born(&fakeWorker{id: Worker(d.retired), slot: s, handles: dayTypes[:3], pulls: dayTypes[3:],
					fetches: map[FetchID]*fakeFetch{}})
			}
		}
		for i := 0; i < len(d.workers); i++ {
			w := d.workers[i]
			if w.lied || w.killed || w.retired {
				d.leave(w)
				i--
				continue
			}
			if len(w.fetches) < 8 {
				d.ask(w, true)
			}
			for d.hear(w) {
			}
			for range 2 {
				if !w.lied && !w.killed {
					d.work(w)
				}
			}
			d.look()
		}
		for d.store != nil && d.store.step(false) {
		}
		d.now += Time(1 << uint(10+d.dice(26)))
		d.tick()
		d.carryOut()
		d.look()
	}
	d.wrong("%d tasks are left that nobody does, such as %v", len(d.tasks), d.tasks[0])
}

// TestModel plays short days, of which the shortest that fails is found.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := map[int]*rapid.Generator[int]{}
		roll := func(n int) int {
			if numbers[n] == nil {
				numbers[n] = rapid.IntRange(0, n-1)
			}
			return numbers[n].Draw(t, "roll")
		}
		d := newDay(t, roll)
		d.pass(60, true)
	})
}

// TestSimulation plays many days.
func TestSimulation(t *testing.T) {
	left := *simEvents
	if testing.Short() {
		left /= 10
	}
	logs = *simEvents == 1
	played := 0
	for seed := *simSeed; left > 0; seed++ {
		n := playDay(t, seed, played)
		played, left = played+n, left-n
	}
	t.Logf("%d events", played)
}

// playDay plays the day of a seed, and returns how many events it had.
func playDay(t *testing.T, seed uint64, played int) int {
	r := rand.New(rand.NewPCG(seed, 7))
	d := newDay(seedJudge{t, seed, played}, r.IntN)
	d.pass(50+d.dice(600), d.dice(2) == 0)
	return d.events
}

// seedJudge names the seed of a day that fails.
type seedJudge struct {
	*testing.T
	seed   uint64
	played int
}

func (j seedJudge) Fatalf(format string, args ...any) {
	j.T.Helper()
	j.T.Logf("replay with: go test ./internal/queue -run TestSimulation -events 1 -seed %d (%d events before)",
		j.seed, j.played)
	j.T.Fatalf(format, args...)
}
