package multiprolab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Days of a queue whose workers and submitters do what comes to their minds, honestly: after each
// event the books are in order, no job waits beside a worker that could have it, and in the end
// each has had its one outcome.
func TestDaysOfTheQueue(t *testing.T) {
	days := 200
	if testing.Short() {
		days = 50
	}
	for seed := range uint64(days) {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newDay(t, seed).pass(200) })
		}) {
			return
		}
	}
}

// day is one of them.
type day struct {
	*theatre
	r *rand.Rand
}

var dayTypes = []string{"a", "b", "c", "d", "pull1", "pull2", "pull3"}

func newDay(t *testing.T, seed uint64) *day {
	r := rand.New(rand.NewPCG(seed, 1))
	cfg := &Config{QueueLimit: 1 + r.IntN(12), DeadLimit: 3}
	if seed%4 == 3 {
		cfg.Backend = backend.NewMemory()
	}
	d := &day{r: r, theatre: newTheatre(t, cfg, map[string]WorkerConfig{
		"one":      {Count: 2},
		"two":      {Count: 2, MaxTasks: 5, Queues: []string{DefaultQueue, "other"}},
		"by-index": {Count: 2, Prefetch: 2}})}
	return d
}

// types returns what the next life of an instance takes.
func (d *day) types(name string) []string {
	switch {
	case strings.HasPrefix(name, "one"):
		return []string{"a", "b", "pull1"}
	case strings.HasPrefix(name, "two"):
		return []string{"b", "pull1", "pull2"}
	}
	return [][]string{{"c"}, {"d", "pull3"}, {"c", "pull2", "pull3"}, {"a", "d"}}[d.r.IntN(4)]
}

func (d *day) pass(events int) {
	for n := range events {
		what := d.event()
		synctest.Wait() // with a Backend, its goroutine has its say
		d.check(fmt.Sprintf("event %d, %s", n, what))
	}
	d.settle(dayTypes...)
}

// options are those of a task.
func (d *day) options() *TaskOptions {
	o := &TaskOptions{Priority: []Priority{PriorityLow, 0, PriorityHigh}[d.r.IntN(3)], Attempts: d.r.IntN(3)}
	if d.r.IntN(3) == 0 {
		o.Key = []string{"k", "l"}[d.r.IntN(2)]
	}
	if d.r.IntN(6) == 0 {
		o.Delay = time.Duration(d.r.IntN(1000)) * time.Millisecond
	}
	if d.r.IntN(4) == 0 {
		o.Timeout = time.Duration(1+d.r.IntN(300)) * time.Millisecond
	}
	if d.r.IntN(4) == 0 {
		o.Queue = "other"
	}
	if d.r.IntN(2) == 0 {
		o.Retry.First = 1 // at once
	}
	return o
}

// one returns a puppet that lives, or nil.
func (d *day) one() *puppet {
	if len(d.puppets) == 0 {
		return nil
	}
	return d.puppets[d.r.IntN(len(d.puppets))]
}

// event is the next one. It returns its name.
func (d *day) event() string {
	b := d.broker
	w := d.one()
	n := d.r.IntN(100)
	switch {
	case n < 25:
		typ := dayTypes[d.r.IntN(len(dayTypes))]
		var by *puppet
		if d.r.IntN(3) == 0 {
			by = w
		}
		o := d.options()
		var err error
		if by == nil && d.r.IntN(4) == 0 { // its worker waits for it
			m := o.travelling("")
			if m.Waits = w != nil; m.Waits {
				m.Chain = "main," + w.slot().name
			}
			err = d.offer(&asked{what: typ}, codec.Payload{}, &m, 0, typ)
		} else {
			_, err = d.submit(by, typ, 0, o)
		}
		return fmt.Sprintf("a submission of %s (%v)", typ, err)
	case n < 28:
		_, err := d.submit(nil, "a", 1+d.r.IntN(5), nil)
		return fmt.Sprintf("a submission of a batch (%v)", err)
	case n < 34 && len(d.asked) > 0:
		if a := d.asked[d.r.IntN(len(d.asked))]; a.of == nil || slices.Contains(d.puppets, a.of) {
			a.cancel()
		}
		return "a cancellation"
	case n < 38: // somebody becomes ready
		for _, i := range d.r.Perm(len(d.pools)) {
			for _, s := range d.pools[i].list() {
				if s.alive() && !slices.ContainsFunc(d.puppets, func(w *puppet) bool { return w.slot() == s }) {
					d.enter(s.name, d.types(s.name)...)
					return s.name + " is ready"
				}
			}
		}
	case n < 40:
		time.Sleep(time.Duration(d.r.IntN(500)) * time.Millisecond)
		return "some time"
	case n < 41:
		b.pause([]string{DefaultQueue, "other", ""}[d.r.IntN(3)], true)
		return "a pause"
	case n < 44:
		b.pause([]string{DefaultQueue, "other", ""}[d.r.IntN(3)], false)
		return "the end of a pause"
	case n < 45:
		b.cancelPending([]string{DefaultQueue, "other", ""}[d.r.IntN(3)])
		return "CancelPending"
	case n < 46:
		_, err := d.Tasks().RetryDead()
		return fmt.Sprintf("RetryDead (%v)", err)
	case w == nil:
	case n < 75:
		w.hear()
		if len(w.waiting) > 0 && len(w.active) == 0 && !w.ended[w.waiting[0].ID] && !w.recalled[w.waiting[0].ID] {
			w.start(w.waiting[0].ID)
			return "a start of " + w.slot().name
		}
		if len(w.active) > 0 {
			var err error
			switch d.r.IntN(6) {
			case 0:
				err = &RemoteError{Text: "it failed"}
			case 1:
				err = &RemoteError{Text: "later", after: time.Duration(d.r.IntN(2)) * time.Second}
			}
			w.end(w.active[0].ID, err)
			return fmt.Sprintf("a result of %s (%v)", w.slot().name, err)
		}
	case n < 88:
		w.obey()
		return "the obedience of " + w.slot().name
	case n < 91 || len(w.retired) > 0 || w.body.killed.Load():
		how := w.death()
		if len(w.retired) > 0 {
			how = nil
		}
		w.die(how)
		if d.r.IntN(40) == 0 && b.store == nil { // else what is cancelled would stay in the Backend
			d.bury(w.slot(), errors.New("it is not replaced"))
		}
		return fmt.Sprintf("the end of %s (%v)", w.slot().name, how)
	case n < 92:
		b.retire(w.peer)
		return "the retirement of " + w.slot().name
	case n < 97:
		if len(w.pulls) > 0 {
			w.ask(d.r.IntN(3) > 0, w.pulls[d.r.IntN(len(w.pulls)):]...)
			return "a Get of " + w.slot().name
		}
	default:
		for id, waits := range w.fetching {
			if waits { // an honest worker takes it back once
				w.fetching[id] = false
				w.say(&wire.Frame{Kind: wire.FetchCancel, ID: id})
				return "the end of a Get"
			}
		}
	}
	return "nothing"
}
