package multiprolab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/mapping"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// liarsUplink is the way to workers that answer each task of a Map as they like, at once or soon.
type liarsUplink struct {
	uplink
	node    *node
	answer  func(s *submission) (cuts []int, r *reply)
	soon    bool
	answers sync.WaitGroup
}

func (u *liarsUplink) batches(string, *TaskOptions) int { return 3 }
func (u *liarsUplink) cancelTask(uint64, bool)          {}
func (u *liarsUplink) submit(_ context.Context, s *submission, _ *wire.Frame) error {
	cuts, r := u.answer(s)
	say := func() {
		for _, count := range cuts {
			s.split(count)
		}
		u.node.resolve(s.id, r)
	}
	if u.soon {
		u.answers.Go(say)
	} else {
		say()
	}
	return nil
}

// someOutcomes returns a result with some outcomes, of which every third is an error.
func someOutcomes(n int) (out []byte) {
	for i := range n {
		if i%3 == 2 {
			err := marshalError(errors.New("an item failed"))
			out = batch.Append(out, batch.Failed, codec.Payload{Data: err})
		} else {
			out = batch.Append(out, batch.OK, codec.Payload{Encoding: codec.String, Data: []byte("done")})
		}
	}
	return out
}

// FuzzMapOfLiars: each item of a Map has one outcome, in its place, whatever the workers say that
// they did, and the Map ends.
func FuzzMapOfLiars(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint64(0), uint16(100*seed), seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, seed, more uint64, items uint16, soon bool) {
		chance := rand.New(rand.NewPCG(seed, more))
		m := New(nil)
		liars := &liarsUplink{node: m.node, soon: soon}
		defer liars.answers.Wait()
		m.node.up = liars
		liars.answer = func(s *submission) (cuts []int, r *reply) {
			n := s.batch
			if n == 0 {
				return nil, &reply{payload: codec.Payload{Encoding: codec.String, Data: []byte("done")}}
			}
			for range chance.IntN(4) { // it gives some items back, perhaps more than once
				cuts = append(cuts, chance.IntN(n+3)-1)
			}
			out := someOutcomes(chance.IntN(n + 3))
			switch chance.IntN(4) {
			case 0:
				out = out[:chance.IntN(len(out)+1)]
			case 1:
				if len(out) > 0 {
					out[chance.IntN(len(out))] ^= byte(1 << chance.IntN(8))
				}
			case 2:
				out = append(out, byte(chance.Uint32()), byte(chance.Uint32()))
			}
			r = &reply{payload: codec.Payload{Encoding: codec.Bytes, Data: out}, took: time.Duration(n),
				vouch: func(_ string, err error) error { return err }}
			if chance.IntN(8) == 0 { // otherwise its items are short, and many travel together
				r.took = time.Duration(chance.Uint64())
			}
			switch chance.IntN(6) {
			case 0:
				r.err = ErrCancelled
			case 1:
				r.err = errors.New("no")
			case 2:
				r.err, r.died = &WorkerDiedError{}, true
			}
			return cuts, r
		}
		all := int(items) % 2000
		source := func(yield func(int) bool) {
			for i := range all {
				if !yield(i) {
					return
				}
			}
		}
		for _, unordered := range []bool{false, true} {
			had := make([]bool, all)
			n := 0
			c := &MapConfig{Unordered: unordered}
			c.OnProgress = func(p MapProgress) { require.Equal(t, n+1, p.Yielded) }
			for _, err := range Map[string](context.Background(), m, "t", source, c) {
				var of *MapError
				if errors.As(err, &of) {
					require.False(t, had[of.Index], "item %d has two outcomes", of.Index)
					had[of.Index] = true
					if !unordered {
						require.Equal(t, n, of.Index)
					}
				}
				n++
			}
			require.Equal(t, all, n)
		}
	})
}

