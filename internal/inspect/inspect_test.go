package inspect

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// pair is both ends, with nothing between them.
type pair struct {
	Questions
	Answers
	gone  chan struct{}
	posts func(id uint64, p Piece) // in place of Questions.Take, if it is set
}

func newPair() *pair { return &pair{gone: make(chan struct{})} }

func (p *pair) ask(ctx context.Context, q *Question, w io.Writer) error {
	return p.Put(ctx, q, w, Wire{
		Ask: func(id uint64, q *Question) {
			var came Question
			if err := pack.Unmarshal(pack.Marshal(q), &came); err != nil {
				panic(err)
			}
			p.Begin(id, &came, func(piece Piece) {
				if p.posts != nil {
					p.posts(id, piece)
				} else if !p.Take(id, piece) {
					panic("an honest worker is not believed")
				}
			})
		},
		Taken:  p.Taken,
		Cancel: p.Answers.Cancel,
	}, p.gone, func() error { return errLost })
}

var errLost = errors.New("lost")

// settle waits until nothing of earlier questions is left at either end.
func (p *pair) settle(t *testing.T) {
	require.Eventually(t, func() bool {
		p.Questions.mu.Lock()
		defer p.Questions.mu.Unlock()
		p.Answers.mu.Lock()
		defer p.Answers.mu.Unlock()
		return len(p.open) == 0 && len(p.running) == 0
	}, 30*time.Second, time.Millisecond)
}

// write is an io.Writer.
type write func(p []byte) (int, error)

func (w write) Write(p []byte) (int, error) { return w(p) }

// large is a profile of this process with a thousand deep stacks, so that its text is large.
var large = sync.OnceValue(func() *pprof.Profile {
	p := pprof.NewProfile("multiprolab.large")
	left(func(n int) { p.Add(n, 0) }, 0, 100)
	return p
})

// left and right call add on another stack for each way of choosing between them ten times.
func left(add func(int), way, deep int)  { branch(add, 2*way, deep) }
func right(add func(int), way, deep int) { branch(add, 2*way+1, deep) }

func branch(add func(int), way, deep int) {
	switch {
	case deep > 20:
		branch(add, way, deep-1)
	case deep > 0 && way < 1<<10:
		left(add, max(1, way), deep-1)
		right(add, max(1, way), deep-1)
	default:
		add(way)
	}
}

// Each profile comes whole, and as the process itself would write it.
func TestProfiles(t *testing.T) {
	large()
	p := newPair()
	for _, name := range append(Profiles(), Stacks) {
		for _, debug := range []int{0, 1} {
			var b bytes.Buffer
			q := &Question{Profile: name, Debug: debug, Collect: name == "heap", Limit: 64 << 20}
			q.Duration = time.Millisecond
			require.NoError(t, p.ask(t.Context(), q, &b), name)
			switch {
			case name == Stacks:
				require.Contains(t, b.String(), "inspect.TestProfiles(")
			case name == Trace:
				require.True(t, strings.HasPrefix(b.String(), "go 1."), name)
			case name == CPU || debug == 0:
				z, err := gzip.NewReader(&b)
				require.NoError(t, err, name)
				_, err = io.Copy(io.Discard, z)
				require.NoError(t, err, name)
			default:
				require.Regexp(t, "profile:|^---", b.String(), name)
			}
		}
	}
	p.settle(t)
	err := p.ask(t.Context(), &Question{Profile: "nonsense", Limit: 1}, io.Discard)
	require.ErrorContains(t, err, `there is no profile "nonsense": the process has allocs, block, cpu`)
}

// Stacks are cut at the limit, and say so.
func TestStacks_Cut(t *testing.T) {
	var b bytes.Buffer
	q := &Question{Profile: Stacks, Limit: 200}
	require.NoError(t, q.Answer(t.Context(), &b))
	require.Len(t, b.String(), 200)
	require.True(t, strings.HasPrefix(b.String(), "goroutine "))
	require.True(t, strings.HasSuffix(b.String(), cutStacks))
	b.Reset()
	q.Limit = 3
	require.NoError(t, q.Answer(t.Context(), &b))
	require.Len(t, b.String(), 3)
}

