package multiprolab_test

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// A raw liar is a worker process that speaks the wire by hand and runs no code of the library. It
// does not read, unless a flood says so.

// floodTime is how long each flood lasts.
var floodTime = flag.Duration(
	"flood",
	15*time.Millisecond,
	"how long each flood of a lying worker lasts; from 5s on the calls beside it are judged, too",
)

// rawHello and rawReady have the layout of the library's own.
type rawHello struct {
	Identity string
	Shares   bool
}

func (h *rawHello) Pack(p *pack.Packing) { pack.Text(p, &h.Identity); pack.Flag(p, &h.Shares) }

// floodVar tells a liar what to send.
const floodVar = "MULTIPROLAB_TEST_FLOOD"

// flood is what a liar sends again and again.
type flood struct {
	name   string
	frames []wire.Frame // a liar for each
	count  bool         // each frame has an ID of its own, and a number of definitions that nobody has defined
	reads  bool         // it reads what it is sent, and so gets credit that it may use
	pauses bool         // it waits for its credit to come back
}

// floods are of each kind of frame: bare, with a long text, with a long body, each by a liar of its own.
func floods() []flood {
	var all []flood
	for kind := wire.Hello; kind <= wire.Inspect; kind++ {
		if kind == wire.ExitRequest { // every worker may end the program
			continue
		}
		bare := wire.Frame{Kind: kind, ID: 1, Number: 1, To: "main", Type: "x"}
		text, body := bare, bare
		text.Meta = strings.Repeat("x", 65000)
		body.Encoding, body.Body = 1, make([]byte, 60000)
		all = append(all, flood{name: fmt.Sprint(kind), frames: []wire.Frame{bare, text, body}})
	}
	for _, reads := range []bool{false, true} {
		how := " unread"
		if reads {
			how = " within its credit"
		}
		for _, f := range []flood{
			{name: "messages to main", frames: []wire.Frame{{Kind: wire.Message, To: "main", Type: "x", Body: []byte("x"), Encoding: 1}}},
			{name: "messages to nobody", frames: []wire.Frame{{Kind: wire.Message, To: "nobody", Type: "x", Meta: strings.Repeat("m", 1000)}}},
			{name: "messages to one who is stuck", frames: []wire.Frame{{Kind: wire.Message, To: "held-up/0", Type: "x", Meta: strings.Repeat("m", 60000)}}},
			{name: "messages to one who is stuck, of many types", frames: []wire.Frame{{Kind: wire.Message, To: "held-up/0", Type: strings.Repeat("t", 200)}}},
			{name: "messages with definitions that nobody has", frames: []wire.Frame{{Kind: wire.Message, To: "lab/0", Type: "x", Encoding: 4, Body: []byte{0}}}, count: true},
			{name: "broadcasts", frames: []wire.Frame{{Kind: wire.Message, Flags: wire.FlagBroadcast, Type: "x", Body: make([]byte, 1000), Encoding: 1}}},
			{name: "calls to nobody", frames: []wire.Frame{{Kind: wire.Call, To: "nobody", Type: "x"}}, count: true},
			{name: "calls to an honest worker", frames: []wire.Frame{{Kind: wire.Call, To: "lab", Type: "call-bytes", Encoding: 1, Body: make([]byte, 4000)}}, count: true},
			{name: "calls to main", frames: []wire.Frame{{Kind: wire.Call, To: "main", Type: "none"}}, count: true},
			{name: "calls to one who is stuck", frames: []wire.Frame{{Kind: wire.Call, To: "held-up/0", Type: "x"}}, count: true},
			{name: "tasks of no type", frames: []wire.Frame{{Kind: wire.Submit, Type: "none", Flags: wire.FlagWait}}, count: true},
			{name: "tasks for honest workers", frames: []wire.Frame{{Kind: wire.Submit, Type: "bytes", Encoding: 1, Body: make([]byte, 4000), Flags: wire.FlagWait}}, count: true},
			{name: "tasks that nobody has time for", frames: []wire.Frame{{Kind: wire.Submit, Type: "stick", Encoding: 1, Body: make([]byte, 4000)}}, count: true},
			{name: "waits for room", frames: []wire.Frame{{Kind: wire.Await, Type: "room"}}, count: true},
			{name: "waits for tasks that are none", frames: []wire.Frame{{Kind: wire.Await}}, count: true},
			{name: "fetches", frames: []wire.Frame{{Kind: wire.Fetch, Meta: "pulled"}}, count: true},
		} {
			f.name += how
			f.reads, f.pauses = reads, reads
			all = append(all, f)
		}
	}
	return all
}

var _ = worker("flooder", func(context.Context, *multiprolab.Worker) error { panic("it never comes to this") })

// becomeLiar makes this process a liar, and does not return, if it is to be one.
func becomeLiar() {
	role := proc.Current()
	if role == nil || role.Path[0] != "flooder" {
		return
	}
	in, w := proc.Wire()
	write := func(b []byte) {
		if _, err := w.Write(b); err != nil {
			os.Exit(0)
		}
	}
	mark, _ := hex.DecodeString(role.Cookie)
	write(mark)
	id, _ := proc.Identity()
	write(frame(wire.Frame{Kind: wire.Hello, Body: pack.Marshal(&rawHello{Identity: id})}))
	write(frame(wire.Frame{Kind: wire.Ready, Body: readyToPull}))
	i := slices.IndexFunc(floods(), func(f flood) bool { return f.name == os.Getenv(floodVar) })
	f := floods()[i]
	var credit atomic.Int64
	credit.Store(floodWindow)
	if f.reads {
		go func() { // ends with the process
			r := wire.NewReader(in, 0)
			for {
				var got wire.Frame
				if err := r.Next(&got); err != nil {
					os.Exit(0)
				}
				if got.Kind == wire.Credit {
					bytes, _ := got.Credit()
					credit.Add(int64(bytes))
				}
			}
		}()
	} else {
		runtime.KeepAlive(in) // it stays open, so that main is not told that nobody reads
	}
	var b []byte
	for n := uint64(1); ; n++ {
		one := f.frames[role.Index]
		if f.count {
			one.ID = n
			if one.Encoding == 4 {
				one.Defs = n * 0x9e3779b97f4a7c15
			}
		}
		cost := int64(300 + len(one.To) + len(one.Type) + len(one.Meta) + len(one.Body))
		for f.pauses && credit.Load() < cost {
			write(b)
			b = b[:0]
			runtime.Gosched()
		}
		credit.Add(-cost)
		if b = wire.Append(b, &one); len(b) > 60000 {
			write(b)
			b = b[:0]
		}
	}
}

