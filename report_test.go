package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

const (
	bar        = "\r 42% [====>    ]" // a line that is not ended
	someStacks = "\n\ngoroutine 1 [running]:\nmain.f(0x1)\n\t/src/main.go:52 +0x1b3\n\ngoroutine 7 [select]:\nmain.g()\n\t/src/main.go:7 +0x1\nexit status 2\n"
)

// The report of the Go runtime is found in what a worker writes, wherever the writes end.
func TestReportIsFound(t *testing.T) {
	long := strings.Repeat("long ", 1<<16)
	for name, c := range map[string]struct{ before, report string }{
		"alone":                         {"", "panic: the reason" + someStacks},
		"after lines":                   {"one\ntwo\n\nthree\n", "panic: the reason" + someStacks},
		"behind an unfinished line":     {"one\n" + bar, "panic: the reason" + someStacks},
		"behind one, of a signal":       {bar, "SIGSEGV: segmentation violation\nPC=0x1 m=0 sigcode=1" + someStacks},
		"behind one, with a signal":     {bar, "panic: the reason\n[signal SIGSEGV: segmentation violation code=0x1]" + someStacks},
		"fatal error":                   {bar, "fatal error: concurrent map writes" + someStacks},
		"two marks":                     {bar, "runtime: out of memory: cannot allocate\nfatal error: out of memory\n\nruntime stack:\nruntime.throw()\n"},
		"after a panic that was logged": {"panic: old\nrecovered panic: older\n\n", "panic: the reason" + someStacks},
		"after one in the paragraph":    {"level=INFO recovered from panic: old\n", "panic: the reason" + someStacks},
		"after one, behind a line":      {"level=INFO recovered from panic: old\n" + bar, "panic: the reason" + someStacks},
		"after one with its stacks":     {"panic: old" + someStacks + "it goes on\n", "panic: the reason" + someStacks},
		"a text with another mark":      {bar, "panic: reading: panic: inner" + someStacks},
		"a text of several lines":       {bar, "panic: the reason\n\tpanic: in a deferred function\n\tfatal error: as text" + someStacks},
		"a text that is long":           {bar, "panic: " + long + someStacks},
		"a text of many lines":          {bar, "panic: " + strings.Repeat("line\n\t", 1<<15) + someStacks},
		"stacks that are long":          {bar, "panic: the reason" + strings.Repeat(someStacks, 2000)},
		"behind a long unfinished line": {long + bar, "panic: the reason" + someStacks},
		"behind much":                   {strings.Repeat(long+"\n", 3) + "\n", "panic: the reason" + someStacks},
		"after Goexit":                  {bar, "multiprolab: runtime.Goexit was called in task \"t\"" + someStacks},
		"behind a beginning of a mark":  {"pani", "panic: the reason" + someStacks},
	} {
		t.Run(name, func(t *testing.T) {
			text := []byte(c.before + c.report)
			check := func(got string) {
				t.Helper()
				if len(c.report) <= 64<<10 {
					require.Equal(t, c.report, got)
					return
				}
				require.Equal(t, c.report[:16<<10], got[:16<<10])
				require.Equal(t, c.report[len(c.report)-48<<10:], got[len(got)-48<<10:])
				require.Contains(
					t,
					got[16<<10:len(got)-48<<10],
					fmt.Sprintf(" %d bytes are left out ", len(c.report)-64<<10),
				)
			}
			check(multiprolab.ReportIn(text))
			if len(text) < 10_000 {
				check(multiprolab.ReportIn(slices.Collect(slices.Chunk(text, 1))...))
			}
			for range 20 {
				var pieces [][]byte
				for rest := text; len(rest) > 0; {
					n := min(len(rest), 1+rand.IntN([]int{8, 80, 1 << 16}[rand.IntN(3)]))
					pieces, rest = append(pieces, rest[:n]), rest[n:]
				}
				check(multiprolab.ReportIn(pieces...))
			}
		})
	}
}

// What only looks like a report is none.
func TestReportIsNotFound(t *testing.T) {
	for _, text := range []string{
		"", "\n\n", "panic: logged\n", "panic: logged\n\nand something else\n", "panic: logged\n\ngoroutin", "panic: logged\ngoroutine 7 [running]:\n",
		"the SIGNAL: green\n\ngoroutine 1 [running]:\n", "SIG: x" + someStacks, "panic : x" + someStacks, someStacks,
	} {
		require.Empty(t, multiprolab.ReportIn([]byte(text)), "%q", text)
	}
}

// The text of an error has the line of stderr that says most.
func TestHeadline(t *testing.T) {
	for _, c := range []struct {
		stderr string
		status int
		want   string
	}{
		{"", 1, ""}, {"\n \r\n", 2, ""}, {"one\ntwo\n", 1, "two"}, {"\r 1%\r 2%\r 3%", 1, "3%"},
		{"panic: the reason" + someStacks, 2, "panic: the reason"}, {"panic: the reason" + someStacks, -1, "panic: the reason"},
		{"panic: \n\tthe reason" + someStacks, 2, "panic: the reason"}, {"panic: reading:\n\tthe reason" + someStacks, 2, "panic: reading: the reason"},
		{"panic: old\nfailed: the reason\n", 1, "failed: the reason"},
		{strings.TrimSuffix(someStacks, "exit status 2\n"), -1, ""}, // of a worker that hung
		{"WARNING: DATA RACE\n  main.f()\n      /src/main.go:52 +0x1b3\n==================\n", 1, ""},
		{strings.Repeat("é", 200), 1, strings.Repeat("é", 150) + " ..."},
	} {
		require.Equal(t, c.want, multiprolab.Headline(c.stderr, c.status), "%q", c.stderr)
	}
}

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
		die:    func() { fmt.Fprint(os.Stderr, bar); debug.SetMaxStack(1 << 16); die("stack overflow") },
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
