package life

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// dummy is a body that does what a test says. It notes what is asked of it.
type dummy struct {
	ended chan struct{}

	mu      sync.Mutex
	did     []string
	stopper string
	status  proc.Status
	raced   bool
	box     []byte
	onQuit  func()
	onKill  func()
	onClose func()
}

func newDummy() *dummy { return &dummy{ended: make(chan struct{})} }

func (d *dummy) note(what string, then func()) {
	d.mu.Lock()
	d.did = append(d.did, what)
	d.mu.Unlock()
	if then != nil {
		then()
	}
}

// asked is what was asked of it so far.
func (d *dummy) asked() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.did, " ")
}

func (d *dummy) PID() int               { return 7 }
func (d *dummy) Done() <-chan struct{}  { return d.ended }
func (d *dummy) Status() proc.Status    { return d.status }
func (d *dummy) Terminate()             { d.note("terminate", nil) }
func (d *dummy) Quit()                  { d.note("quit", d.onQuit) }
func (d *dummy) Kill()                  { d.note("kill", d.onKill) }
func (d *dummy) Raced(proc.Status) bool { return d.raced }
func (d *dummy) Stopped() string        { return d.stopper }
func (d *dummy) Stderr() string         { return "last words" }
func (d *dummy) Tail() string           { return "last words" }
func (d *dummy) Close()                 { d.note("close", d.onClose) }

func (d *dummy) Box() *io.SectionReader {
	if d.box == nil {
		return nil
	}
	return io.NewSectionReader(bytes.NewReader(d.box), 0, int64(len(d.box)))
}

// played is a life with a dummy for a body. Its worker is the test.
type played struct {
	*Life
	body *dummy
	in   *io.PipeWriter // what the worker writes
	out  *bytes.Buffer  // what main has written
	took []wire.Kind    // frames that are not about the life
}

// play begins a life whose wire is not read yet.
func play(o Options) *played {
	if o.Ready == nil {
		o.Ready = func(*Readiness) error { return nil }
	}
	r, in := io.Pipe()
	p := &played{body: newDummy(), in: in, out: new(bytes.Buffer)}
	p.body.onClose = func() { _ = r.Close() }
	l := link.New(&codec.Codec{}, r, p.out, link.Options{Fail: func(err error) { p.Fail(err) }})
	p.Life = New(p.body, l, o)
	return p
}

// handle is a handler of its frames.
func (p *played) handle(f *wire.Frame) (bool, error) {
	mine, err := p.Take(f)
	if !mine {
		p.took = append(p.took, f.Kind)
	}
	return false, err
}

// heard are the kinds of the frames that main has written.
func (p *played) heard(t *testing.T) (kinds []wire.Kind) {
	t.Helper()
	require.NoError(t, p.link.Flush())
	r := wire.NewReader(bytes.NewReader(p.out.Bytes()), 0)
	for {
		var f wire.Frame
		if err := r.Next(&f); err == io.EOF {
			return kinds
		} else {
			require.NoError(t, err)
		}
		kinds = append(kinds, f.Kind)
	}
}

// end has the body end with nothing left of it.
func (p *played) end() { close(p.body.ended) }

func packed(kind wire.Kind, v pack.Packed) *wire.Frame {
	return &wire.Frame{Kind: kind, Body: pack.Marshal(v)}
}

// The frames by which a worker comes to a state, and others.
var (
	someHello = packed(wire.Hello, &Hello{Identity: "us"})
	someReady = packed(wire.Ready, &Readiness{Tasks: []string{"t"}})
	someBye   = packed(wire.Bye, &Farewell{})
	someMail  = &wire.Frame{Kind: wire.Message, Type: "m"}
)

