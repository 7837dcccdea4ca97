package multiprolab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

const (
	stewHomes = 4 // instances that get numbered messages; Resize takes away only those above
	stewTable = "stew-table"
)

// stewTries is for tasks that shall end with a result, however often their workers die.
var stewTries = &multiprolab.TaskOptions{
	Attempts: 1000, Retry: multiprolab.RetryPolicy{First: time.Millisecond, Max: 5 * time.Millisecond},
}

// The stew is a worker with many features at once; see TestSoakOfFeatures.
var _ = worker("stew", func(_ context.Context, w *multiprolab.Worker) error {
	dir := os.Getenv(soakEnv)
	if dir == "" {
		return nil
	}
	book, err := openSoakBook(dir, fmt.Sprint("stew-", os.Getpid()))
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	multiprolab.UseHandle(w, func(next multiprolab.Step) multiprolab.Step {
		return func(ctx context.Context, op *multiprolab.Operation) error {
			if op.Sender == "main" && op.Header["soak"] == "" {
				book.fault("a %s %q without its header", op.Kind, op.Type)
			}
			return next(ctx, op)
		}
	})
	multiprolab.HandleStream(w, "pour", func(ctx context.Context, count int) iter.Seq2[chunk, error] {
		return func(yield func(chunk, error) bool) {
			for n := range count {
				switch rng.IntN(1500) {
				case 0:
					os.Exit(3)
				case 1:
					yield(chunk{}, multiprolab.RetryAfter(time.Millisecond, errors.New("later")))
					return
				}
				if !yield(chunk{n, make([]byte, n%700)}, nil) {
					return
				}
			}
		}
	})
	multiprolab.HandleTask(w, "keep", func(context.Context, string) (string, error) { return w.Name(), nil })
	multiprolab.HandleCall(w, "keep", func(context.Context, string) (string, error) { return w.Name(), nil })
	multiprolab.HandleTask(w, "steps", func(ctx context.Context, steps int) (int, error) {
		at, _, err := multiprolab.Last[int](ctx)
		for ; err == nil && at < steps; at++ {
			if rng.IntN(40) == 0 {
				os.Exit(3)
			}
			err = multiprolab.Checkpoint(ctx, at+1)
		}
		return at, err
	})
	multiprolab.HandleTask(w, "look", func(ctx context.Context, least uint64) (uint64, error) {
		s, err := w.Shared(ctx, stewTable)
		if err != nil {
			return 0, err
		}
		numbers, err := multiprolab.View[uint64](s)
		for _, n := range numbers {
			if n != s.Version() {
				book.fault("%d in version %d", n, s.Version())
			}
		}
		return s.Version(), err
	})
	multiprolab.Handle(w, "post", func(ctx context.Context, n uint64) error {
		r := record{Kind: isHandled, To: byte(w.Index()), Life: uint32(w.Life()), N: n}
		if multiprolab.MessageFrom(ctx).Redelivered {
			r.Detail = 1
		}
		if book.note(r); rng.IntN(200) == 0 {
			os.Exit(3) // before main is told that the message was handled
		}
		return nil
	})
	multiprolab.Handle(w, "noise", func(context.Context, []byte) error { return nil })
	multiprolab.Handle(w, "recycle", func(context.Context, struct{}) error { w.Recycle(); return nil })
	return nil
})

// The stew's guest is a worker that ranges over its streams, and sends it noise.
var _ = worker("stew-guest", func(ctx context.Context, w *multiprolab.Worker) error {
	dir := os.Getenv(soakEnv)
	if dir == "" {
		return nil
	}
	book, err := openSoakBook(dir, fmt.Sprint("guest-", os.Getpid()))
	if err != nil {
		return err
	}
	seed := uint64(os.Getpid())
	multiprolab.HandleCall(w, "sip", func(ctx context.Context, n uint64) (uint64, error) {
		(&taster{w, book, rand.New(rand.NewPCG(seed, n))}).sip(ctx)
		return n, nil
	})
	for part := range 2 {
		go func() { // ends with the worker
			s := taster{w, book, rand.New(rand.NewPCG(seed, uint64(part)))}
			for ctx.Err() == nil {
				s.sip(ctx)
				s.taste(ctx)
				_ = multiprolab.Send(ctx, w, multiprolab.Keyed("stew", s.key()), "noise", make([]byte, s.rng.IntN(3000)))
				pause(ctx, time.Duration(s.rng.IntN(10))*time.Millisecond)
			}
		}()
	}
	return nil
})

