//go:build !solo || solo_multiprolab

package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multiprolab/multiprolab"
)

// This library, with its defaults.

// ask is a question to all workers: each answers Q plus its index.
type labAsk struct{ Q uint64 }

// labVariable tells a worker the name of its Main: one process has several of them, one after the
// other.
const labVariable = "MULTIPROLAB_BENCH_LAB"

var labs atomic.Int64

// newLab makes the Main. It runs in main and, with the same names, in every worker.
func newLab(workers int) *multiprolab.Main {
	name := cmp.Or(os.Getenv(labVariable), fmt.Sprint("lab-", labs.Add(1)))
	app := multiprolab.New(&multiprolab.Config{Name: name, Logger: slog.New(slog.DiscardHandler)})
	app.RegisterWorker(
		"bench",
		setUpLab,
		&multiprolab.WorkerConfig{
			Count:   workers,
			Process: multiprolab.ProcessConfig{Env: []string{roleVariable + "=multiprolab", labVariable + "=" + name}},
		},
	)
	return app
}

// labWorker is the life of a worker process.
func labWorker() error { return newLab(1).Run(context.Background()) }

func setUpLab(_ context.Context, w *multiprolab.Worker) error {
	var seen Tally
	multiprolab.HandleCall(w, "item", func(_ context.Context, i Item) (Item, error) { return i, nil })
	multiprolab.HandleCall(w, "bytes", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })
	multiprolab.HandleCall(w, "pid", func(_ context.Context, _ struct{}) (int, error) { return os.Getpid(), nil })
	multiprolab.HandleCall(
		w,
		"question",
		func(_ context.Context, a labAsk) (uint64, error) { return a.Q + uint64(w.Index()), nil },
	)
	multiprolab.Handle(w, "one-item", func(_ context.Context, i Item) error { seen.item(&i); return nil })
	multiprolab.Handle(w, "one-bytes", func(_ context.Context, b []byte) error { seen.bytes(b); return nil })
	multiprolab.HandleCall(w, "mark", func(_ context.Context, _ struct{}) (Tally, error) {
		t := seen
		seen = Tally{}
		return t, nil
	})
	multiprolab.HandleCall(w, "relay", func(ctx context.Context, n int) ([]int64, error) {
		return timeItems(n, func(i Item) (Item, error) { return multiprolab.Call[Item](ctx, w, "bench/1", "item", i) })
	})
	multiprolab.Handle(w, "ask", func(ctx context.Context, a labAsk) error {
		return multiprolab.Send(ctx, w, multiprolab.MainName, "answer", a.Q+uint64(w.Index()))
	})
	multiprolab.HandleTask(w, "spin", func(_ context.Context, t Task) (uint64, error) { return t.spin(), nil })
	return nil
}

// What a program with the build tag solo asks of its peer, see solo.go.
var (
	_ asker = (*labPeer)(nil)
	_ pider = (*labPeer)(nil)
)

// labPeer lives in main.
type labPeer struct {
	title   string
	ordered bool // Map yields in the order of the items
	single  bool // each item of Map is a task of its own
	calls   bool // ask with a Call to each worker instead of a Broadcast
	app     *multiprolab.Main
	workers int
	answers chan uint64
}

func (p *labPeer) name() string { return p.title }

func (p *labPeer) start(workers int) error {
	p.workers = workers
	p.app = newLab(workers)
	p.answers = make(chan uint64, workers)
	multiprolab.Handle(p.app, "answer", func(_ context.Context, a uint64) error { p.answers <- a; return nil })
	return p.app.Start(context.Background())
}

func (p *labPeer) stop() error { return p.app.Close() }

func (p *labPeer) pid() int {
	pid, err := multiprolab.Call[int](context.Background(), p.app, "bench/0", "pid", struct{}{})
	if err != nil {
		return 0
	}
	return pid
}

func (p *labPeer) callItem(i Item) (Item, error) {
	return multiprolab.Call[Item](context.Background(), p.app, "bench/0", "item", i)
}

func (p *labPeer) callBytes(b []byte) ([]byte, error) {
	return multiprolab.Call[[]byte](context.Background(), p.app, "bench/0", "bytes", b)
}

func (p *labPeer) streamItems(n int) (Tally, error) {
	ctx := context.Background()
	for k := range n {
		if err := multiprolab.Send(ctx, p.app, "bench/0", "one-item", sampleItem(uint64(k))); err != nil {
			return Tally{}, err
		}
	}
	return multiprolab.Call[Tally](ctx, p.app, "bench/0", "mark", struct{}{})
}

func (p *labPeer) streamBytes(n int, b []byte) (Tally, error) {
	ctx := context.Background()
	for k := range n {
		number(b, k)
		if err := multiprolab.Send(ctx, p.app, "bench/0", "one-bytes", b); err != nil {
			return Tally{}, err
		}
	}
	return multiprolab.Call[Tally](ctx, p.app, "bench/0", "mark", struct{}{})
}

func (p *labPeer) relay(n int) ([]int64, error) {
	return multiprolab.Call[[]int64](context.Background(), p.app, "bench/0", "relay", n)
}

func (p *labPeer) farm(j job) (uint64, error) {
	items := func(yield func(Task) bool) {
		for i := range j.tasks {
			if !yield(j.task(i)) {
				return
			}
		}
	}
	var sum uint64
	cfg := &multiprolab.MapConfig{Unordered: !p.ordered}
	if p.single {
		cfg.Task.Attempts = 2 // which the items of a batch cannot have
	}
	for r, err := range multiprolab.Map[uint64](context.Background(), p.app, "spin", items, cfg) {
		if err != nil {
			return 0, err
		}
		sum += r
	}
	return sum, nil
}

func (p *labPeer) ask(q uint64) (uint64, error) {
	ctx := context.Background()
	if p.calls {
		return p.askByCalls(ctx, q)
	}
	if err := multiprolab.Broadcast(ctx, p.app, "bench", "ask", labAsk{q}); err != nil {
		return 0, err
	}
	late := time.After(time.Minute)
	var sum uint64
	for n := range p.workers {
		select {
		case a := <-p.answers:
			sum += a
		case <-late:
			return 0, fmt.Errorf("%d of %d workers have not answered", p.workers-n, p.workers)
		}
	}
	return sum, nil
}

func (p *labPeer) askByCalls(ctx context.Context, q uint64) (uint64, error) {
	all, ctx := errgroup.WithContext(ctx)
	var sum atomic.Uint64
	for n := range p.workers {
		all.Go(func() error {
			answer, err := multiprolab.Call[uint64](ctx, p.app, fmt.Sprintf("bench/%d", n), "question", labAsk{q})
			sum.Add(answer)
			return err
		})
	}
	err := all.Wait()
	return sum.Load(), err
}

var _ = role("multiprolab", labWorker)