// A worker says hello first and once, ready after that and once, and nothing after goodbye; one of
// another binary says hello and nothing more. Everything else may come at any time in between, and
// is not the life's.
func TestFramesComeInTheirTurn(t *testing.T) {
	states := map[string][]*wire.Frame{
		"new":     {},
		"foreign": {packed(wire.Hello, &Hello{Identity: "others"})},
		"hello":   {someHello},
		"ready":   {someHello, someReady},
		"bye":     {someHello, someReady, someBye},
		"quitter": {someHello, someBye},
	}
	for _, c := range []struct {
		frame *wire.Frame
		mine  bool
		turns string // the states in which it may come
	}{
		{someHello, true, "new"}, {someReady, true, "hello"}, {someBye, true, "hello ready"},
		{someMail, false, "hello ready"}, {&wire.Frame{Kind: wire.Result}, false, "hello ready"},
		{&wire.Frame{Kind: wire.ExitValue}, true, "hello ready"},
	} {
		for state, before := range states {
			p := play(Options{Identity: "us"})
			for _, f := range before {
				_, err := p.Take(f)
				require.NoError(t, err)
			}
			mine, err := p.Take(c.frame)
			if slices.Contains(strings.Fields(c.turns), state) {
				require.NoError(t, err, "%v in state %s", c.frame.Kind, state)
				require.Equal(t, c.mine, mine)
				continue
			}
			var lie *link.Violation
			require.ErrorAs(t, err, &lie, "%v in state %s", c.frame.Kind, state)
			require.True(t, mine)
		}
	}
}

// What cannot be read, what nothing has asked for, and what the config rules out is a lie.
func TestLies(t *testing.T) {
	begun := func(o Options) *played {
		p := play(o)
		_, err := p.Take(packed(wire.Hello, &Hello{}))
		require.NoError(t, err)
		return p
	}
	lies := func(p *played, f *wire.Frame) {
		t.Helper()
		mine, err := p.Take(f)
		var lie *link.Violation
		require.ErrorAs(t, err, &lie)
		require.True(t, mine)
	}
	is := func(p *played, f *wire.Frame) {
		t.Helper()
		_, err := p.Take(f)
		require.NoError(t, err)
	}
	lies(play(Options{}), &wire.Frame{Kind: wire.Hello, Body: []byte("x")})
	lies(begun(Options{}), &wire.Frame{Kind: wire.Ready, Body: []byte("x")})
	lies(begun(Options{}), &wire.Frame{Kind: wire.Bye, Body: []byte("xyz")})

	p := begun(Options{})
	lies(p, wire.NewBeat(1, "", 0))
	p.AskForBeat()
	p.AskForBeat()
	p.AskForBeat()
	is(p, wire.NewBeat(2, "task", time.Second))
	require.Equal(t, &Beat{Running: "task", Since: time.Second, number: 2}, p.LastBeat())
	lies(p, wire.NewBeat(2, "", 0))
	lies(p, wire.NewBeat(1, "", 0))
	lies(p, wire.NewBeat(4, "", 0))
	is(p, wire.NewBeat(3, strings.Repeat("x", 2*maxRunning), 0))
	require.Len(t, p.LastBeat().Running, maxRunning)

	p = begun(Options{})
	lies(p, &wire.Frame{Kind: wire.Stacks})
	p = begun(Options{})
	p.AskForStacks()
	require.Empty(t, p.Stacks())
	is(p, &wire.Frame{Kind: wire.Stacks, Body: make([]byte, 2*MaxStacks)})
	require.Len(t, p.Stacks(), MaxStacks)
	lies(p, &wire.Frame{Kind: wire.Stacks})

	p = begun(Options{})
	require.Nil(t, p.ExitValue())
	value := &wire.Frame{Kind: wire.ExitValue, Body: []byte("v")}
	is(p, value)
	require.Equal(t, value, p.ExitValue())
	lies(p, value)

	lies(begun(Options{}), wire.NewOverdue("call", time.Second))
	p = begun(Options{HandlerTimeout: time.Second})
	is(p, wire.NewOverdue("call", 2*time.Second))
	is(p, wire.NewOverdue("another", 3*time.Second)) // the first is enough
	require.Equal(t, &Hang{Beat: Beat{Running: "call", Since: 2 * time.Second}, Limit: time.Second}, <-p.hangs)
}