// TestSharesAgree: what the rules count for the items of a batch is what Map makes of them, however
// the batch ends, and each item has one share.
func TestSharesAgree(t *testing.T) {
	no := &RemoteError{Text: "no"}
	for n := 1; n < 7; n++ { // items, as they are after what was split off
		for has := range n + 1 { // outcomes in the result, of which every third is an error
			for what, r := range map[string]*reply{
				"a result":     {payload: codec.Payload{Data: someOutcomes(has)}},
				"an error":     {err: no},
				"a death":      {payload: codec.Payload{Data: someOutcomes(has)}, err: &WorkerDiedError{}, died: true},
				"the end":      {err: &stoppedError{no}},
				"cancellation": {err: ErrCancelled},
			} {
				v := verdictOf(r, r.err == nil)
				if r.died {
					o := batch.OutcomesOf(r.payload.Data, n)
					v = queue.Verdict{Kind: queue.Died, Kept: true, Items: tallyOf(&o)}
				}
				what = fmt.Sprintf("%s of %d items, %d outcomes", what, n, has)
				s := batch.Share(r.payload.Data, n, r.ending())
				require.Equal(t, queue.Tally{OK: int32(s.OK), Failed: int32(s.Failed), Later: int32(s.Later)}, v.Items, what)
				blamed, again := v.Shares(n)
				require.Equal(t, [2]int{s.Blamed, s.Again}, [2]int{blamed, again}, what)
				require.Equal(t, n, s.Count()+blamed+again, what)
				require.Less(t, again, n, what+": it would go round for ever")
			}
		}
	}
}

// stillBody is a process that does nothing.
type stillBody struct{ life.Body }

func (stillBody) PID() int { return 7 }
func (stillBody) Kill()    {}

// stillPeer is the first worker of the first pool, which says nothing by itself. What main says to
// it is written to out by flush.
func stillPeer(m *Main, out io.Writer) *peer { return stillPeerOf(m.pools[0].list()[0], out) }

// stillPeerOf is the same in an instance.
func stillPeerOf(s *slot, out io.Writer) *peer {
	p := newPeer(s, 1)
	p.connect(stillBody{}, new(bytes.Buffer), out)
	return p
}

// TestTally_Counters: the counters add up at each step of a batch, in whatever way it ends and
// whatever the worker had finished of it.
func TestTally_Counters(t *testing.T) {
	const items = 5
	for kept := 1; kept <= items; kept++ { // so many after it was split
		for has := range items + 2 {
			for _, end := range []string{"result", "error", "death", "unknown death", "cancel, result", "cancel, death",
				"stop, result", "stop, death"} {
				if strings.Contains(end, "result") && (has == 0 || has > kept) {
					continue // it is a lie
				}
				what := fmt.Sprintf("%d of %d items kept, %d outcomes, %s", kept, items, has, end)
				m := New(&Config{InProcess: true, Logger: slog.New(slog.DiscardHandler)})
				m.RegisterWorker("w", func(context.Context, *Worker) error { return nil }, &WorkerConfig{Count: 2})
				require.NoError(t, m.prepare())
				p := stillPeer(m, io.Discard)
				b := m.broker
				check := func(when string) TaskStats {
					s := b.count()
					sum := s.Succeeded + s.Failed + s.Cancelled + s.Queued + s.Running
					require.Equal(t, s.Received, sum, "%s: %s: %+v", what, when, s)
					return s
				}
				b.enter(p, &readiness{Tasks: []string{"t"}})
				j := newJob(codec.Payload{}, &meta.Task{})
				j.Items = items
				require.NoError(t, b.submit(j, &meta.Task{}, "t", false))
				require.EqualValues(t, items, check("submitted").Received)
				require.NoError(t, b.started(p, 1))
				require.EqualValues(t, items, check("started").Running)
				if kept < items {
					b.enter(stillPeerOf(p.slot().pool.list()[1], io.Discard), &readiness{Tasks: []string{"t"}})
					b.mu.Lock()
					b.rules.Tick(b.now() + time.Second) // it has nothing to do since some time
					b.mu.Unlock()
					require.NoError(t, b.split(p, 1, uint64(kept)))
					require.EqualValues(t, kept, check("split").Running)
				}
				first, second, _ := strings.Cut(end, ", ")
				switch first {
				case "cancel":
					b.mu.Lock()
					b.rules.Cancel(&j.Task, false, b.now())
					b.mu.Unlock()
				case "stop":
					b.stop(ErrStopped, false)
				default:
					second = first
				}
				check(first)
				switch r := (&reply{payload: codec.Payload{Data: someOutcomes(has)}}); second {
				case "result":
					require.NoError(t, b.result(p, 1, r, true))
				case "error":
					require.NoError(t, b.result(p, 1, &reply{err: errors.New("no")}, false))
				case "death":
					p.unfinished, p.outcomes = 1, r.payload.Data
					fallthrough
				default:
					b.leave(p, &WorkerDiedError{})
				}
				s := check("ended")
				require.Zero(t, s.Queued+s.Running, what)
				done := min(has, kept)
				switch {
				case first == "cancel":
					require.Equal(t, TaskStats{Received: uint64(kept), Cancelled: uint64(kept)}, s, what)
				case second == "error", second == "unknown death":
					require.EqualValues(t, kept, s.Failed, what)
				case second == "death": // what had been finished, and the one that was running, if there was one
					require.EqualValues(t, min(done+1, kept), s.Received, what)
					require.EqualValues(t, done-done/3, s.Succeeded, what)
				default:
					require.EqualValues(t, done, s.Received, what)
					require.EqualValues(t, done-done/3, s.Succeeded, what)
				}
				b.end(ErrStopped)
			}
		}
	}
}