// readyToPull says that the liar takes one type of task.
var readyToPull = func() []byte {
	r := struct{ tasks, pulls []string }{nil, []string{"pulled"}}
	return pack.Marshal(packFunc(func(p *pack.Packing) {
		noError := ""
		pack.Text(p, &noError)
		pack.List(p, &r.tasks, pack.Text)
		pack.List(p, &r.pulls, pack.Text)
	}))
}()

type packFunc func(p *pack.Packing)

func (f packFunc) Pack(p *pack.Packing) { f(p) }

var _ = worker("held-up", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "stick", func(ctx context.Context, _ []byte) (int, error) { <-ctx.Done(); return 0, nil })
	multiprolab.Handle(w, "stick", func(ctx context.Context, _ struct{}) error { <-ctx.Done(); return nil })
	return nil
})

const (
	floodWindow = 256 << 10
	// floodDeaths is how often each liar dies in a short flood that ends before its time: the next
	// life, which does not get beyond its first frames either, shows what the life before has shown.
	floodDeaths = 1
)

// floodBound is by how much main's memory in use may grow beside so many liars, in bytes: 8 windows
// that each does not read and 1 that it sends, the 16 of main's inbox and of each receiver's outbox;
// twice that, for the slices grow by doubling; a queue of 1000 tasks of 4 KiB, twice; and 8 MiB of
// the runtime's.
func floodBound(liars int) int64 {
	return int64(2*(liars*(8+1)+16+3)*floodWindow + 2*(1000*5<<10) + 8<<20)
}

// TestFlood: whatever a worker sends, as fast as it can, main does not grow beyond a bound, and an
// honest worker beside it is served.
func TestFlood(t *testing.T) {
	quiet := median(honestCalls(t, nil, nil))
	for _, f := range floods() {
		t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
			var first, worst uint64
			calls := honestCalls(t, &f, func() {
				if first == 0 {
					first = heapInUse()
				}
				worst = max(worst, heapInUse())
			})
			grown := int64(worst) - int64(first)
			t.Logf(
				"main has grown by %d KiB; %d calls of an honest worker beside it, median %v (%v without)",
				grown>>10,
				len(calls),
				median(calls),
				quiet,
			)
			require.Less(t, grown, floodBound(len(f.frames)))
			if *floodTime >= 5*time.Second {
				require.Less(t, median(calls), 10*quiet)
			}
		})
	}
}

// honestCalls calls an honest worker again and again for the time of a flood, beside a liar if f is
// not nil, and returns how long each call took. It calls now and then look.
func honestCalls(t *testing.T, f *flood, look func()) []time.Duration {
	pools := []pool{workers("lab", 1), workers("held-up", 1)}
	if f != nil {
		pools = append(
			pools,
			pool{"flooder", &multiprolab.WorkerConfig{Count: len(f.frames),
				Process:      multiprolab.ProcessConfig{Env: []string{floodVar + "=" + f.name}},
				RestartLimit: multiprolab.RestartLimit{Restarts: 1 << 30},
				RestartDelay: time.Millisecond, RestartMaxDelay: 10 * time.Millisecond}},
		)
	}
	var l *lab
	deaths := map[string]int{}            // of each liar that has died; l.mu guards it
	forget := func(e multiprolab.Event) { // what the lab remembers is not main's
		l.mu.Lock()
		defer l.mu.Unlock()
		if failed, ok := e.(*multiprolab.WorkerFailed); ok && strings.HasPrefix(failed.Worker, "flooder/") {
			deaths[failed.Worker]++
		}
		l.events = nil
	}
	l = newLab(
		t,
		&multiprolab.Config{
			Window:         floodWindow,
			MaxMessageSize: 1 << 20,
			QueueLimit:     1000,
			Stderr:         io.Discard,
			OnEvent:        forget,
			Logger:         slog.New(slog.DiscardHandler),
		},
		pools...)
	require.NoError(t, l.Start(bounded(t)))
	// a liar ends in no other way, which is an error
	defer func() { _ = l.Stop(context.Background(), multiprolab.KillAll) }()
	require.NoError(t, multiprolab.Send(bounded(t), l, "held-up/0", "stick", nil))
	var took []time.Duration
	over := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, n := range deaths {
			if n < floodDeaths {
				return false
			}
		}
		return *floodTime < time.Second && f != nil && len(deaths) == len(f.frames)
	}
	for end := time.Now().Add(*floodTime); len(took) == 0 || time.Now().Before(end) && !over(); {
		if look != nil && len(took)%1000 == 0 {
			look()
		}
		begun := time.Now()
		_, err := multiprolab.Call[int](context.Background(), l, "lab/0", "call-pid", nil)
		require.NoError(t, err)
		took = append(took, time.Since(begun))
	}
	if look != nil {
		look()
	}
	return took
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// heapInUse returns the bytes of the objects that are in use.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
