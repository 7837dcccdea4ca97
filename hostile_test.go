package multiprolab_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// attack is what a worker does to its wire while it works on a task. It sends frames with write;
// what it returns is its result.
type attack struct {
	name string
	run  func(ctx context.Context, w *multiprolab.Worker, write func(b []byte)) (string, error)
	// reason is in the reason of the death of the worker. It is empty for what costs the worker
	// nothing, and "?" for what may cost it its task.
	reason string
}

func frame(f wire.Frame) []byte { return wire.Append(nil, &f) }

// shared writes a message whose body is said to be in shared memory. The body is made when it is
// asked for: each process of the tests has the table.
func shared(at uint64, length int) func(context.Context, *multiprolab.Worker, func([]byte)) (string, error) {
	return func(_ context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
		f := message
		f.Body = make([]byte, length)
		write(frame(*f.Shared(at, new(wire.Frame))))
		return "", nil
	}
}

// resigned changes the header of a frame and makes its checksum right again.
func resigned(b []byte, change func(h []byte)) []byte {
	b = bytes.Clone(b)
	change(b)
	binary.LittleEndian.PutUint32(b[32:], wire.Checksum(b))
	return b
}

func just(b []byte) func(context.Context, *multiprolab.Worker, func([]byte)) (string, error) {
	return func(ctx context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
		write(b)
		return "", nil
	}
}

// justMade is just for a frame that is large: it is made when it is asked for, for each process of the
// tests has the table.
func justMade(f func(ctx context.Context) wire.Frame) func(context.Context, *multiprolab.Worker, func([]byte)) (string, error) {
	return func(ctx context.Context, w *multiprolab.Worker, write func([]byte)) (string, error) {
		return just(frame(f(ctx)))(ctx, w, write)
	}
}

// onTask writes a frame with the id of the task that runs, or of another, which is so much greater.
func onTask(beyond int, f wire.Frame) func(context.Context, *multiprolab.Worker, func([]byte)) (string, error) {
	return func(ctx context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
		f.ID = multiprolab.TaskFrom(ctx).ID + uint64(beyond)
		write(frame(f))
		return "", nil
	}
}

var message = wire.Frame{Kind: wire.Message, To: "main", Type: "note", Encoding: 2, Body: []byte("a string")}

