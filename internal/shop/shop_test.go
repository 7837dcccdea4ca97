package shop

import (
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// slow is a Shop told slowly: all tasks that there ever were in one list, each with where it is.
type slow struct {
	tasks  []*slowTask // in the order in which they came
	gets   []uint64    // the requests that wait
	asked  uint64      // how many requests there were
	sealed bool
}

// slowTask is a task of the slow model.
type slowTask struct {
	id    uint64
	at    Found // Nowhere: it has had its end
	batch bool
	begun uint64 // how many of its items
	cut   bool   // no further item begins
	items Items  // the counterpart in the Shop
}

// progress is what the Shop is given with the task.
func (m *slowTask) progress() *Items {
	if !m.batch {
		return nil
	}
	return &m.items
}

// all are the tasks that are at a place, in the order in which they came.
func (s *slow) all(at Found) (found []*slowTask) {
	for _, m := range s.tasks {
		if m.at == at {
			found = append(found, m)
		}
	}
	return found
}

// comes adds a task.
func (s *slow) comes(t *rapid.T, at Found) *slowTask {
	m := &slowTask{id: uint64(len(s.tasks) + 1), at: at, batch: rapid.Bool().Draw(t, "batch")}
	s.tasks = append(s.tasks, m)
	return m
}

// any draws a task, wherever it is, or one that there never was.
func (s *slow) any(t *rapid.T) *slowTask {
	if n := rapid.IntRange(0, len(s.tasks)).Draw(t, "task"); n < len(s.tasks) {
		return s.tasks[n]
	}
	return &slowTask{id: 1 << 40}
}

// answered takes a request out, and reports whether it waited.
func (s *slow) answered(get uint64) bool {
	waited := slices.Contains(s.gets, get)
	s.gets = slices.DeleteFunc(s.gets, func(g uint64) bool { return g == get })
	return waited
}

// A Shop does what the slow model does, whatever comes in whatever order.
func TestShop(t *testing.T) {
	const most = 3 // requests that may wait
	rapid.Check(t, func(t *rapid.T) {
		var s Shop[*slowTask, uint64]
		var model slow
		request := func(t *rapid.T) uint64 { return rapid.Uint64Range(0, model.asked+1).Draw(t, "request") }
		running := func(t *rapid.T) *slowTask {
			all := model.all(Running)
			if len(all) == 0 {
				t.Skip("none runs")
			}
			return rapid.SampledFrom(all).Draw(t, "task")
		}
		t.Repeat(map[string]func(*rapid.T){
			"Put": func(t *rapid.T) {
				m := model.comes(t, Waiting)
				require.Equal(t, !model.sealed, s.Put(m.id, m.progress(), m))
				if model.sealed {
					m.at = Nowhere
				}
			},
			"Next": func(t *rapid.T) {
				onlyBatch := rapid.Bool().Draw(t, "only a batch")
				got, ok := s.Next(onlyBatch)
				waiting := model.all(Waiting)
				require.Equal(t, len(waiting) > 0 && (waiting[0].batch || !onlyBatch), ok)
				if ok {
					require.Same(t, waiting[0], got, "first come, first served")
					got.at = Running
				}
			},
			"Begin": func(t *rapid.T) {
				m := running(t)
				require.Equal(t, !m.cut, m.items.Begin(m.begun))
				if !m.cut {
					m.begun++
				}
			},
			"End": func(t *rapid.T) {
				m := running(t)
				s.End(m.id)
				m.at = Nowhere
			},
			"Cancel": func(t *rapid.T) {
				m := model.any(t)
				got, at := s.Cancel(m.id)
				require.Equal(t, m.at, at)
				switch at {
				case Running:
					require.Same(t, m, got)
					m.cut = m.cut || m.batch
				case Waiting:
					m.at = Nowhere
				}
			},
			"Recall": func(t *rapid.T) {
				m := model.any(t)
				rest, at := s.Recall(m.id)
				if m.at == Running && (!m.batch || m.cut) { // there is nothing to give back, or no more
					require.Equal(t, Nowhere, at)
					return
				}
				require.Equal(t, m.at, at)
				switch at {
				case Running:
					require.Equal(t, max(1, m.begun), rest, "all items that have not begun, but never the first")
					m.cut = true
				case Waiting:
					m.at = Nowhere
				}
			},
			"Ask": func(t *rapid.T) {
				get, asked := s.Ask(model.asked+1, most)
				switch {
				case model.sealed:
					require.Equal(t, Sealed, asked)
				case len(model.gets) == most:
					require.Equal(t, TooMany, asked)
				default:
					require.Equal(t, Asks, asked)
					model.asked++
					require.Equal(t, model.asked, get, "no two requests have one id")
					model.gets = append(model.gets, get)
				}
			},
			"Answer": func(t *rapid.T) {
				get, m := request(t), model.comes(t, Nowhere)
				who, ok := s.Answer(get, m.id, m.progress(), m)
				require.Equal(t, model.answered(get), ok, "a task that nobody gets does not begin")
				if ok {
					require.Equal(t, get, who)
					m.at = Running
				}
			},
			"NoTask": func(t *rapid.T) {
				get := request(t)
				who, ok := s.NoTask(get)
				require.Equal(t, model.answered(get), ok)
				if ok {
					require.Equal(t, get, who)
				}
			},
			"Seal": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "seldom") > 0 {
					t.Skip("not yet")
				}
				none := s.Seal()
				require.True(t, slices.Equal(model.gets, none), "requests %v wait, and %v are told", model.gets, none)
				model.sealed, model.gets = true, nil
				for _, m := range model.all(Waiting) {
					m.at = Nowhere
				}
			},
			"": func(t *rapid.T) {
				require.Equal(t, model.sealed, s.IsSealed())
				require.Equal(t, len(model.all(Waiting)), s.waiting.Len())
				require.Len(t, s.running, len(model.all(Running)))
				require.Len(t, s.getters, len(model.gets))
			},
		})
	})
}

// A batch is cut once, and every item either has begun by then or never begins, also if that
// happens while the items begin.
func TestItemsThatAreCutWhileTheyBegin(t *testing.T) {
	for range 1000 {
		var items Items
		var cutters sync.WaitGroup
		var counts [2]uint64
		var firsts [2]bool
		for i := range counts {
			cutters.Go(func() { counts[i], firsts[i] = items.Cut() })
		}
		begun := uint64(0)
		for begun < 1<<20 && items.Begin(begun) {
			begun++
		}
		cutters.Wait()
		require.Equal(t, [2]uint64{begun, begun}, counts)
		require.NotEqual(t, firsts[0], firsts[1])
	}
}

// What is sent ahead of a task is for that task alone, and only if it comes next.
func TestAhead(t *testing.T) {
	for _, c := range []struct {
		name string
		sent []uint64 // the tasks that something was sent for
		came []uint64 // the tasks that come then
		got  []uint64 // what was taken, which is the id of its task
	}{
		{"nothing", nil, []uint64{0, 1}, []uint64{0, 0}},
		{"its task", []uint64{7}, []uint64{7}, []uint64{7}},
		{"only once", []uint64{7}, []uint64{7, 7}, []uint64{7, 0}},
		{"the last counts", []uint64{7, 8}, []uint64{8}, []uint64{8}},
		{"another task", []uint64{7}, []uint64{8, 7}, []uint64{0, 0}},
		{"an earlier one", []uint64{7, 8}, []uint64{7, 8}, []uint64{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a Ahead[uint64]
			for _, id := range c.sent {
				a.Note(id, id)
			}
			for i, id := range c.came {
				require.Equal(t, c.got[i], a.Take(id))
			}
		})
	}
}