// TestMapBodyIsLent: a worker that answers before it was sent all of its batch does not get the
// items of the next one, whose body has the same memory.
func TestMapBodyIsLent(t *testing.T) {
	m := New(&Config{InProcess: true, Logger: slog.New(slog.DiscardHandler)})
	m.RegisterWorker("w", func(context.Context, *Worker) error { return nil }, nil)
	m.state = mainRunning
	m.serving.Store(true)
	require.NoError(t, m.prepare())
	var pipe bytes.Buffer // into which nothing is written before flush
	p := stillPeer(m, &pipe)
	m.broker.enter(p, &readiness{Tasks: []string{"t"}})
	r := newRange(t.Context(), m.node, "t", &MapConfig{}, 2)
	defer r.Cancel(t.Context())
	add := func(text string) []byte {
		item := bytes.Repeat([]byte(text), link.OwnChunk/4)
		_, err := mapping.Add(r, codec.CoderOf[[]byte](m.codec), &item)
		require.NoError(t, err)
		return batch.Append(nil, batch.OK, codec.Payload{Encoding: codec.Bytes, Data: item})
	}
	want := add("item")
	add("next")
	require.NoError(t, m.broker.started(p, 1))
	require.NoError(t, m.broker.result(p, 1, &reply{payload: codec.Payload{Data: someOutcomes(1)}, took: 1}, true))
	require.True(t, r.Await(t.Context(), true))
	_, err, ok := r.Next()
	require.True(t, ok)
	require.NoError(t, err)
	require.False(t, r.Await(t.Context(), true)) // now the memory of the first batch is free
	add("last")
	require.NoError(t, p.link.Flush())
	var f wire.Frame
	require.NoError(t, wire.NewReader(&pipe, 0).Next(&f))
	require.Equal(t, wire.Task, f.Kind)
	require.True(t, bytes.Equal(want, f.Body))
}

// batching is the uplink of a main that does not know who asks for tasks and who is given them.
type batching struct{ *mainRouter }

func (batching) batches(string, *TaskOptions) int { return 2 }

// TestMapPulledInBatches: where main does not know in time that workers ask for the tasks of a Map,
// they take the items one at a time, each with its own outcome.
func TestMapPulledInBatches(t *testing.T) {
	const items, limit = 300, 1 << 20
	m := New(&Config{InProcess: true, Logger: slog.New(slog.DiscardHandler), MaxMessageSize: limit})
	m.RegisterWorker("w", func(_ context.Context, w *Worker) error {
		w.PullTasks("t")
		w.Action(0, func(ctx context.Context) error {
			t, err := w.Tasks().Get(ctx)
			if err != nil {
				return nil // it is time to exit
			}
			var n int
			if err := t.Decode(&n); err != nil {
				return t.Fail(err)
			}
			switch n % 50 {
			case 7:
				return t.Fail(fmt.Errorf("item %d failed", n))
			case 8:
				return t.Done(make([]byte, limit))
			}
			return t.Done(make([]byte, n))
		})
		return nil
	}, &WorkerConfig{Count: 2})
	m.node.up = batching{m.router}
	require.NoError(t, m.Start(t.Context()))
	defer m.Close()
	source := func(yield func(int) bool) {
		for n := 0; n < items && yield(n); n++ {
		}
	}
	n := 0
	for b, err := range Map[[]byte](t.Context(), m, "t", source, nil) {
		switch n % 50 {
		case 7:
			require.ErrorContains(t, err, fmt.Sprintf("item %d failed", n))
		case 8:
			require.NoError(t, err)
			require.Len(t, b, limit)
		default:
			require.NoError(t, err)
			require.Len(t, b, n)
		}
		n++
	}
	require.Equal(t, items, n)
	require.Equal(t, TaskStats{Received: items, Succeeded: items - items/50, Failed: items / 50}, m.Tasks().Stats())
}

