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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for buf := make([]byte, 1<<20); ; runtime.Gosched() {
		stacks := string(buf[:runtime.Stack(buf, true)])
		if len(stacks) == len(buf) { // there are more
			buf = make([]byte, 2*len(buf))
		}
		for stack := range strings.SplitSeq(stacks, "\n\n") {
			head, calls, _ := strings.Cut(stack, "\n")
			if strings.Contains(head, "[sync.Mutex.Lock") && strings.Contains(calls, function+"(") {
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
	cut := w.stage.current.Load().work.(*Task).begun.Load()
	if cut != 0 {
		t.Error("the rest is given back although main does not know yet that the batch has begun")
	}
	close(goOn)
	for _, e := range ended {
		<-e
	}

	w.link.Close()
	require.NoError(t, w.link.WriteLoop())
	var kinds []wire.Kind
	r := wire.NewReader(&written, link.LeastLimit)
	for f := new(wire.Frame); written.Len() > 0 || r.Buffered() > 0; {
		require.NoError(t, r.Next(f))
		kinds = append(kinds, f.Kind)
	}
	require.Equal(t, []wire.Kind{wire.Result, wire.Start, wire.Split}, kinds)
}