// The supervisor hears what the worker says at its start, or why it does not.
func TestStart(t *testing.T) {
	const d = time.Minute
	tell := func(p *played, frames ...*wire.Frame) {
		for _, f := range frames {
			_, err := p.Take(f)
			require.NoError(t, err)
		}
	}
	for name, c := range map[string]struct {
		do           func(p *played, cancel func())
		hello, ready Answer
		failure      string
	}{
		"comes":    {func(p *played, _ func()) { tell(p, someHello, someReady) }, Came, Came, ""},
		"fails":    {func(p *played, _ func()) { tell(p, someHello, packed(wire.Ready, &Readiness{Failure: "no"})) }, Came, Came, "no"},
		"foreign":  {func(p *played, _ func()) { tell(p, packed(wire.Hello, &Hello{})) }, CameForeign, Late, ""},
		"silent":   {func(p *played, _ func()) {}, Late, Late, ""},
		"sets up":  {func(p *played, _ func()) { tell(p, someHello) }, Came, Late, ""},
		"cancel":   {func(p *played, cancel func()) { cancel() }, Cancelled, Cancelled, ""},
		"dies":     {func(p *played, _ func()) { p.Conversed(io.EOF) }, Ended, Ended, ""},
		"at once":  {func(p *played, _ func()) { tell(p, someHello, someReady); p.Conversed(io.EOF) }, Came, Came, ""},
		"in setup": {func(p *played, _ func()) { tell(p, someHello); p.Conversed(io.EOF) }, Came, Ended, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var entered []string
				p := play(Options{Identity: "us", Ready: func(r *Readiness) error { entered = r.Tasks; return nil }})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				c.do(p, cancel)
				require.Equal(t, c.hello, p.Hello(ctx, d))
				failure, how := p.Ready(ctx, d)
				require.Equal(t, c.ready, how)
				require.Equal(t, c.failure, failure)
				if how == Came && failure == "" {
					require.Equal(t, []string{"t"}, entered)
				} else {
					require.Nil(t, entered)
				}
			})
		})
	}
	t.Run("refused", func(t *testing.T) {
		no := errors.New("no")
		p := play(Options{Identity: "us", Ready: func(*Readiness) error { return no }})
		tell(p, someHello)
		_, err := p.Take(someReady)
		require.Equal(t, no, err)
		require.Empty(t, p.ready)
	})
}

// The welcome crosses the wire as it is.
func TestWelcome(t *testing.T) {
	p := play(Options{})
	want := Welcome{Identity: "us", Pools: Pools{"a": 1, "b": 2}, MaxBody: 3, Window: 4, Credit: -5, MemoryLimit: 6,
		MaxRSS: 7, Teardown: 8, Limits: proc.Limits{OpenFiles: 9, CPUs: []int{1, 2}}, HandlerTimeout: 10}
	p.Welcome(want)
	require.NoError(t, p.link.Flush())
	var f wire.Frame
	require.NoError(t, wire.NewReader(p.out, 0).Next(&f))
	require.Equal(t, wire.Welcome, f.Kind)
	var got Welcome
	require.NoError(t, Unpack(&f, &got))
	require.Equal(t, want, got)
}

// A worker that answers no question in a row of three is silent, however late the answers come to
// those before; one that answers each third is not.
func TestPulse(t *testing.T) {
	const timeout = 30 * time.Second
	synctest.Test(t, func(t *testing.T) {
		p := play(Options{})
		_, err := p.Take(packed(wire.Hello, &Hello{}))
		require.NoError(t, err)
		begun := time.Now()
		pulse := p.NewPulse(timeout)
		defer pulse.Stop()
		for n := uint64(1); n < 20; n += BeatsPerTimeout { // each third question is answered
			_, err := p.Take(wire.NewBeat(n, "task", time.Second))
			require.NoError(t, err)
			for range BeatsPerTimeout {
				<-pulse.tick()
				require.Nil(t, pulse.Beat())
			}
		}
		<-pulse.tick()
		require.Equal(t, &Hang{Beat: *p.LastBeat(), Limit: timeout, Silent: true}, pulse.Beat())
		require.Equal(t, 22*timeout/BeatsPerTimeout, time.Since(begun))
		require.Equal(t, slices.Repeat([]wire.Kind{wire.Beat}, 22), p.heard(t))
	})
	p := play(Options{})
	pulse := p.NewPulse(0)
	defer pulse.Stop()
	require.Nil(t, pulse.tick())
	require.Empty(t, p.heard(t), "it is never asked")
}