var attacks = []attack{
	{"garbage", just(bytes.Repeat([]byte("\x00\xffgarbage"), 100)), "corrupt frame"},
	{
		"a print on the wire",
		just([]byte("Hello, I am printing this where I must not\n")),
		"instead of the magic number",
	},
	{"a corrupt checksum", just(func() []byte { b := frame(message); b[33]++; return b }()), "checksum"},
	{"a corrupt length", just(func() []byte { b := frame(message); b[24]++; return b }()), "checksum"},
	{
		"an oversized length",
		just(resigned(frame(message), func(h []byte) { binary.LittleEndian.PutUint32(h[24:], 1<<31-1) })),
		"over the limit",
	},
	{"another version", just(resigned(frame(message), func(h []byte) { h[2] = 9 })), "version 9"},
	{"a body outside of the shared memory", shared(3<<20, 2<<20), "outside of the shared memory"},
	{"a body far outside of it", shared(1<<64-1, 2<<20), "outside of the shared memory"},
	{"a shared body over the limit", shared(0, 2<<20+1), "over the limit"},
	{
		"a shared body without a place",
		just(func() []byte { f := message; f.Flags = wire.FlagShared; return frame(f) }()),
		"no place there",
	},
	{"a shared body that nobody has put there", shared(1<<40, 4711), ""},
	{"an unknown kind", just(resigned(frame(message), func(h []byte) { h[3] = 200 })), "kind 200"},
	{"kind zero", just(resigned(frame(message), func(h []byte) { h[3] = 0 })), "kind 0"},
	{
		"a time of another length",
		just(resigned(frame(message), func(h []byte) { h[31] = 1 })),
		"what comes before its texts takes 1 bytes",
	},
	{"Hello twice", just(frame(wire.Frame{Kind: wire.Hello, Body: []byte("{}")})), "Hello frame came out of turn"},
	{"Ready twice", just(frame(wire.Frame{Kind: wire.Ready, Body: []byte("{}")})), "Ready frame came out of turn"},
	{
		"Bye and then more",
		just(append(frame(wire.Frame{Kind: wire.Bye, Body: []byte{0, 0}}), frame(message)...)),
		"Message frame came out of turn",
	},
	{
		"a Bye that is malformed",
		just(frame(wire.Frame{Kind: wire.Bye, Body: []byte("\xff")})),
		"Bye frame cannot be read",
	},
	{"Welcome", just(frame(wire.Frame{Kind: wire.Welcome, Body: []byte("{}")})), "does not send Welcome frames"},
	{"LogRoom", just(frame(wire.Frame{Kind: wire.LogRoom})), "does not send LogRoom frames"},
	{"a record of its log that is malformed", just(frame(wire.Frame{Kind: wire.Log, Body: []byte("\xff")})), "a record of its log"},
	{"Task", just(frame(wire.Frame{Kind: wire.Task, ID: 1})), "does not send Task frames"},
	{"Exit", just(frame(wire.Frame{Kind: wire.Exit})), "does not send Exit frames"},
	{"Accepted", just(frame(wire.Frame{Kind: wire.Accepted, ID: 1})), "does not send Accepted frames"},
	{"NoTask", just(frame(wire.Frame{Kind: wire.NoTask, ID: 1})), "does not send NoTask frames"},
	{
		"a piece of a profile that nobody has asked for",
		just(frame(wire.Frame{Kind: wire.Inspect, ID: 1, Body: []byte("x")})),
		"a frame came that nothing had allowed: Inspect",
	},
	{
		"a piece of a profile that is too long",
		justMade(func(context.Context) wire.Frame {
			return wire.Frame{Kind: wire.Inspect, ID: 1, Body: make([]byte, 64<<10+1)}
		}),
		"a frame came that nothing had allowed: Inspect",
	},
	{"Start twice", func(ctx context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
		write(frame(wire.Frame{Kind: wire.Start, ID: multiprolab.TaskFrom(ctx).ID}))
		return "", nil
	}, "twice"},
	{
		"credit that it never had",
		just(frame(wire.Frame{Kind: wire.Credit, Number: 1 << 40})),
		"credit for more than it was sent",
	},
	{
		"credit that overflows",
		just(frame(wire.Frame{Kind: wire.Credit, Number: 1<<64 - 1})),
		"credit for more than it was sent",
	},
	{
		"messages taken that it never got",
		just(frame(wire.Frame{Kind: wire.Credit, More: 1 << 40})),
		"credit for more than it was sent",
	},
	{"more than its window", func(_ context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
		f := message
		f.To, f.Body = "sleeper/0", make([]byte, 1000) // who takes none of them
		write(bytes.Repeat(frame(f), 200))
		return "", nil
	}, "with a window of"},
	{
		"definitions under a wrong id",
		just(frame(wire.Frame{Kind: wire.Defs, Defs: 4711, Body: []byte("\x03\x00abc")})),
		"an id that is not theirs",
	},
	{"endless definitions", func(_ context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
		for i := range 5000 {
			body := fmt.Appendf([]byte("\x01\x00x"), "%d", i)
			write(frame(wire.Frame{Kind: wire.Defs, Defs: definitionsID(body), Body: body}))
		}
		return "", nil
	}, "more type definitions"},
	{"a message with headers that are none", just(frame(wire.Frame{Kind: wire.Message, To: "main", Type: "note", Header: "\xff"})),
		"headers are cut short"},
	{"a task with headers that are too long", justMade(func(context.Context) wire.Frame {
		return wire.Frame{Kind: wire.Submit, ID: 1, Type: "double", Header: strings.Repeat("x", 9<<10)}
	}), "headers are too long"},
	{
		"a task with options that are none",
		just(frame(wire.Frame{Kind: wire.Submit, ID: 1, Type: "double", Meta: "{"})),
		"options of a task cannot be read",
	},

	{"a result for a task of others", onTask(-1, wire.Frame{Kind: wire.Result, Encoding: 2, Body: []byte("forged")}),
		"ended a task"},
	{"a start of a task of others", onTask(-1, wire.Frame{Kind: wire.Start}), "started a task"},
	{"a checkpoint of a task of others", onTask(-1, wire.Frame{Kind: wire.Checkpoint, Encoding: 2}), "saved a checkpoint of a task"},
	{"a checkpoint that is too large", justMade(func(ctx context.Context) wire.Frame {
		return wire.Frame{Kind: wire.Checkpoint, ID: multiprolab.TaskFrom(ctx).ID, Encoding: 1,
			Body: make([]byte, multiprolab.MaxCheckpoint+1)}
	}), "65536 are allowed"},
	{"checkpoints without end", func(ctx context.Context, w *multiprolab.Worker, write func([]byte)) (string, error) {
		if _, err := multiprolab.Call[int](ctx, w, "lab/0", "call-pid", nil); err != nil { // main has read the Start
			return "", err
		}
		f := frame(wire.Frame{Kind: wire.Checkpoint, ID: multiprolab.TaskFrom(ctx).ID, Encoding: 1, Body: make([]byte, 60000)})
		for range 2000 { // 120 MB, of which main keeps the last
			write(f)
		}
		return "its own result", nil
	}, ""},
	{"a task of others given back", onTask(-1, wire.Frame{Kind: wire.Returned}), "gave back a task"},
	{"its own task given back", onTask(0, wire.Frame{Kind: wire.Returned}), "which it was not asked for"},
	{"a split of what is no batch", onTask(0, wire.Frame{Kind: wire.Split, More: 1}), "which it was not asked to"},
	{"a fetch of types that it has not declared", just(frame(wire.Frame{Kind: wire.Fetch, ID: 9, Meta: ",\xff,"})),
		"has declared 0 in PullTasks"},
	{"a task without a number", just(frame(wire.Frame{Kind: wire.Submit, Type: "double", Flags: wire.FlagWait})),
		"under the number 0"},
	{"what may be said late", func(ctx context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
		for id := range multiprolab.TaskFrom(ctx).ID {
			write(frame(wire.Frame{Kind: wire.Progress, ID: id, Type: "attack", Encoding: 2, Body: []byte("forged")}))
		}
		return "its own result", nil
	}, ""},
	{
		"a reply to a call never made",
		just(frame(wire.Frame{Kind: wire.Reply, ID: 4711, Encoding: 2, Body: []byte("forged")})),
		"replied to call 4711",
	},
	{
		"a reply to a call that it will be sent",
		just(frame(wire.Frame{Kind: wire.Reply, ID: 1, Encoding: 2, Body: []byte("forged")})),
		"replied to call 1",
	},
	{
		"the cancellation of a task that it has not submitted",
		just(frame(wire.Frame{Kind: wire.Cancel, Type: "task", ID: 1})),
		"nothing had allowed: Cancel",
	},
	{
		"the cancellation of a call that it has not made",
		just(frame(wire.Frame{Kind: wire.Cancel, Type: "call", ID: 1})),
		"nothing had allowed: Cancel",
	},
	{
		"the cancellation of a fetch that it has not made",
		just(frame(wire.Frame{Kind: wire.FetchCancel, ID: 1})),
		"nothing had allowed: FetchCancel",
	},
	{
		"a report of a message that it was not sent",
		just(frame(wire.Frame{Kind: wire.Undelivered, More: 1, Meta: "x"})),
		"nothing had allowed: Undelivered",
	},
	{
		"a failure of a message that it was not sent",
		just(frame(wire.Frame{Kind: wire.Failed, More: 1})),
		"nothing had allowed: Failed",
	},
	{
		"a sign of life that nobody has asked for",
		just(frame(wire.Frame{Kind: wire.Beat, More: 1 << 40})),
		"nothing had allowed: Beat",
	},
	{"a sign of life without a number", just(frame(wire.Frame{Kind: wire.Beat})), "nothing had allowed: Beat"},
	{"stacks that nobody has asked for", just(frame(wire.Frame{Kind: wire.Stacks})), "nothing had allowed: Stacks"},
	{
		"two exit values",
		just(bytes.Repeat(frame(wire.Frame{Kind: wire.ExitValue}), 2)),
		"nothing had allowed: ExitValue",
	},
	{"credit for nothing", just(frame(wire.Frame{Kind: wire.Credit})), "or for nothing"},
	{
		"a call to several",
		just(frame(wire.Frame{Kind: wire.Call, ID: 1 << 40, Flags: wire.FlagBroadcast, To: "lab", Type: "call-pid"})),
		"a call to several",
	},
	{
		"a call with a chain of no sense",
		just(frame(wire.Frame{Kind: wire.Call, ID: 1 << 40, To: "lab/0", Type: "x", Meta: "main,<"})),
		"in the names of the processes that wait",
	},
	{
		"a call with an endless chain",
		just(
			frame(
				wire.Frame{Kind: wire.Call, ID: 1 << 40, To: "lab/0", Type: "x", Meta: strings.Repeat("main,", 1000)},
			),
		),
		"that wait for each other are more than",
	},
	{
		"a task with an endless chain",
		justMade(func(context.Context) wire.Frame {
			return wire.Frame{Kind: wire.Submit, ID: 1 << 40, Type: "double",
				Meta: multiprolab.OptionsWith(strings.Repeat("<", 60000))}
		}),
		"options of a task make no sense",
	},
	{
		"a call made twice",
		just(bytes.Repeat(frame(wire.Frame{Kind: wire.Call, ID: 1 << 40, To: "sleeper/0", Type: "x"}), 2)),
		"made call 1099511627776 again",
	},
	{
		"meta that it has no credit for",
		func(_ context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
			f := message
			f.To, f.Meta = "sleeper/0", strings.Repeat("x", 60000)
			write(bytes.Repeat(frame(f), 10))
			return "", nil
		},
		"with a window of",
	},
	{
		"a message with a forged sender",
		func(_ context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
			f := message
			f.From = "main"
			write(frame(f))
			return "", nil
		},
		"?",
	},
	{
		"messages to nobody, of no type, and of no sense",
		func(_ context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
			for _, to := range []string{"", "nobody", "\xff\x00", "lab/99", "main/0", "lab/", "/", "lab/-1"} {
				for _, typ := range []string{"", "\n", "note"} {
					for _, kind := range []wire.Kind{wire.Message, wire.Call} {
						write(frame(wire.Frame{Kind: kind, ID: 9, To: to, Type: typ, Meta: ",,,"}))
					}
				}
			}
			write(frame(wire.Frame{Kind: wire.Message, Flags: wire.FlagBroadcast, To: "nobody", Type: "x"}))
			write(frame(wire.Frame{Kind: wire.Submit, ID: 9, Type: "\x00"}))
			return "", nil
		},
		"",
	},
	{
		"bodies of no sense to main's handler",
		func(_ context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
			for encoding := range 7 {
				for _, body := range []string{"", "\x00", "\xff\xff\xff\xff", "\x02\x00ab\xf8\x7f\xff\xff\xff\xff\xff\xff\xff", "\x07\xff\x82\x01\x01\x00"} {
					write(
						frame(
							wire.Frame{
								Kind:     wire.Message,
								To:       "main",
								Type:     "point",
								Encoding: uint8(encoding),
								Defs:     12345,
								Body:     []byte(body),
							},
						),
					)
				}
			}
			return "", nil
		},
		"",
	},
	{"half a frame, and the end", func(_ context.Context, _ *multiprolab.Worker, write func([]byte)) (string, error) {
		write(frame(message)[:20])
		os.Exit(0)
		return "", nil
	}, "in the middle of a message"},
}