// taster is who uses the features, main or a worker, on one goroutine.
type taster struct {
	multiprolab.Process
	book *soakBook
	rng  *rand.Rand
}

func (s *taster) key() string { return fmt.Sprint("key ", s.rng.IntN(50)) }

// over reports whether an error is one with which everything may end that is done under ctx.
func over(ctx context.Context, err error) bool {
	return errors.Is(err, multiprolab.ErrStopped) && soonOver(ctx) || ctx.Err() != nil
}

// sip ranges over a stream, and checks what it gets.
func (s *taster) sip(ctx context.Context) {
	count := s.rng.IntN(150)
	most := -1
	if s.rng.IntN(4) == 0 {
		most = s.rng.IntN(count + 1)
	}
	mine, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.rng.IntN(10) == 0 {
		time.AfterFunc(time.Duration(s.rng.IntN(20))*time.Millisecond, cancel)
	}
	o := &multiprolab.TaskOptions{Attempts: 1 + s.rng.IntN(3), Retry: stewTries.Retry}
	next, ended := 0, false
	for piece, err := range multiprolab.Stream[chunk](mine, s, "pour", count, o) {
		var again *multiprolab.RestartedError
		var died *multiprolab.WorkerDiedError
		var attempts *multiprolab.AttemptsError
		switch {
		case ended:
			s.book.fault("a stream went on after its end: %v, %v", piece.N, err)
		case errors.As(err, &again):
			next = 0
		case err != nil:
			ended = true
			if !(o.Attempts == 1 && errors.As(err, &died) || o.Attempts > 1 && errors.As(err, &attempts)) && !over(mine, err) {
				s.book.fault("a stream ended after %d of %d pieces: %v", next, count, err)
			}
		case piece.N != next || len(piece.Data) != next%700:
			s.book.fault("piece %d came in place of %d", piece.N, next)
			next = piece.N + 1
		default:
			next++
		}
		if next == most {
			return
		}
	}
	if !ended && next != count {
		s.book.fault("a stream ended without an error after %d of %d pieces", next, count)
	}
	if errors.Is(context.Cause(mine), context.DeadlineExceeded) && ctx.Err() == nil {
		s.book.fault("a stream hung after %d of %d pieces", next, count)
	}
}

// taste does one task or call of another kind, and checks its outcome.
func (s *taster) taste(ctx context.Context) {
	mine, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	key := s.key()
	var got any
	var err error
	ok := false
	switch s.rng.IntN(3) {
	case 0:
		o := *stewTries
		o.Key, o.Sticky = key, true
		var name string
		name, err = multiprolab.DoWith[string](mine, s, "keep", key, &o)
		got, ok = name, strings.HasPrefix(name, "stew/")
	case 1:
		steps := s.rng.IntN(30)
		var at int
		at, err = multiprolab.DoWith[int](mine, s, "steps", steps, stewTries)
		got, ok = at, at == steps
	case 2:
		var name string
		var died *multiprolab.WorkerDiedError
		var unknown *multiprolab.UnknownReceiverError
		name, err = multiprolab.Call[string](mine, s, multiprolab.Keyed("stew", key), "keep", key)
		got, ok = name, strings.HasPrefix(name, "stew/")
		if errors.As(err, &died) || errors.As(err, &unknown) ||
			err != nil && strings.Contains(err.Error(), "has left") { // Resize has taken it away meanwhile
			return
		}
	}
	if (err != nil || !ok) && !over(ctx, err) {
		s.book.fault("%v, %v", got, err)
	}
}

