package life

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// patience bounds every wait. Nothing waits for it unless a test fails.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if role := proc.Current(); role != nil {
		<-proc.Guarded()
		if child, ok := children[role.Path[0]]; ok {
			child(role)
		}
		os.Exit(99) // never to the tests: each would start processes that do the same
	}
	proc.AllowTestBinary()
	goleak.VerifyTestMain(m)
}

// children are what a worker process of these tests does, by the first element of its role's path.
var children = map[string]func(*proc.Role){
	"prints": func(*proc.Role) {
		fmt.Print("one\ntwo")
		fmt.Fprint(os.Stderr, "last words")
		os.Exit(3)
	},
	"panics": func(*proc.Role) {
		fmt.Fprint(os.Stderr, "\r 42%")
		panic("the reason")
	},
	"leaves": func(*proc.Role) {
		_, w := proc.Wire()
		text := append([]byte("printed on the wire"), 0xc0, 0x0c, 0x1e)
		text = wire.Append(text, someHello)
		text = wire.Append(text, someReady)
		text = wire.Append(text, packed(wire.Bye, &Farewell{}))
		_, _ = w.Write(text)
		os.Exit(0)
	},
	"spins": func(*proc.Role) {
		for n := 0; ; n++ {
			_ = n
		}
	},
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// child is a life with a process.
type child struct {
	*Life
	stdout, stderr, stray buffer
}

// startChild starts a process that does one of children. It has ended at the end of the test.
func startChild(t *testing.T, name string) *child {
	t.Helper()
	spawner := proc.NewSpawner()
	t.Cleanup(spawner.Close)
	c := &child{}
	spec := &proc.Spec{
		Role:      proc.Role{Main: "test", Path: []string{name}, Life: 1, Depth: 1, Cookie: "c00c1e"},
		Inherited: append(os.Environ(), "GORACE=atexit_sleep_ms=0"),
	}
	b, err := Start(spawner, spec, Output{
		Stdout:  NewLines("w/0: ", &c.stdout),
		Stderr:  &c.stderr,
		LeftOut: func(int) string { return "left out\n" },
	}, NewKernelKills(proc.NewMemoryGroups()))
	require.NoError(t, err)
	from, to := b.Wire()
	l := link.New(&codec.Codec{}, from, to, link.Options{Fail: func(err error) { c.Fail(err) }})
	c.Life = New(b, l, Options{Identity: "us", Ready: func(*Readiness) error { return nil }})
	c.Converse("c00c1e", func(p []byte) { _, _ = c.stray.Write(p) }, func(f *wire.Frame) (bool, error) {
		_, err := c.Take(f)
		return false, err
	})
	t.Cleanup(func() {
		c.Kill("the test has ended")
		c.end(t)
	})
	return c
}

// end is how the life has ended.
func (c *child) end(t *testing.T) *End {
	t.Helper()
	require.True(t, goroutine.Within(c.Done(), patience), "the process does not end")
	c.Drain()
	return c.Wait()
}

// What a process prints is passed on, and kept as far as it explains its end.
func TestProcessPrints(t *testing.T) {
	c := startChild(t, "prints")
	e := c.end(t)
	require.Equal(t, 3, e.Status.ExitCode)
	require.Equal(t, "last words", e.Stderr)
	require.Equal(t, "last words", c.stderr.String())
	require.Equal(t, "w/0: one\nw/0: two\n", c.stdout.String())
	require.False(t, e.Bye)

	e = startChild(t, "panics").end(t)
	require.Equal(t, 2, e.Status.ExitCode)
	require.True(t, strings.HasPrefix(e.Stderr, "panic: the reason\n\ngoroutine 1 "), "%s", e.Stderr)
}

// A process that says hello, ready and goodbye has ended well.
func TestProcessSaysGoodbye(t *testing.T) {
	c := startChild(t, "leaves")
	require.Equal(t, Came, c.Hello(t.Context(), patience))
	failure, how := c.Ready(t.Context(), patience)
	require.Equal(t, Came, how)
	require.Empty(t, failure)
	e := c.end(t)
	require.True(t, e.Well(), "%+v", e)
	require.Equal(t, "printed on the wire", c.stray.String())
}

// A process that answers nothing is ended with its stacks, as far as the system lets it print them.
func TestProcessIsKilled(t *testing.T) {
	c := startChild(t, "spins")
	c.KillWithStacks("it spins")
	e := c.end(t)
	require.Equal(t, Reason{Cause: Told, Why: "it spins"}, e.Reason)
	require.NotZero(t, e.Status.ExitCode)
	require.Nil(t, e.Kernel, "main has killed it")
}

// A start that fails says why, and leaves nothing.
func TestStartFails(t *testing.T) {
	spawner := proc.NewSpawner()
	defer spawner.Close()
	spec := &proc.Spec{
		Role: proc.Role{Main: "test", Path: []string{"x"}, Life: 1, Depth: 1, Cookie: "c00c1e"},
		Path: "/no/such/program",
	}
	_, err := Start(
		spawner,
		spec,
		Output{Stdout: io.Discard, Stderr: io.Discard},
		NewKernelKills(proc.NewMemoryGroups()),
	)
	require.True(t, errors.Is(err, os.ErrNotExist), "%v", err)
}
