package mapping_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/mapping"
)

var errItem = errors.New("no")

// task is a task that a test ends as it likes.
type task struct {
	b              *mapping.Batch
	body           codec.Payload
	after          time.Duration
	done, accepted chan struct{}
	outcome        mapping.Outcome
	heard          int
	gaveUp         func()
}

func (t *task) Done() <-chan struct{}         { return t.done }
func (t *task) Accepted() <-chan struct{}     { return t.accepted }
func (t *task) Listen(by int) <-chan struct{} { t.heard += by; return nil }
func (t *task) Report(context.Context)        {}
func (t *task) Outcome() mapping.Outcome      { return t.outcome }

func (t *task) GiveUp(context.Context) {
	if t.gaveUp != nil {
		t.gaveUp()
	}
}

// Error: the text of a packed error is after how many milliseconds the item is to be started again.
func (t *task) Error(packed []byte) (after time.Duration, err error) {
	return time.Duration(packed[0]) * time.Millisecond, errItem
}

func (t *task) end(o mapping.Outcome) {
	t.outcome = o
	close(t.done)
	t.b.Ended()
}

// items are the items of the task.
func (t *task) items() (all []codec.Payload) {
	if t.b.Items() == 0 {
		return []codec.Payload{t.body}
	}
	for r := batch.Read(t.body.Data); !r.Done(); {
		_, p, _ := r.Next()
		p.Data = append([]byte(nil), p.Data...)
		all = append(all, p)
	}
	return all
}

// queue is the tasks that were submitted, in their order.
type queue struct {
	mu    sync.Mutex
	tasks []*task
	ends  func(t *task) // what becomes of a task at once, or nil
}

func (q *queue) submit(b *mapping.Batch, p codec.Payload, after time.Duration) (mapping.Task, error) {
	t := &task{b: b, body: p, after: after, done: make(chan struct{}), accepted: make(chan struct{})}
	q.mu.Lock()
	q.tasks = append(q.tasks, t)
	q.mu.Unlock()
	if q.ends != nil {
		q.ends(t)
	}
	return t, nil
}

func (q *queue) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.tasks)
}

func (q *queue) config(workers int) mapping.Config {
	return mapping.Config{Workers: workers, MaxItem: 1 << 20, MaxBody: 1 << 20, Outcomes: 1 << 15, Submit: q.submit}
}

func add(t require.TestingT, r *mapping.Range, item []byte) {
	_, err := mapping.Add(r, codec.CoderOf[[]byte](new(codec.Codec)), &item)
	require.NoError(t, err)
}

// Each item has one outcome, which is its own, whatever becomes of the batches.
func TestEachItemHasOneOutcome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &queue{}
		var later sync.WaitGroup
		defer later.Wait()
		var mu sync.Mutex // guards chance, because the timer submits tasks, too
		chance := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		q.ends = func(task *task) {
			mu.Lock()
			defer mu.Unlock()
			all := task.items()
			if task.b.Items() == 0 {
				task.end(mapping.Outcome{Payload: all[0]})
				return
			}
			var out []byte
			for _, p := range all[:chance.IntN(len(all)+1)] {
				switch chance.IntN(6) {
				case 0:
					out = batch.Append(out, batch.Failed, codec.Payload{Data: []byte{0}})
				case 1: // a lie if it is to come at once
					out = batch.Append(out, batch.Later, codec.Payload{Data: []byte{byte(chance.IntN(3))}})
				default:
					out = batch.Append(out, batch.OK, p)
				}
			}
			cut := chance.IntN(len(all)+3) - 1
			o := mapping.Outcome{Payload: codec.Payload{Data: out}, Err: errItem, Took: time.Duration(len(all)),
				Ending: batch.Ending(chance.IntN(3))}
			end := func() {
				task.b.Cut(cut)
				task.end(o)
			}
			if chance.IntN(2) == 0 {
				later.Go(end)
			} else {
				end()
			}
		}
		cfg := q.config(rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "workers"))
		cfg.Unordered = rapid.Bool().Draw(t, "unordered")
		r := mapping.New(cfg)
		defer r.Cancel(t.Context())
		had := map[int]bool{}
		next := func(more bool) bool {
			p, err, ok := r.Next()
			for ; !ok; p, err, ok = r.Next() {
				if !r.Await(t.Context(), more) {
					return false
				}
			}
			require.False(t, had[r.Index()], "item %d has two outcomes", r.Index())
			if !cfg.Unordered {
				require.Equal(t, len(had), r.Index())
			}
			had[r.Index()] = true
			if err == nil {
				require.EqualValues(t, r.Index(), binary.LittleEndian.Uint64(p.Data))
			}
			return true
		}
		n := rapid.IntRange(0, 300).Draw(t, "items")
		for i := range n {
			if rapid.IntRange(0, 20).Draw(t, "refused") == 0 {
				r.Fail(errItem)
			} else {
				add(t, r, binary.LittleEndian.AppendUint64(nil, uint64(i)))
			}
			for r.Full() && next(true) {
			}
		}
		for r.Left() > 0 {
			require.True(t, next(false))
		}
		require.Len(t, had, n)
	})
}

// A part does not wait for its other items when a worker may have nothing to do.
func TestPartIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		r := mapping.New(q.config(1))
		defer r.Cancel(t.Context())
		add(t, r, []byte("0"))
		outcomes := batch.Append(nil, batch.OK, codec.Payload{})
		q.tasks[0].end(mapping.Outcome{Payload: codec.Payload{Data: outcomes}, Took: 1})
		require.True(t, r.Await(t.Context(), true))
		add(t, r, []byte("1"))
		require.Equal(t, 1, q.count(), "it waits for further items")
		time.Sleep(2 * batch.PartTime)
		synctest.Wait()
		require.Equal(t, 2, q.count())
	})
}

// The tasks that are not done are cancelled, the last of them first.
func TestCancel(t *testing.T) {
	for _, unordered := range []bool{false, true} {
		q := &queue{}
		cfg := q.config(0)
		cfg.Unordered = unordered
		r := mapping.New(cfg)
		var order []int
		for i := range 5 {
			add(t, r, []byte{byte(i)})
			q.tasks[i].gaveUp = func() { order = append(order, i) }
		}
		q.tasks[2].end(mapping.Outcome{})
		r.Cancel(t.Context())
		require.Equal(t, []int{4, 3, 1, 0}, order)
	}
}

// While a task stands in line for room in the queue, no further item is taken in.
func TestLine(t *testing.T) {
	q := &queue{}
	cfg := q.config(0)
	cfg.Lines = true
	r := mapping.New(cfg)
	add(t, r, []byte("0"))
	require.True(t, r.Full())
	close(q.tasks[0].accepted)
	require.False(t, r.Full())
	require.False(t, r.Await(t.Context(), true))
	require.Zero(t, q.tasks[0].heard)
	q.tasks[0].end(mapping.Outcome{})
	require.True(t, r.Await(t.Context(), false))
	_, err, ok := r.Next()
	require.True(t, ok)
	require.NoError(t, err)
}
