package multiprolab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// gate is a door at which handlers in other processes wait until the test opens it: so a test knows
// that a handler runs, in which process, and when it ends. It belongs to the test's process.
type gate struct {
	listener net.Listener
	visitors chan *visitor
	arriving sync.WaitGroup
}

// visitor is a handler that waits at the gate.
type visitor struct {
	label string
	pid   int
	conn  net.Conn
	lost  chan struct{} // closed when the connection has ended: the handler went on, or its process is gone
}

func newGate(t testing.TB) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &gate{listener: l, visitors: make(chan *visitor, 4096)}
	var conns sync.Map
	g.arriving.Go(func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(c, true)
			g.greet(c) // one after the other: visitors come in the order in which they connected
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Range(func(c, _ any) bool {
			_ = c.(net.Conn).Close()
			return true
		})
		g.arriving.Wait()
	})
	return g
}

// greet lets a visitor introduce itself, and has a goroutine note when it is lost.
func (g *gate) greet(c net.Conn) {
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		return // it died on the doorstep
	}
	pid, label, _ := strings.Cut(strings.TrimSpace(line), " ")
	v := &visitor{label: label, conn: c, lost: make(chan struct{})}
	v.pid, _ = strconv.Atoi(pid)
	g.visitors <- v
	g.arriving.Go(func() { // ends with the connection
		_, _ = r.ReadByte()
		close(v.lost)
	})
}

func (g *gate) addr() string { return g.listener.Addr().String() }

// next waits for the next visitor.
func (g *gate) next(t testing.TB) *visitor {
	t.Helper()
	return await(t, g.visitors, "a visitor at the gate")
}

// expect waits for a visitor with the label; nobody else may come before.
func (g *gate) expect(t testing.TB, label string) *visitor {
	t.Helper()
	v := g.next(t)
	require.Equal(t, label, v.label, "the next visitor")
	return v
}

// quiet checks that nobody waits at the gate whom the test has not seen.
func (g *gate) quiet(t testing.TB) {
	t.Helper()
	select {
	case v := <-g.visitors:
		require.FailNow(t, "an unexpected visitor", "%s of process %d", v.label, v.pid)
	default:
	}
}

// tell lets the visitor go on, as its orders say; see visit.
func (v *visitor) tell(orders string) {
	_, _ = fmt.Fprintln(v.conn, orders) // who is gone is not told
}

// visit is the body of what visits the gate.
type visit struct {
	Addr  string
	Label string
}

func (g *gate) visit(label string) visit { return visit{g.addr(), label} }

