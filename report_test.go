package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

const bar = "\r 42% [====>    ]" // a line that is not ended

// multiline is an error whose text begins with a line break.
type multiline struct{}

func (multiline) Error() string { return "\nthe reason\nin lines" }

// wordy deaths are those of workers that have written to stderr before.
var wordyDeaths = map[string]struct {
	die    func()
	text   string // in the text of the error
	not    string // there
	stderr string // in its Stderr
}{
	"behind a progress bar": {
		die:    func() { fmt.Fprint(os.Stderr, bar); panic("the reason") },
		text:   ": panic: the reason",
		not:    "42%",
		stderr: "wordyDeath",
	},
	"nil behind a progress bar": {die: func() { fmt.Fprint(os.Stderr, bar); var p *int; *p = 1 },
		text: ": panic: runtime error: invalid memory address", stderr: "[signal SIGSEGV"},
	"fatal error behind a progress bar": {
		die:    func() { fmt.Fprint(os.Stderr, bar); die("stack overflow") },
		text:   "runtime: goroutine stack exceeds",
		stderr: "fatal error: stack overflow",
	},
	"a long text": {
		die:    func() { panic("the reason is " + strings.Repeat("long ", 1<<18)) },
		text:   ": panic: the reason is long",
		stderr: "left out",
	},
	"a long text in lines": {
		die:    func() { panic("the reason\n" + strings.Repeat("and\n", 1<<18)) },
		text:   ": panic: the reason",
		stderr: "left out",
	},
	"many goroutines": {die: func() {
		debug.SetTraceback("all")
		for range 2000 {
			go func() { select {} }()
		}
		panic("the reason")
	}, text: ": panic: the reason", stderr: "left out"},
	"a text that begins with a line break": {
		die:    func() { panic(multiline{}) },
		text:   ": panic: the reason",
		stderr: "in lines",
	},
	"without stacks": {
		die:  func() { debug.SetTraceback("none"); panic("the reason") },
		text: ": panic: the reason",
	},
	"without stacks behind a bar": {
		die:  func() { fmt.Fprint(os.Stderr, bar); debug.SetTraceback("none"); panic("the reason") },
		text: "panic: the reason",
	},
	"after one that was recovered": {
		die:  func() { logPanic("an old reason"); panic("the reason") },
		text: ": panic: the reason",
		not:  "old",
	},
	"log.Fatal after one that was recovered": {
		die:    func() { logPanic("an old reason"); log.Fatal("the reason") },
		text:   "the reason",
		not:    "old",
		stderr: "panic: an old reason",
	},
}

// logPanic lives through a panic and logs it, as the runtime would have.
func logPanic(reason string) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n\n%s\n", r, debug.Stack())
		}
	}()
	panic(reason)
}

func wordyDeath(how string) { wordyDeaths[how].die() }

var _ = program("wordy-death", func(_ context.Context, _ *multiprolab.Worker, how string) (string, error) {
	wordyDeath(how)
	return "", errors.New("it lives")
})

// The error of a dead worker says why, whatever the worker has written before, and however long the
// report is.
func TestErrorSaysWhyAWorkerDied(t *testing.T) {
	l := startLab(t, &multiprolab.Config{Stderr: io.Discard, Logger: slog.New(slog.DiscardHandler)}, quickly("prog", 1))
	for how, want := range wordyDeaths {
		t.Run(how, func(t *testing.T) {
			_, err := runProgram(t, l, "wordy-death", how)
			var died *multiprolab.WorkerDiedError
			require.ErrorAs(t, err, &died)
			require.Contains(t, err.Error(), want.text)
			if want.not != "" {
				require.NotContains(t, err.Error(), want.not)
			}
			require.Contains(t, died.Stderr, want.stderr)
			require.Less(t, len(died.Stderr), 65<<10)
		})
	}
}