// The first reason of a kill stands, with what had stopped the process then. It is planned if it
// came from the end of a task.
func TestFirstReasonStands(t *testing.T) {
	p := play(Options{})
	p.end()
	require.Equal(t, Reason{}, p.Reason())
	p.body.stopper = "SIGSTOP"
	require.Equal(t, "SIGSTOP", p.Blame("first"))
	p.body.stopper = ""
	require.Empty(t, p.Blame("second"))
	p.Kill("third")
	p.KillWithTask("fourth")
	p.Fail(io.ErrClosedPipe)
	require.Equal(t, Reason{Cause: Told, Why: "first", StoppedBy: "SIGSTOP"}, p.Reason())
	require.False(t, p.Planned())
	require.Equal(t, "kill quit kill kill", p.body.asked())

	p = play(Options{})
	p.end()
	p.KillWithTask("first")
	p.Kill("second")
	require.True(t, p.Planned())
	require.Equal(t, Reason{Cause: Told, Why: "first"}, p.Reason())

	p = play(Options{})
	p.Fail(io.ErrClosedPipe)
	require.Equal(t, Reason{Cause: LostWire, Err: io.ErrClosedPipe}, p.Reason())
}

// A worker that hangs has a moment to send its stacks, and another one to print them if it has not.
// One that has fallen silent is not asked.
func TestHungWorkerGivesItsStacks(t *testing.T) {
	const d = time.Second
	overdue := &Hang{Beat: Beat{Running: "call"}, Limit: time.Minute}
	for name, c := range map[string]struct {
		hang   *Hang
		sends  bool
		prints bool
		asked  string
		took   time.Duration
	}{
		"sends":    {hang: overdue, sends: true, asked: "kill"},
		"prints":   {hang: overdue, prints: true, asked: "quit kill", took: d},
		"neither":  {hang: overdue, asked: "quit kill", took: d + quitTimeout},
		"is still": {hang: &Hang{Silent: true}, asked: "quit kill", took: quitTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(Options{})
				_, err := p.Take(packed(wire.Hello, &Hello{}))
				require.NoError(t, err)
				begun := time.Now()
				if c.prints {
					p.body.onQuit = p.end
				}
				done := make(chan struct{})
				go func() { defer close(done); p.KillHung(c.hang, "it hangs", d) }()
				synctest.Wait()
				if c.sends {
					_, err := p.Take(&wire.Frame{Kind: wire.Stacks, Body: []byte("here")})
					require.NoError(t, err)
				}
				<-done
				require.Equal(t, c.took, time.Since(begun))
				require.Equal(t, c.asked, p.body.asked())
				require.Equal(t, !c.hang.Silent, slices.Contains(p.heard(t), wire.Dump))
				if !c.prints {
					p.end()
				}
				p.Conversed(io.EOF)
				p.Drain()
				e := p.Wait()
				require.Equal(t, c.hang, e.Hang)
				require.Equal(t, Reason{Cause: Told, Why: "it hangs"}, e.Reason)
				require.Equal(t, c.sends, e.Stacks == "here")
			})
		})
	}
}

// Frames go to the handler, what comes before the cookie to stray. A worker that breaks the wire is
// killed for that, one whose wire ends is not.
func TestConverse(t *testing.T) {
	for name, c := range map[string]struct {
		after []byte // the message
		cause Cause
		cut   bool
	}{
		"ends":       {nil, Alive, false},
		"is cut off": {wire.Append(nil, someMail)[:5], Alive, true},
		"lies":       {wire.Append(nil, someHello), BrokeWire, false},
		"is garbage": {bytes.Repeat([]byte{0xff}, 4096), BrokeWire, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(Options{Identity: "us"})
				var stray bytes.Buffer
				p.Converse("c00c1e", func(b []byte) { stray.Write(b) }, p.handle)
				text := append([]byte("printed"), 0xc0, 0x0c, 0x1e)
				text = wire.Append(wire.Append(text, someHello), someMail)
				go func() {
					_, _ = p.in.Write(append(text, c.after...))
					_ = p.in.Close()
				}()
				<-p.Read()
				require.Equal(t, "printed", stray.String())
				require.Equal(t, []wire.Kind{wire.Message}, p.took)
				require.Equal(t, c.cause, p.Reason().Cause)
				require.Equal(t, c.cause == BrokeWire, p.body.asked() == "kill")
				p.end()
				p.Drain()
				require.Equal(t, c.cut, p.Wait().Cut)
			})
		})
	}
}