// TestSoakOfFeatures: streams, sticky keys, messages that survive their receivers, checkpoints,
// spares, shared data, middlewares and workers that are recycled, all at once, while the pools are
// resized and restarted, and twenty processes are killed each second: every task has one outcome,
// every stream its pieces in order, every message is handled, and nothing is left in the end.
func TestSoakOfFeatures(t *testing.T) {
	seed := *ledgerSeed
	if seed == 0 {
		seed = rand.Uint64N(1_000_000_000)
	}
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	book, err := openSoakBook(dir, "main")
	require.NoError(t, err)
	warm := startLab(t, nil, workers("prog", 1)) // what the runtime opens once
	require.NoError(t, warm.Close())
	goroutines, files := runtime.NumGoroutine(), 0
	if runtime.GOOS == "linux" {
		files = openFiles(t)
	}
	kids := children()

	var dead, promoted, recycled, deaths atomic.Int64
	app := multiprolab.New(&multiprolab.Config{
		Stdout: io.Discard, Stderr: io.Discard, Logger: slog.New(slog.DiscardHandler),
		Window: 16 << 10, QueueLimit: 50, DeadLimit: 10, ShutdownTimeout: 5 * time.Second,
		OnEvent: func(e multiprolab.Event) {
			switch e := e.(type) {
			case *multiprolab.WorkerReady:
				if e.Spare != "" {
					promoted.Add(1)
				}
			case *multiprolab.WorkerStopped:
				recycled.Add(1)
			case *multiprolab.WorkerFailed:
				deaths.Add(1)
			case *multiprolab.HandlerFailed:
				book.fault("the handler of %+v failed", e)
			case *multiprolab.DeadLetter:
				if dead.Add(1); e.Type == "post" {
					book.fault("a message was lost: %+v", e)
				}
			}
		},
	})
	multiprolab.UseSend(app, func(next multiprolab.Step) multiprolab.Step {
		return func(ctx context.Context, op *multiprolab.Operation) error {
			op.SetHeader("soak", op.Type)
			return next(ctx, op)
		}
	})
	cfg := multiprolab.WorkerConfig{
		Process:      multiprolab.ProcessConfig{Env: []string{soakEnv + "=" + dir}},
		RestartLimit: multiprolab.RestartLimit{Restarts: 1 << 30, Window: time.Second}, RestartDelay: 5 * time.Millisecond,
		RestartMaxDelay: soakPause,
	}
	guests := cfg
	guests.Count = 2
	cfg.Count, cfg.Spare, cfg.Redeliver, cfg.MaxTasks, cfg.Shared = stewHomes, 2, 1<<30, 60, []string{stewTable}
	app.RegisterWorker("stew", setups["stew"], &cfg)
	app.RegisterWorker("stew-guest", setups["stew-guest"], &guests)
	table := make([]uint64, 5000)
	publish := func() uint64 {
		for i := range table {
			table[i]++
		}
		v, err := app.Publish(stewTable, multiprolab.Numbers(table))
		if err != nil || v != table[0] {
			book.fault("version %d is %d, %v", table[0], v, err)
		}
		return v
	}
	publish()
	require.NoError(t, app.Start(context.Background()))
	defer app.Close()

	load, end := context.WithCancel(context.Background())
	defer end()
	var makers sync.WaitGroup
	maker := func(part int, every time.Duration, do func(s *taster)) {
		makers.Go(func() { // ends with load
			s := &taster{app, book, rand.New(rand.NewPCG(seed, uint64(part)))}
			for load.Err() == nil {
				do(s)
				pause(load, time.Duration(s.rng.Int64N(int64(2*every))))
			}
		})
	}
	var version atomic.Uint64
	var sent [stewHomes]uint64
	for i := range 2 {
		maker(10+i, 2*time.Millisecond, func(s *taster) { s.sip(load) })
		maker(20+i, 2*time.Millisecond, func(s *taster) { s.taste(load) })
	}
	for i := range stewHomes {
		maker(30+i, 3*time.Millisecond, func(s *taster) {
			if err := multiprolab.Send(context.Background(), s, fmt.Sprint("stew/", i), "post", sent[i]); err != nil {
				book.fault("Send: %v", err)
			}
			sent[i]++
		})
	}
	maker(40, 10*time.Millisecond, func(s *taster) {
		least := version.Load()
		v, err := multiprolab.DoWith[uint64](load, s, "look", least, stewTries)
		if (err != nil || v < least) && !over(load, err) {
			book.fault("version %d after %d, %v", v, least, err)
		}
	})
	maker(41, 50*time.Millisecond, func(*taster) { version.Store(publish()) })
	maker(42, 20*time.Millisecond, func(s *taster) {
		ctx, cancel := context.WithTimeout(load, patience)
		defer cancel()
		_, err := multiprolab.Call[uint64](ctx, s, "stew-guest", "sip", s.rng.Uint64())
		if !soakFate(ctx, err) || errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			book.fault("sip: %v", err)
		}
	})
	maker(43, 100*time.Millisecond, func(s *taster) {
		_ = multiprolab.Send(load, s, "stew", "recycle", nil) // an error: it has ended meanwhile
	})
	maker(44, time.Second, func(s *taster) {
		var err error
		if ctx, cancel := context.WithTimeout(load, patience); s.rng.IntN(2) == 0 {
			err = app.Resize("stew", stewHomes+s.rng.IntN(3))
			cancel()
		} else if err = app.Restart(ctx, []string{"stew", "stew-guest"}[s.rng.IntN(2)]); load.Err() != nil {
			err = nil
			cancel()
		} else {
			cancel()
		}
		if err != nil {
			book.fault("Resize or Restart: %v", err)
		}
	})
	striking, spare := context.WithCancel(context.Background())
	kills := 0
	violence := make(chan struct{})
	go func() { // ends with striking
		defer close(violence)
		rng := rand.New(rand.NewPCG(seed, 1))
		for striking.Err() == nil {
			victims := children()
			if len(victims) > 0 && killProcess(victims[rng.IntN(len(victims))]) == nil {
				kills++
			}
			pause(striking, time.Second/time.Duration(max(1, *soakKills)))
		}
	}()
	samples := (&soak{}).sample(*soakTime)
	spare()
	await(t, violence, "the end of the violence")
	end()
	idle := make(chan struct{})
	go func() { makers.Wait(); close(idle) }() // ends with the load
	select {
	case <-idle:
	case <-time.After(2 * patience):
		require.FailNow(t, "the load does not end", "%s", stacks())
	}
	for i := range stewHomes { // behind all messages
		eventually(t, "an answer", func() bool {
			_, err := multiprolab.Call[string](bounded(t), app, fmt.Sprint("stew/", i), "keep", "")
			return err == nil
		})
	}
	require.NoError(t, ignore[*multiprolab.ShutdownError](app.Close()))
	require.NoError(t, book.f.Close())
	stats := app.Tasks().Stats()
	require.Equal(t, stats.Received, stats.Succeeded+stats.Failed+stats.Cancelled, "%+v", stats)
	twice := checkStew(t, dir, sent)
	t.Logf("%v: %d kills, %d deaths, %d spares took a place, %d recycled or taken away, %d dead letters, version %d",
		*soakTime, kills, deaths.Load(), promoted.Load(), recycled.Load(), dead.Load(), table[0])
	t.Logf("%v messages that were to survive, %d handled twice; tasks %+v", sent, twice, stats)
	if text, err := os.ReadFile(filepath.Join(dir, "faults")); err == nil {
		faults := strings.Split(strings.TrimSpace(string(text)), "\n")
		t.Errorf("%d faults:\n%s", len(faults), strings.Join(faults[:min(50, len(faults))], "\n"))
	}
	checkHeap(t, samples)
	eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	require.ElementsMatch(t, kids, children())
	if runtime.GOOS == "linux" {
		require.LessOrEqual(t, openFiles(t), files-1) // without the book
	}
}

// checkStew checks that the numbered messages were handled, in order and at least once, and twice
// only with a mark. It returns how many were handled twice.
func checkStew(t *testing.T, dir string, sent [stewHomes]uint64) (twice int) {
	var all []record
	books, err := filepath.Glob(filepath.Join(dir, "stew-*.book"))
	require.NoError(t, err)
	for _, name := range books {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		for line := range slices.Chunk(data, recordSize) {
			r := record{Kind: line[0], To: line[2], Detail: line[3]}
			r.Life, r.N = binary.LittleEndian.Uint32(line[4:]), binary.LittleEndian.Uint64(line[8:])
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b record) int { return int(a.Life) - int(b.Life) })
	var next [stewHomes]uint64
	for _, r := range all {
		switch {
		case r.N == next[r.To]:
			next[r.To]++
		case r.N < next[r.To]:
			require.Equal(t, byte(1), r.Detail, "message %d to stew/%d came again in life %d without a mark",
				r.N, r.To, r.Life)
			twice++
		default:
			require.Fail(t, "lost", "message %d to stew/%d came in life %d, and %d was to come", r.N, r.To, r.Life, next[r.To])
		}
	}
	require.Equal(t, sent, next)
	return twice
}