// definitionsID is the id that the codec makes of definitions: see codec.Define.
func definitionsID(blob []byte) uint64 {
	sum := sha256.Sum256(blob)
	return max(binary.LittleEndian.Uint64(sum[:]), 1)
}

// The worker that attacks.
var _ = worker("hostile", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "attack", func(ctx context.Context, name string) (string, error) {
		for _, a := range attacks {
			if a.name == name {
				_, out := proc.Wire()
				got, err := a.run(ctx, w, func(b []byte) { _, _ = out.Write(b) })
				if a.reason != "" && a.reason != "?" {
					<-ctx.Done() // until it is killed
				}
				return got, err
			}
		}
		return "", errors.New("no such attack")
	})
	multiprolab.HandleTask(w, "two-results", func(ctx context.Context, _ struct{}) (string, error) {
		_, out := proc.Wire()
		id := multiprolab.TaskFrom(ctx).ID
		said := frame(wire.Frame{Kind: wire.Start, ID: id})
		lie := wire.Frame{Kind: wire.Result, ID: id, Flags: wire.FlagError, Body: []byte("no JSON")}
		_, err := out.Write(append(said, frame(lie)...))
		return "what the library says of the task now is the second word", err
	})
	multiprolab.HandleTask(w, "attacker-life", func(context.Context, struct{}) (int, error) { return w.Life(), nil })
	// bad reply answers its call before it returns, with what is no answer. It is the first call of
	// the worker.
	multiprolab.HandleCall(w, "bad-reply", func(context.Context, struct{}) (string, error) {
		_, out := proc.Wire()
		_, err := out.Write(
			frame(wire.Frame{Kind: wire.Reply, ID: 1, Encoding: 4, Defs: 4711, Body: []byte("\x03\x04\x00\x02")}),
		)
		return "the second answer", err
	})
	return nil
})