// A worker that closes its end of the wire and lives on is killed after a while.
func TestLingererIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(Options{})
		p.body.onKill = p.end
		p.Conversed(io.EOF)
		begun := time.Now()
		_, ok := p.Drain()
		require.False(t, ok)
		require.Equal(t, lingerTimeout, time.Since(begun))
		require.Equal(t, Lingered, p.Wait().Reason.Cause)
	})
	synctest.Test(t, func(t *testing.T) { // goroutines cannot be killed: it is given up
		p := play(Options{})
		p.Conversed(io.EOF)
		begun := time.Now()
		p.Drain()
		require.Equal(t, 2*lingerTimeout, time.Since(begun))
		require.Equal(t, Lingered, p.Wait().Reason.Cause)
	})
}

// A wire that somebody else holds open when the worker is gone is closed after a moment.
func TestWireThatIsHeldOpenIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(Options{})
		p.Converse("", func([]byte) {}, p.handle)
		p.end()
		begun := time.Now()
		p.Drain()
		require.Equal(t, drainTimeout, time.Since(begun))
		require.Equal(t, "close", p.body.asked())
		require.True(t, goroutine.Closed(p.Read()))
		p.Wait()
		require.True(t, goroutine.Closed(p.wrote))
	})
	synctest.Test(t, func(t *testing.T) { // and if that does not end the reading, it is given up
		p := play(Options{})
		hangUp := p.body.onClose
		p.body.onClose = nil
		p.Converse("", func([]byte) {}, p.handle)
		p.body.box = make([]byte, link.BoxHeader+4096+link.NoteRoom)
		p.end()
		begun := time.Now()
		_, ok := p.Drain()
		require.False(t, ok, "somebody reads still: what is in the box may come by the wire")
		require.Equal(t, 2*drainTimeout, time.Since(begun))
		p.Wait()
		hangUp()
		<-p.Read()
	})
}

// Bodies go through the shared memory once the worker has said that it has it, too.
func TestSharingBeginsWithHello(t *testing.T) {
	memory := make([]byte, proc.SharedSize)
	for _, shares := range []bool{false, true} {
		clear(memory[:1<<10])
		clear(memory[proc.SharedSize/2:][:1<<10])
		p := play(Options{})
		p.link.Share(memory, true, nil)
		_, err := p.Take(packed(wire.Hello, &Hello{Shares: shares}))
		require.NoError(t, err)
		require.Equal(t, Came, p.Hello(t.Context(), time.Minute))
		require.NoError(t, p.link.Post(link.Soon, &wire.Frame{Kind: wire.Message, Body: make([]byte, 1<<20)}))
		require.NoError(t, p.link.Flush())
		require.Equal(t, shares, p.out.Len() < 1<<10, "%d bytes in the pipe", p.out.Len())
	}
}

// The kernel may have taken who has died of SIGKILL, or of nobody knows what, and not by main.
func TestMayBeTheKernel(t *testing.T) {
	killed, unknown := proc.Status{ExitCode: -1, Signal: "SIGKILL"}, proc.Status{ExitCode: -1, Unknown: "u"}
	for _, c := range []struct {
		e    End
		want bool
	}{
		{End{Status: killed}, true}, {End{Status: unknown}, true},
		{End{Status: killed, Reason: Reason{Cause: Told}}, false}, {End{Status: unknown, Reason: Reason{Cause: Lingered}}, false},
		{End{Status: proc.Status{ExitCode: 2}}, false}, {End{Status: proc.Status{ExitCode: -1, Signal: "SIGTERM"}}, false},
	} {
		require.Equal(t, c.want, c.e.mayBeTheKernel(), "%+v", c.e)
	}
}

