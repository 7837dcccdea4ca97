package multiprolab

import (
	"bytes"
	"context"
	"iter"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// awaitLocked returns once a goroutine that runs the function waits for a lock.
func awaitLocked(t *testing.T, function string) {
	t.Helper()
	awaitState(t, "[sync.Mutex.Lock", function)
}

// awaitSelect returns once a goroutine that runs the function waits in a select.
func awaitSelect(t *testing.T, function string) {
	t.Helper()
	awaitState(t, "[select", function)
}

// awaitState returns once a goroutine that runs the function waits in such a way.
func awaitState(t *testing.T, state, function string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for buf := make([]byte, 1<<20); ; runtime.Gosched() {
		stacks := string(buf[:runtime.Stack(buf, true)])
		if len(stacks) == len(buf) { // there are more
			buf = make([]byte, 2*len(buf))
		}
		for stack := range strings.SplitSeq(stacks, "\n\n") {
			head, calls, _ := strings.Cut(stack, "\n")
			if strings.Contains(head, state) && strings.Contains(calls, function+"(") {
				return
			}
		}
		require.NoError(t, ctx.Err(), "nothing waits in %s:\n%s", function, stacks)
	}
}

// A worker tells main that a batch has begun before it gives back the rest of the batch, even if
// the batch is recalled at the very moment when it begins. Otherwise main would kill the worker.
func TestStartOfBatchIsToldBeforeItsRestIsGivenBack(t *testing.T) {
	var written bytes.Buffer
	posting, goOn := make(chan struct{}), make(chan struct{})
	w := newWorker(workerRole{pool: "w"}, &codec.Codec{}, &Config{})
	w.link = link.New(w.codec, &bytes.Buffer{}, &written, link.Options{
		Fail: func(err error) { t.Error(err) },
		DefinitionsIn: func([]byte) iter.Seq[uint64] { // while it is asked, nothing else is posted
			return func(func(uint64) bool) { close(posting); <-goOn }
		},
	})
	t.Cleanup(w.link.Release)

	one := batch.Append(nil, batch.OK, codec.Payload{Encoding: codec.Bytes, Data: []byte("x")})
	task := &wire.Frame{Kind: wire.Task, ID: 7, Type: "t", Flags: wire.FlagBatch, Body: bytes.Repeat(one, 3)}
	require.NoError(t, w.inbox.deliver(task))
	var ended [3]chan struct{}
	for i, f := range []func(){
		func() { w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Result, ID: 6, Flags: wire.FlagBatch}) },
		func() { w.inbox.next(w.whole, false) },
		func() { w.inbox.giveBack(7) },
	} {
		ended[i] = make(chan struct{})
		go func() { defer close(ended[i]); f() }()
		switch i {
		case 0:
			<-posting
		case 1:
			awaitLocked(t, "taskInbox).next")
		case 2:
			awaitLocked(t, "taskInbox).giveBack")
		}
	}
	if !w.stage.current.Load().work.(*Task).items.Begin(0) {
		t.Error("the rest is given back although main does not know yet that the batch has begun")
	}
	close(goOn)
	for _, e := range ended {
		<-e
	}

	require.Equal(t, []wire.Kind{wire.Result, wire.Start, wire.Split}, kindsPosted(t, w, &written))
}

// kindsPosted closes the link of a worker, and returns the kinds of the frames that were posted.
func kindsPosted(t *testing.T, w *Worker, written *bytes.Buffer) (kinds []wire.Kind) {
	t.Helper()
	w.link.Close()
	require.NoError(t, w.link.WriteLoop())
	r := wire.NewReader(written, link.LeastLimit)
	for f := new(wire.Frame); written.Len() > 0 || r.Buffered() > 0; {
		require.NoError(t, r.Next(f))
		kinds = append(kinds, f.Kind)
	}
	return kinds
}

// A task that comes for a TaskQueue.Get after the worker takes no further task, as when its loop
// has ended and its OnExit functions run, does not begin: so it goes to another worker, and has
// not lost an attempt in this one.
func TestTaskThatComesTooLateForItsGetDoesNotBegin(t *testing.T) {
	for _, flags := range []wire.Flags{0, wire.FlagBatch} {
		var written bytes.Buffer
		w := newWorker(workerRole{pool: "w"}, &codec.Codec{}, &Config{})
		w.link = link.New(w.codec, &bytes.Buffer{}, &written, link.Options{Fail: func(err error) { t.Error(err) }})
		t.Cleanup(w.link.Release)
		w.PullTasks("t")
		close(w.said)
		got := make(chan error, 1)
		go func() {
			_, err := w.queue.Get(context.Background())
			got <- err
		}()
		awaitSelect(t, "taskInbox).fetch")
		w.inbox.seal()
		require.ErrorIs(t, <-got, ErrStopped)

		one := batch.Append(nil, batch.OK, codec.Payload{Encoding: codec.Bytes, Data: []byte("x")})
		task := &wire.Frame{Kind: wire.Task, ID: 7, Type: "t", Flags: flags, Body: one}
		task.ForFetch(1)
		require.NoError(t, w.inbox.deliver(task))
		require.Equal(t, []wire.Kind{wire.Fetch}, kindsPosted(t, w, &written))
	}
}