// The worker that takes nothing for as long as it is told to.
var _ = worker("sleeper", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(w, "sleep", func(ctx context.Context, _ struct{}) error {
		_, err := multiprolab.Call[struct{}](context.WithoutCancel(ctx), w, "main", "wake me", nil)
		return err
	})
	multiprolab.HandleTask(w, "sleep-task", func(ctx context.Context, _ struct{}) (string, error) {
		if err := multiprolab.Send(ctx, w, "main", "blocked", w.Name()); err != nil {
			return "", err
		}
		select {
		case <-ctx.Done():
		case <-time.After(patience):
		}
		return "slept", nil
	})
	return nil
})

// A worker that breaks the wire dies alone, with the reason; main and the others go on.
func TestHostileWorkers(t *testing.T) {
	l := newLab(
		t,
		&multiprolab.Config{Window: 64 << 10, MaxMessageSize: 2 << 20},
		pool{
			"hostile",
			&multiprolab.WorkerConfig{
				RestartLimit:    multiprolab.RestartLimit{Restarts: 1000},
				RestartDelay:    time.Millisecond,
				RestartMaxDelay: time.Millisecond,
			},
		},
		workers("lab", 2),
		workers("sleeper", 1),
	)
	entered := make(chan string, 10)
	multiprolab.Handle(l, "blocked", func(_ context.Context, who string) error { entered <- who; return nil })
	var senders notes
	multiprolab.Handle(l, "note", func(ctx context.Context, _ string) error {
		senders.add(multiprolab.MessageFrom(ctx).Sender)
		return nil
	})
	multiprolab.Handle(l, "point", func(context.Context, point) error { return nil })
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	ctx := bounded(t)
	pids := func() []int {
		var all []int
		for i := range 2 {
			pid, err := multiprolab.Call[int](ctx, l, fmt.Sprint("lab/", i), "call-pid", nil)
			require.NoError(t, err)
			all = append(all, pid)
		}
		return all
	}
	bystanders := pids()
	// A task of an innocent worker runs the whole time.
	slept, err := multiprolab.Submit[string](ctx, l, "sleep-task", nil, nil)
	require.NoError(t, err)
	await(t, entered, "the sleeper to sleep")
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			life, err := multiprolab.Do[int](bounded(t), l, "attacker-life", nil)
			require.NoError(t, err)
			_, err = multiprolab.Do[string](bounded(t), l, "attack", a.name)
			var died *multiprolab.WorkerDiedError
			switch {
			case a.reason == "":
				require.NoError(t, err)
			case errors.As(err, &died):
				require.Equal(t, "hostile/0", died.Worker)
				require.Equal(t, life, died.Life)
				if a.reason != "?" {
					require.Contains(t, died.Reason, a.reason)
				}
				require.NotEmpty(t, died.Reason)
				require.Contains(t, err.Error(), died.Reason)
				require.Contains(t, died.During, "attack")
			default:
				require.Equal(t, "?", a.reason, "%v", err)
			}
			require.Equal(t, bystanders, pids())
			got, err := multiprolab.Do[int](bounded(t), l, "double", 21)
			require.NoError(t, err)
			require.Equal(t, 42, got)
			next, err := multiprolab.Do[int](bounded(t), l, "attacker-life", nil)
			require.NoError(t, err)
			if died != nil {
				require.Equal(t, life+1, next)
			} else {
				require.Equal(t, life, next)
			}
			select {
			case <-slept.Done():
				require.Fail(t, "an innocent task has an outcome")
			default:
			}
		})
	}
	eventually(t, "the messages that were sent", func() bool { return senders.len() > 0 })
	for _, s := range senders.all() {
		require.Equal(t, "hostile/0", s, "the name of a sender is main's to give")
	}
	slept.Cancel()
	_, err = slept.Wait(ctx)
	require.ErrorIs(t, err, multiprolab.ErrCancelled)
	require.NoError(t, l.Close())
	for _, e := range eventsOf[*multiprolab.WorkerFailed](l) {
		require.True(t, strings.HasPrefix(e.Worker, "hostile/"), "%+v", e)
	}
}