// A profile that is too large is an error, and nothing is left of it. One that just fits is none.
func TestLimit(t *testing.T) {
	large()
	p := newPair()
	var whole bytes.Buffer
	q := Question{Profile: "multiprolab.large", Debug: 1, Limit: 64 << 20}
	require.NoError(t, p.ask(t.Context(), &q, &whole))
	require.Greater(t, whole.Len(), 2*Window*PieceSize)
	q.Limit = int64(whole.Len())
	require.NoError(t, p.ask(t.Context(), &q, io.Discard))
	q.Limit--
	require.ErrorContains(t, p.ask(t.Context(), &q, io.Discard), "larger than the limit of")
	q = Question{Profile: Trace, Duration: time.Hour, Limit: 100}
	require.ErrorContains(t, p.ask(t.Context(), &q, io.Discard), "larger than the limit of 100 bytes", "it ends early")
	p.settle(t)
}

// A process has one profile of its processor time at a time, and one trace. The second one is an
// error, and the first one goes on.
func TestOneAtATime(t *testing.T) {
	for _, name := range []string{CPU, Trace} {
		p := newPair()
		ctx, cancel := context.WithCancelCause(t.Context())
		first := make(chan error, 1)
		begin := func() {
			go func() { // ends with ctx
				first <- p.ask(ctx, &Question{Profile: name, Duration: time.Hour, Limit: 64 << 20}, io.Discard)
			}()
		}
		begin()
		second := &Question{Profile: name, Duration: time.Nanosecond, Limit: 64 << 20}
		var err error
		require.Eventually(t, func() bool {
			err = p.ask(t.Context(), second, io.Discard)
			select {
			case early := <-first: // a second one was there before it
				require.ErrorContains(t, early, "at a time")
				begin()
				return false
			default:
				return err != nil
			}
		}, 30*time.Second, time.Millisecond)
		require.ErrorContains(t, err, "one")
		require.ErrorContains(t, err, "at a time, wait for the end of the other one")
		require.Empty(t, first)
		enough := errors.New("enough")
		cancel(enough)
		require.ErrorIs(t, <-first, enough)
		p.settle(t)
		require.NoError(t, p.ask(t.Context(), second, io.Discard), "its end is the end of the recording")
	}
}

// However slow the reader is, no more than Window pieces are on the way, and each comes in its
// order.
func TestWindow(t *testing.T) {
	large()
	p := newPair()
	var mu sync.Mutex
	posted, taken := 0, 0
	p.posts = func(id uint64, piece Piece) {
		mu.Lock()
		posted++
		if !piece.Last {
			require.LessOrEqual(t, posted-taken, Window+1) // the one that is being written was not said to be taken
		}
		mu.Unlock()
		require.True(t, p.Take(id, piece))
	}
	var whole, slow bytes.Buffer
	q := &Question{Profile: "multiprolab.large", Debug: 1, Limit: 64 << 20}
	require.NoError(t, q.Answer(t.Context(), &whole))
	require.NoError(t, p.ask(t.Context(), q, write(func(b []byte) (int, error) {
		mu.Lock()
		taken++
		mu.Unlock()
		return slow.Write(b)
	})))
	require.Equal(t, whole.Len(), slow.Len())
	require.Greater(t, posted, 2*Window)
	p.settle(t)
}

