package multiprolab_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/multiprolab/multiprolab"
)

// programs are what tests run inside a worker: the task "program", the call "program-call" and the
// message "program-message" of the worker "prog" name one.
var programs = map[string]func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error){}

// program adds one, and returns its name.
func program(name string, run func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error)) string {
	if programs[name] != nil {
		panic("two programs are named " + name)
	}
	programs[name] = run
	return name
}

// order asks the worker "prog" to run a program.
type order struct{ Name, Arg string }

// numbered is a message with its place in the row of its sender.
type numbered struct {
	N   int
	Pad []byte
}

// ledger checks that the messages of each sender come in order, and each once.
type ledger struct {
	mu   sync.Mutex
	next map[string]int
	came map[string]int
	err  error
}

func (l *ledger) take(ctx context.Context, m numbered) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		l.next, l.came = map[string]int{}, map[string]int{}
	}
	from := multiprolab.MessageFrom(ctx).Sender
	l.came[from]++
	if m.N != l.next[from] && l.err == nil {
		l.err = fmt.Errorf("message %d of %s came where %d was due", m.N, from, l.next[from])
	}
	l.next[from] = m.N + 1
	return nil
}

// state returns how many messages came from each sender, or the first mistake in their order.
func (l *ledger) state() (map[string]int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.next), l.err
}

// count returns how many messages came from each sender, in whatever order.
func (l *ledger) count() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.came)
}

// notes gathers texts, for many goroutines.
type notes struct {
	mu   sync.Mutex
	list []string
}

func (n *notes) add(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, s)
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string{}, n.list...)
}

func (n *notes) len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.list)
}

// The workers that run programs, alike.
var (
	_ = worker("prog", runPrograms)
	_ = worker("other", runPrograms)
)

// runPrograms is the setup function of a worker that runs programs, and takes notes and numbered
// messages, too.
func runPrograms(ctx context.Context, w *multiprolab.Worker) error {
	run := func(ctx context.Context, o order) (string, error) {
		if programs[o.Name] == nil {
			return "", fmt.Errorf("no program is named %q", o.Name)
		}
		return programs[o.Name](ctx, w, o.Arg)
	}
	multiprolab.HandleTask(w, "program", run)
	multiprolab.HandleCall(w, "program-call", run)
	multiprolab.Handle(w, "program-message", func(ctx context.Context, o order) error {
		_, err := run(ctx, o)
		return err
	})
	var row ledger
	multiprolab.Handle(w, "numbered", row.take)
	multiprolab.HandleCall(w, "ledger", func(context.Context, struct{}) (map[string]int, error) { return row.state() })
	multiprolab.HandleCall(
		w,
		"count",
		func(context.Context, struct{}) (map[string]int, error) { return row.count(), nil },
	)
	var texts notes
	multiprolab.Handle(w, "note", func(_ context.Context, text string) error { texts.add(text); return nil })
	multiprolab.HandleCall(w, "notes", func(context.Context, struct{}) ([]string, error) { return texts.all(), nil })
	return nil
}

// both runs a test with workers that are processes, and with workers that are goroutines.
func both(t *testing.T, run func(t *testing.T, inProcess bool)) {
	t.Run("processes", func(t *testing.T) { run(t, false) })
	t.Run("goroutines", func(t *testing.T) { run(t, true) })
}

// runProgram runs a program in a worker, as a task.
func runProgram(t testing.TB, l *lab, name, arg string) (string, error) {
	t.Helper()
	return multiprolab.Do[string](bounded(t), l, "program", order{name, arg})
}

// eventsOf returns the events of one type that have come.
func eventsOf[E multiprolab.Event](l *lab) []E {
	var found []E
	for _, e := range l.all() {
		if e, ok := e.(E); ok {
			found = append(found, e)
		}
	}
	return found
}

// cutSpace cuts a text at its first space.
func cutSpace(s string) (first, rest string, ok bool) { return strings.Cut(s, " ") }
