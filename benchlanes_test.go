package multiprolab

import (
	"fmt"
	"testing"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// BenchmarkLanes is what the queue itself takes for one task, from its submission to its outcome,
// while tasks wait in so many queues, or of so many types, or in as many queues that are known and
// empty.
func BenchmarkLanes(b *testing.B) {
	for _, what := range []string{"queues", "types", "empty-queues"} {
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", what, n), func(b *testing.B) { benchLanes(b, what, n) })
		}
	}
}

func benchLanes(b *testing.B, what string, n int) {
	queues, types := []string{DefaultQueue}, []string{"t"}
	for i := range n {
		if what == "types" {
			types = append(types, fmt.Sprint("type", i))
		} else {
			queues = append(queues, fmt.Sprint("queue", i))
		}
	}
	th := newTheatre(b, &Config{QueueLimit: 1 << 20}, map[string]WorkerConfig{"p": {Queues: queues, Prefetch: -1}})
	w := th.enter("p/0", types...)
	var submitted, ended uint64 // tasks end in their order, for the worker has one at a time
	submit := func(i int) {
		submitted++
		var m meta.Task
		if what != "types" {
			m.Queue = queues[i%len(queues)]
		}
		j := newJob(codec.Payload{Encoding: codec.Bytes, Data: []byte("x")}, &m)
		if err := th.broker.submit(j, &m, types[i%len(types)], true); err != nil {
			b.Fatal(err)
		}
	}
	end := func() {
		ended++
		w.say(&wire.Frame{Kind: wire.Start, ID: ended})
		w.say(&wire.Frame{Kind: wire.Result, ID: ended, Encoding: codec.Bytes})
	}
	for i := range 2 * n {
		submit(i)
	}
	if what == "empty-queues" {
		for range 2 * n {
			end()
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if what == "empty-queues" {
			submit(0)
		} else {
			submit(i)
		}
		end()
		if i%1000 == 0 { // nobody reads
			if err := w.link.Flush(); err != nil {
				b.Fatal(err)
			}
			w.out.Reset()
		}
	}
	b.StopTimer()
	th.broker.end(ErrStopped)
}
