// Eval evaluates JavaScript of strangers with a limit of 100 ms, in three ways: in a goroutine, in
// a worker process and in WebAssembly, and prints what becomes of some scripts in each.
//
//	cd examples/eval && go run .
//
// The engine is the same everywhere, goja. In a goroutine it can be interrupted, but not in the
// middle of a function that is built in; and what takes all memory ends the program. In a worker
// process the context interrupts it, too, and what does not heed that is killed. In WebAssembly
// (wazero) it is closed wherever it is, has its own memory, and can reach nothing of the system
// that it is not given; but it runs slower, and what is to be guarded must be there for
// WebAssembly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/multiprolab/multiprolab"
)

const (
	never  = 2 * time.Second // the wait for what does not come
	rounds = 20              // how often the time of one evaluation is taken
)

// How a script ended that did not return a value.
var (
	errInterrupted = errors.New("interrupted")
	errClosed      = errors.New("closed")
	errMemory      = errors.New("out of memory, alone")
)

// scripts are the rows of the table. The last one stays at work in the program with goroutines.
var scripts = []struct{ what, source string }{
	{"40 + 2", `40 + 2`},
	{"an endless loop", `for (;;) {}`},
	{"2 GiB of text", `"x".repeat(2 ** 31).length`},
	{"a regular expression", `/^(a+)+\1$/.test("a".repeat(40) + "b")`}, // it would take years
}

func main() { // runs in main, and up to Start in every worker
	limit := flag.Duration("limit", 100*time.Millisecond, "how long a script may take")
	guest := flag.String("guest", "", "the guest, built for WebAssembly; it is built if this is empty")
	flag.Parse()
	app := multiprolab.New(&multiprolab.Config{
		Stderr: io.Discard, // the table tells of deaths
		Logger: slog.New(slog.DiscardHandler),
	})
	app.RegisterWorker("program", program(*limit), &multiprolab.WorkerConfig{Limits: multiprolab.Limits{Memory: 1 << 30}})
	app.RegisterWorker("evaluator", evaluator, &multiprolab.WorkerConfig{Limits: multiprolab.Limits{Memory: maxMemory}})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		log.Fatal(err)
	}
	err := show(ctx, app, *limit, *guest)
	if failed := app.Close(); err == nil {
		err = failed
	}
	if err != nil {
		log.Fatal(err)
	}
}

func show(ctx context.Context, app *multiprolab.Main, limit time.Duration, guest string) error {
	module, err := newWasm(ctx, guest)
	if err != nil {
		return err
	}
	columns := []struct {
		name     string
		evaluate func(source string) (string, error)
	}{
		{"in a goroutine", func(source string) (string, error) {
			return multiprolab.Do[string](ctx, app, "goroutine", source)
		}},
		{"in a process", func(source string) (string, error) { return inProcess(ctx, app, limit, source) }},
		{"in WebAssembly", func(source string) (string, error) { return module.evaluate(ctx, limit, source) }},
	}
	times := []string{
		measure(func() time.Time { // without the way to the program
			begin := time.Now()
			_, _ = inGoroutine(limit, scripts[0].source)
			return begin
		}),
		measure(func() time.Time {
			begin := time.Now()
			_, _ = inProcess(ctx, app, limit, scripts[0].source)
			return begin
		}),
		measure(func() time.Time { // of an instance that is there
			_, _ = module.evaluate(ctx, limit, scripts[0].source)
			return module.began
		}),
	}
	next := []string{"-"} // what goes on for ever leaves no room for a next one

	fmt.Printf("scripts that may take %v\n\n", limit)
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, c := range columns {
		fmt.Fprintf(table, "\t%s", c.name)
	}
	fmt.Fprintln(table)
	for row, s := range scripts {
		fmt.Fprint(table, s.what)
		for i, c := range columns {
			fmt.Fprintf(table, "\t%s", outcome(i == 0, c.evaluate, s.source))
			if row == len(scripts)-1 && i > 0 { // it was ended
				begin := time.Now()
				if _, err := c.evaluate(scripts[0].source); err != nil {
					return err
				}
				next = append(next, time.Since(begin).Round(time.Microsecond).String())
			}
		}
		fmt.Fprintln(table)
	}
	fmt.Fprintf(table, "time of 40 + 2\t%s\n", strings.Join(times, "\t"))
	fmt.Fprintf(table, "in what takes the place of one ended\t%s\n", strings.Join(next, "\t"))
	return table.Flush()
}

// outcome says what became of a script. With all, what ends is the whole program.
func outcome(all bool, evaluate func(string) (string, error), source string) string {
	value, err := evaluate(source)
	var timeout *multiprolab.TimeoutError
	var memory *multiprolab.MemoryLimitError
	var died *multiprolab.WorkerDiedError
	var remote *multiprolab.RemoteError
	switch {
	case err == nil:
		return value
	case errors.As(err, &timeout) && timeout.Killed:
		return "killed"
	case errors.As(err, &timeout):
		return errInterrupted.Error()
	case errors.As(err, &memory) && all:
		return "the program is dead: out of memory"
	case errors.As(err, &memory):
		return errMemory.Error()
	case errors.As(err, &died):
		return "dead: " + err.Error()
	case errors.As(err, &remote) && strings.HasPrefix(remote.Text, errInterrupted.Error()):
		return errInterrupted.Error()
	case errors.As(err, &remote):
		return remote.Text
	}
	return err.Error()
}

// measure returns the median of the times that something takes, which tells when it began.
func measure(f func() time.Time) string {
	var took []time.Duration
	for range rounds {
		took = append(took, time.Since(f()))
	}
	slices.Sort(took)
	return took[rounds/2].Round(time.Microsecond).String()
}