// FuzzOutcomes yields the results of batches that come from a worker that is not to be trusted.
// Whatever they are, each of the n items of the batch has one outcome or is given out again, and
// the counters count as many.
func FuzzOutcomes(f *testing.F) {
	one := batch.Append(nil, batch.OK, codec.Payload{Encoding: codec.String, Data: []byte("abc")})
	two := batch.Append(bytes.Clone(one), batch.Failed, codec.Payload{Data: []byte("{}")})
	gob := batch.Append(nil, batch.OK, codec.Payload{Encoding: codec.GobValue, Defs: 7, Data: []byte{1}})
	other := codec.Payload{Encoding: codec.GobValue, Defs: 8, Data: []byte{1}}
	gobs := batch.Append(bytes.Clone(gob), batch.OK, other)
	odd := func(head byte) []byte { b := bytes.Clone(one); b[batch.HeadSize] = head; return b }
	for _, b := range [][]byte{nil, one[:batch.HeadSize], one, two, two[:len(two)-1], append(bytes.Clone(two), 0), gob,
		gobs, gobs[:len(gobs)-1], odd(byte(batch.Failed) | codec.String<<1), odd(7 << 1), odd(byte(batch.Later)),
		odd(1<<7 | codec.String<<1)} {
		for end := range byte(3) {
			f.Add(b, 2, end)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, n int, end byte) {
		n = 1 + n&1023
		r := &reply{payload: codec.Payload{Data: b}, vouch: func(_ string, err error) error { return err }}
		switch end % 4 {
		case 1:
			r.err = errors.New("the worker says so")
		case 2:
			r.err, r.died = &WorkerDiedError{}, true
		case 3:
			r.err = ErrCancelled
		}
		s := batch.Share(r.payload.Data, n, r.ending())
		require.Equal(t, n, s.Count()+s.Blamed+s.Again)
		if o, wellFormed := batch.Whole(b); r.err == nil && wellFormed && o.Count() <= n {
			blamed, again := verdictOf(r, true).Shares(n)
			require.Equal(t, [2]int{s.Blamed, s.Again}, [2]int{blamed, again}, "the counters count as many")
		}
		task := mapTask{&submission{typ: "x", batch: n, taskOutcome: taskOutcome{outcome: r}}}
		errs := 0
		for outcomes := batch.Read(s.Body); !outcomes.Done(); {
			status, p, there := outcomes.Next()
			require.True(t, there)
			if status != batch.OK {
				_, err := task.Error(p.Data)
				_, _ = err.Error(), errors.Is(err, ErrCancelled)
				errs++
			}
		}
		require.Equal(t, s.Failed+s.Later, errs)
		if s.Blamed > 0 {
			require.Error(t, task.Outcome().Err, "what is the error of those who are blamed?")
		}
	})
}

// FuzzBareResult: a result comes out as it went in, and how long it took, be it whole or too large
// for a frame with those before it, and one that a liar made does no harm.
func FuzzBareResult(f *testing.F) {
	f.Add(uint8(0), uint8(codec.Bytes), uint64(0), []byte("large"), "")
	f.Add(uint8(5), uint8(codec.GobValue), uint64(7), []byte("large"), "12345678")
	f.Add(uint8(5), uint8(codec.GobValue), uint64(0), []byte{}, "123456789")
	f.Fuzz(func(t *testing.T, before, encoding uint8, defs uint64, body []byte, meta string) {
		out := someOutcomes(int(before))
		last := len(out)
		p := codec.Payload{Encoding: encoding % (codec.GobValue + 1), Data: body}
		if p.Encoding == codec.GobValue {
			p.Defs = defs
		}
		out = batch.Append(out, batch.OK, p)
		r := &reply{payload: codec.Payload{Encoding: codec.Bytes, Data: out}, took: 4711}
		whole := replyFrame(wire.Result, 1, r)
		whole.Flags |= wire.FlagBatch
		require.EqualValues(t, 4711, replyOf(whole).took)
		require.Equal(t, r.payload, replyOf(whole).payload)
		r.bare(last)
		fr := replyFrame(wire.Result, 1, r)
		fr.Flags |= wire.FlagBatch
		require.Equal(t, len(body), len(fr.Body))
		require.NoError(t, fr.Check(math.MaxInt32))
		got := replyOf(fr)
		require.NoError(t, got.err)
		require.Equal(t, codec.Payload{Encoding: codec.Bytes, Data: out}, got.payload)
		require.EqualValues(t, 4711, got.took)

		lie := &wire.Frame{Kind: wire.Result, Flags: wire.FlagBatch, Encoding: encoding, Defs: defs, Meta: meta,
			Body: body}
		hear := replyOf(lie)
		batch.Whole(hear.payload.Data)
		batch.Share(hear.payload.Data, 3, batch.Returned)
	})
}