// A reply that cannot be decoded is the error of its caller alone, and the second reply to a call
// is dropped.
func TestHostileReply(t *testing.T) {
	l := startLab(t, nil, workers("hostile", 1), workers("lab", 1))
	_, err := l.Tasks().Submit(bounded(t), "attacker-life", nil, nil)
	require.NoError(t, err)
	got, err := "", l.Router().Call(bounded(t), "hostile", "bad-reply", nil, new(string))
	require.Error(t, err, "%q", got)
	require.NotContains(t, err.Error(), "the second answer")
	text, err := multiprolab.Call[string](bounded(t), l, "lab", "call-echo", "fine")
	require.NoError(t, err)
	require.Equal(t, "fine", text)
}

// A result of no sense is the error of its task alone; what is said of the task behind it ends the
// worker.
func TestHostileResult(t *testing.T) {
	l := startLab(t, nil, workers("hostile", 1), workers("lab", 1))
	got, err := multiprolab.Do[string](bounded(t), l, "two-results", nil)
	require.Error(t, err, "%q", got)
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, waitEvent[*multiprolab.WorkerFailed](t, l, nil).Err, &died)
	require.Contains(t, died.Reason, "that it does not have")
	life, err := multiprolab.Do[int](bounded(t), l, "attacker-life", nil)
	require.NoError(t, err)
	require.Equal(t, 2, life)
}