// Who does not want an answer any more gets its error, and the worker ends what it does.
func TestGivenUp(t *testing.T) {
	large()
	p := newPair()
	q := &Question{Profile: "multiprolab.large", Debug: 1, Limit: 64 << 20}
	broken := errors.New("broken pipe")
	require.ErrorIs(t, p.ask(t.Context(), q, write(func([]byte) (int, error) { return 0, broken })), broken)
	p.settle(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancelling := write(func(b []byte) (int, error) { cancel(); return len(b), nil })
	require.ErrorIs(t, p.ask(ctx, q, cancelling), context.Canceled)
	p.settle(t)

	p.posts = func(uint64, Piece) {} // it is lost on the way
	close(p.gone)
	require.ErrorIs(t, p.ask(t.Context(), q, io.Discard), errLost)
}

// The last words of a worker count, and no more than so many questions are open.
func TestGoneAndBusy(t *testing.T) {
	p := newPair()
	id, one, err := p.begin(&Question{Limit: 4})
	require.NoError(t, err)
	require.True(t, p.Take(id, Piece{Data: []byte("word"), Last: true}))
	require.Equal(t, "word", string((<-one.pieces).Data))
	for range maxOpen {
		_, _, err := p.begin(&Question{Limit: 4})
		require.NoError(t, err)
	}
	require.ErrorIs(t, p.ask(t.Context(), &Question{}, io.Discard), errBusy)
}

// A worker that lies is found out, whatever it sends, and costs main no more than the limit.
func TestLies(t *testing.T) {
	q := &Question{Limit: 10}
	full := Piece{Data: make([]byte, 1)}
	for name, lie := range map[string][]Piece{
		"too long":           {{Data: make([]byte, PieceSize+1)}},
		"too much":           {{Data: make([]byte, 9)}, {Data: make([]byte, 2)}},
		"too much, last":     {{Data: make([]byte, 11), Last: true}},
		"too many":           {full, full, full, full, full},
		"nothing":            {{}},
		"failed and goes on": {{Data: []byte("x"), Failed: true}},
		"a long excuse":      {{Data: make([]byte, maxFailure+1), Failed: true, Last: true}},
		"after the last":     {{Last: true}, {Last: true}},
		"cancelled":          {full, full, full, full, full},
	} {
		p := newPair()
		id, _, err := p.begin(q)
		require.NoError(t, err)
		if name == "cancelled" {
			p.Questions.cancel(id)
		}
		for i, piece := range lie {
			require.Equal(t, i < len(lie)-1, p.Take(id, piece), "%s: piece %d", name, i)
		}
	}
	require.False(t, newPair().Take(1, Piece{Last: true}), "nothing was asked")

	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 { // whatever comes, Take never waits
		p := newPair()
		id, one, err := p.begin(&Question{Limit: random.Int64N(3 * PieceSize)})
		require.NoError(t, err)
		for range 30 {
			piece := Piece{make([]byte, random.IntN(PieceSize+2)), random.IntN(8) == 0, random.IntN(8) == 0}
			if !p.Take(id, piece) || piece.Last {
				break
			}
			switch random.IntN(4) {
			case 0:
				p.Questions.cancel(id)
			case 1:
				if len(one.pieces) > 0 {
					<-one.pieces
					p.taken(id)
				}
			}
		}
	}
}

// A process that asks itself records on while it is slow to take what it gets.
func TestLocal(t *testing.T) {
	large()
	var whole, slow bytes.Buffer
	q := &Question{Profile: "multiprolab.large", Debug: 1, Limit: 64 << 20}
	require.NoError(t, q.Answer(t.Context(), &whole))
	require.NoError(t, Local(t.Context(), q, &slow))
	require.Equal(t, whole.Len(), slow.Len())

	recorded, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() { // the trace has many pieces
		first := true
		trace := &Question{Profile: Trace, Duration: time.Millisecond, Limit: 64 << 20}
		done <- Local(t.Context(), trace, write(func(p []byte) (int, error) {
			if first {
				first = false
				close(recorded)
				<-release
			}
			return len(p), nil
		}))
	}()
	<-recorded
	require.Eventually(t, func() bool { // the recording is over, though nobody takes it
		return (&Question{Profile: Trace, Duration: 1, Limit: 64 << 20}).Answer(t.Context(), io.Discard) == nil
	}, 30*time.Second, time.Millisecond)
	close(release)
	require.NoError(t, <-done)
}