// wait visits the gate and returns its orders. It does not look at any context, like code that
// cannot be stopped.
func (v visit) wait() (orders string, err error) {
	c, err := net.Dial("tcp", v.Addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return v.talk(c)
}

// waitSoft is wait for a handler that heeds its context.
func (v visit) waitSoft(ctx context.Context) (orders string, err error) {
	c, err := net.Dial("tcp", v.Addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	orders, err = v.talk(c)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return orders, err
}

func (v visit) talk(c net.Conn) (orders string, err error) {
	if _, err := fmt.Fprintf(c, "%d %s\n", os.Getpid(), v.Label); err != nil {
		return "", err
	}
	orders, err = bufio.NewReader(c).ReadString('\n')
	orders = strings.TrimSpace(orders)
	if how, ok := strings.CutPrefix(orders, "die "); ok {
		die(how)
	}
	for n := 0; orders == "spin"; n++ {
		runtime.KeepAlive(n)
	}
	if text, ok := strings.CutPrefix(orders, "fail "); ok {
		return "", errors.New(text)
	}
	return orders, err
}

// The guest visits the gate, and tells about itself.
var _ = worker("guest", guest)

// gateVar is the environment variable with the address of a gate that the guest visits when it is
// told to exit.
const gateVar = "MULTIPROLAB_TEST_GATE"

func guest(ctx context.Context, w *multiprolab.Worker) error {
	if addr := os.Getenv(gateVar); addr != "" {
		context.AfterFunc(ctx, func() { _, _ = visit{addr, "exit"}.wait() }) // its goroutine ends with the process
	}
	multiprolab.HandleTask(w, "visit", func(_ context.Context, v visit) (string, error) { return v.wait() })
	multiprolab.HandleTask(
		w,
		"visit-soft",
		func(ctx context.Context, v visit) (string, error) { return v.waitSoft(ctx) },
	)
	multiprolab.HandleCall(w, "visit-call", func(_ context.Context, v visit) (string, error) { return v.wait() })
	multiprolab.Handle(w, "visit-message", func(_ context.Context, v visit) error { _, err := v.wait(); return err })
	// stray leaves a goroutine behind that visits the gate and panics when told to.
	multiprolab.HandleTask(w, "stray", func(_ context.Context, v visit) (int, error) {
		go func() {
			if orders, err := v.wait(); err == nil && orders == "panic" {
				panic("a stray goroutine panics")
			}
		}()
		return os.Getpid(), nil
	})
	multiprolab.HandleTask(w, "wait", func(ctx context.Context, _ struct{}) (string, error) {
		<-ctx.Done()
		return "", context.Cause(ctx)
	})
	// cause heeds its context, visits the gate again with what it learnt, and only then returns a
	// result that is too late.
	multiprolab.HandleTask(w, "cause", func(ctx context.Context, v visit) (string, error) {
		if orders, err := v.waitSoft(ctx); err == nil {
			return orders, nil
		}
		cause := context.Cause(ctx)
		v.Label = fmt.Sprintf(
			"cancelled %v, deadline %v",
			errors.Is(cause, multiprolab.ErrCancelled),
			errors.Is(cause, context.DeadlineExceeded),
		)
		return v.wait()
	})
	spin := func() {
		for n := 0; ; n++ {
			runtime.KeepAlive(n)
		}
	}
	multiprolab.HandleTask(w, "guest-spin", func(context.Context, struct{}) (int, error) { spin(); return 0, nil })
	// guest-spin-everywhere leaves the Go scheduler no processor, unless it takes one from a
	// goroutine.
	multiprolab.HandleTask(w, "guest-spin-everywhere", func(context.Context, struct{}) (int, error) {
		for range runtime.GOMAXPROCS(0) {
			go spin() // ends with the process
		}
		spin()
		return 0, nil
	})
	multiprolab.HandleTask(
		w,
		"who",
		func(ctx context.Context, _ struct{}) (whoami, error) { return whoAmI(ctx, w), nil },
	)
	multiprolab.HandleTask(w, "fill", func(ctx context.Context, n int) ([]byte, error) { return make([]byte, n), nil })
	multiprolab.HandleTask(
		w,
		"guest-die",
		func(ctx context.Context, how string) (int, error) { die(how); return 0, nil },
	)
	multiprolab.HandleCall(w, "guest-call-bytes", func(_ context.Context, b []byte) (int, error) { return len(b), nil })
	multiprolab.Handle(w, "guest-bytes", func(context.Context, []byte) error { return nil })
	return nil
}

// whoami says which process ran a task, and for the how-many-th time.
type whoami struct{ PID, Life, Attempt int }

func whoAmI(ctx context.Context, w *multiprolab.Worker) whoami {
	return whoami{os.Getpid(), w.Life(), multiprolab.TaskFrom(ctx).Attempt}
}

// quickly are the restarts of a test whose workers die on purpose.
func quickly(name string, count int) pool {
	return pool{name, &multiprolab.WorkerConfig{Count: count, RestartLimit: multiprolab.RestartLimit{Restarts: 1000}, RestartDelay: 1, RestartMaxDelay: 1}}
}

// submit submits a task whose result is a string.
func (l *lab) submit(t testing.TB, typ string, body any, o *multiprolab.TaskOptions) *multiprolab.Future[string] {
	t.Helper()
	f, err := multiprolab.Submit[string](bounded(t), l, typ, body, o)
	require.NoError(t, err)
	return f
}

// who runs a task and returns where it ran.
func (l *lab) who(t testing.TB) whoami {
	t.Helper()
	w, err := multiprolab.Do[whoami](bounded(t), l, "who", nil)
	require.NoError(t, err)
	return w
}

// warmTasks are the tasks of warmUp.
const warmTasks = 20

// warmUp shows main how fast a guest is, so that it hands it tasks ahead of time from then on.
func (l *lab) warmUp(t testing.TB) {
	t.Helper()
	for range warmTasks {
		l.who(t)
	}
}

// outcome waits for a task's outcome.
func outcome[R any](t testing.TB, f *multiprolab.Future[R]) (R, error) {
	t.Helper()
	await(t, f.Done(), "the outcome of a task")
	return f.Wait(bounded(t))
}

// holdAll has n workers hold a task at the same time, and returns their pids.
func (g *gate) holdAll(t testing.TB, l *lab, n int) map[int]bool {
	t.Helper()
	pids := map[int]bool{}
	var held []*multiprolab.Future[string]
	for range n {
		held = append(held, l.submit(t, "visit", g.visit("held"), nil))
	}
	var visitors []*visitor
	for range n {
		v := g.expect(t, "held")
		visitors = append(visitors, v)
		pids[v.pid] = true
	}
	require.Len(t, pids, n)
	for _, v := range visitors {
		v.tell("go on")
	}
	for _, f := range held {
		_, err := outcome(t, f)
		require.NoError(t, err)
	}
	return pids
}