// What a worker has left in its black box counts: frames are handled, the rest is returned, once.
func TestBlackBoxIsReadOnce(t *testing.T) {
	box := make([]byte, link.BoxHeader+4096+link.NoteRoom)
	worker := link.New(&codec.Codec{}, bytes.NewReader(nil), io.Discard, link.Options{})
	worker.SetBox(box)
	require.NoError(t, worker.Post(link.Quietly, someHello))
	require.NoError(t, worker.Post(link.Quietly, someMail))
	require.NoError(t, worker.Post(link.Quietly, packed(wire.Bye, &Farewell{Failure: "an error"})))
	worker.Mark(8)
	worker.Count(9)
	require.True(t, worker.Note(append(worker.NoteMemory()[:0], "note"...)))

	p := play(Options{Identity: "us"})
	p.Converse("c0", func([]byte) {}, p.handle)
	_, err := p.in.Write([]byte{0xc0})
	require.NoError(t, err)
	require.NoError(t, p.in.Close())
	<-p.Read()
	p.body.box = box
	p.end()
	left, ok := p.Drain()
	require.True(t, ok)
	require.Equal(t, link.Remains{Mark: 8, Count: 9, Note: []byte("note")}, left)
	require.Equal(t, []wire.Kind{wire.Message}, p.took)
	_, ok = p.Drain()
	require.False(t, ok)
	for range 2 {
		e := p.Wait()
		require.True(t, e.Bye)
		require.Equal(t, "an error", e.Failure)
		require.True(t, e.Well())
		require.Empty(t, e.Stderr)
	}

	// The frames of one that has not begun its wire are not.
	p = play(Options{Identity: "us"})
	p.Converse("c0", func([]byte) {}, p.handle)
	require.NoError(t, p.in.Close())
	p.body.box = box
	p.end()
	_, ok = p.Drain()
	require.True(t, ok)
	require.Empty(t, p.took)
	require.False(t, p.Wait().Bye)
}

// A life has ended well if the worker has said so and nobody knows better.
func TestWell(t *testing.T) {
	told := Reason{Cause: Told, Why: "w"}
	for _, c := range []struct {
		e    End
		well bool
	}{
		{End{Bye: true}, true}, {End{}, false},
		{End{Bye: true, Status: proc.Status{ExitCode: 1}}, false},
		{End{Bye: true, Status: proc.Status{ExitCode: 1}, Failure: "f"}, true},
		{End{Bye: true, Status: proc.Status{ExitCode: -1, Unknown: "u"}}, true},
		{End{Bye: true, Status: proc.Status{ExitCode: -1, Signal: "SIGKILL"}}, false},
		{End{Bye: true, Status: proc.Status{ExitCode: -1, Signal: "SIGKILL"}, Failure: "f"}, false},
		{End{Bye: true, Reason: told}, false}, {End{Bye: true, Reason: told, Failure: "f"}, false},
		{End{Bye: true, Raced: true, Status: proc.Status{ExitCode: 66}}, false},
		{End{Bye: true, Raced: true, Status: proc.Status{ExitCode: 66}, Failure: "f"}, true},
		{End{Bye: true, Raced: true, Status: proc.Status{ExitCode: -1, Unknown: "u"}}, false},
	} {
		require.Equal(t, c.well, c.e.Well(), "%+v", c.e)
	}
}

// A death for lack of memory says so, or is a death of the Go runtime close to the limit.
func TestOutOfMemory(t *testing.T) {
	const limit = 100
	inRuntime := "SIGSEGV: segmentation violation\n\ngoroutine 0 [idle]:\nruntime.f()\n"
	for _, c := range []struct {
		stderr, signal string
		peak           int64
		want           bool
	}{
		{"fatal error: runtime: out of memory\n", "", 1, true}, {"runtime: cannot allocate memory\n", "", 1, true},
		{"x: failed to create new OS thread", "", 1, true}, {"pthread_create failed", "", 1, true},
		{"FATAL: ThreadSanitizer failed to allocate", "", 1, true}, {"panic: x\n", "", limit, false},
		{"fatal error: x\n", "", limit, true}, {"fatal error: x\n", "", limit / 2, false},
		{"runtime: x\n", "", limit, true}, {"", "SIGSEGV", limit, true}, {"", "SIGSEGV", 1, false},
		{"", "SIGKILL", limit, false}, {"SIGBUS: x\n", "", limit, true}, {inRuntime, "", 1, true},
		{inRuntime + "signal arrived during cgo execution\n", "", 1, false},
		{"SIGSEGV: x\n\ngoroutine 0 [idle]:\nmain.f()\n", "", 1, false},
	} {
		e := &End{Stderr: c.stderr, Status: proc.Status{Signal: c.signal, MaxRSS: c.peak}}
		require.Equal(t, c.want, e.OutOfMemory(limit), "%+v", c)
	}
}

// BenchmarkTake is what the room costs each frame that is not about the life: no allocation, lock or
// look at a clock.
func BenchmarkTake(b *testing.B) {
	p := play(Options{Identity: "us"})
	if _, err := p.Take(someHello); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if mine, err := p.Take(someMail); mine || err != nil {
			b.Fatal(mine, err)
		}
	}
}
