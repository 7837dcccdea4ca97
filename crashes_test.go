package multiprolab_test

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

const (
	firstTrace = "goroutine 7 [running]:\nmain.f(0x1)\n\t/src/main.go:52 +0x1b3\ncreated by main.main in goroutine 1\n\t/src/main.go:7 +0x1\n\n"
	otherTrace = "goroutine 9 gp=0x1 m=nil [select, 2 minutes]:\nmain.g(...)\n\t/src/main.go:9\n...additional frames elided...\nmain.h()\n\t/src/main.go:8 +0x1 fp=0x1 sp=0x2 pc=0x3\n\n"
	registers  = "rax    0x0\nrip    0x467a81\n"
	systemOne  = "runtime stack:\nruntime.throw({0x1?, 0x2?})\n\t/go/panic.go:1 +0x1\n\n"
)

// Of a report of the Go runtime the reason and the first stack of a goroutine are passed on,
// wherever the writes end, and all that the worker has printed itself.
func TestCrashIsCutShort(t *testing.T) {
	others := strings.Repeat(otherTrace, 50)
	for name, c := range map[string]struct {
		stream string
		lives  bool   // the Go runtime has not ended it
		passed string // "": the stream
		cut    bool   // and a line that says so
	}{
		"a panic":                      {stream: "printed\npanic: x\n\n" + firstTrace},
		"a fatal error":                {stream: "fatal error: x\n\n" + firstTrace + others, passed: "fatal error: x\n\n" + firstTrace, cut: true},
		"out of memory":                {stream: "fatal error: x\n\n" + systemOne + firstTrace + others, passed: "fatal error: x\n\n" + systemOne + firstTrace, cut: true},
		"a signal":                     {stream: "SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\n" + firstTrace + others + registers, passed: "SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\n" + firstTrace, cut: true},
		"behind an unfinished line":    {stream: "42%fatal error: x\n\n" + firstTrace + others, passed: "42%fatal error: x\n\n" + firstTrace, cut: true},
		"printed by itself":            {stream: "panic: x\n\n" + firstTrace + others + "it goes on\n", lives: true},
		"printed by itself, at an end": {stream: "panic: x\n\n" + firstTrace + others, lives: true},
		"a call of its own":            {stream: "fatal error: x\n\n" + firstTrace + "done(1)\nand on\n"},
		"without an end of line":       {stream: "fatal error: x\n\n" + firstTrace + "a prompt> "},
		"text among the stacks":        {stream: "fatal error: x\n\n" + firstTrace + otherTrace + "text\n" + others, passed: "fatal error: x\n\n" + firstTrace + otherTrace + "text\n", cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			want := c.passed
			if want == "" {
				want = c.stream
			}
			for _, n := range []int{1, 3, 64, 1 << 20} {
				got := multiprolab.PassedOn(!c.lives, false, slices.Collect(slices.Chunk([]byte(c.stream), n))...)
				rest, ok := strings.CutPrefix(got, want)
				require.True(t, ok, "pieces of %d: %s", n, got)
				require.Equal(
					t,
					c.cut,
					strings.HasPrefix(rest, "multiprolab: ") && strings.Count(rest, "\n") == 1,
					"%q",
					rest,
				)
				require.Equal(t, c.cut, rest != "")
			}
			require.Equal(t, c.stream, multiprolab.PassedOn(!c.lives, true, []byte(c.stream)))
		})
	}
}

var _ = program("crash-with-many", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	for range 60 {
		go func() { select {} }()
	}
	os.Stderr.WriteString("printed by itself\n")
	if arg == "print" {
		os.Stderr.WriteString("panic: only printed\n\n")
		err := pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		os.Stderr.WriteString("it goes on\n")
		return "", err
	}
	debug.SetTraceback("all")
	var mu sync.Mutex
	go mu.Unlock() // the runtime ends the process: fatal error, with all stacks
	select {}
})

// A fatal error of a worker puts the reason and one stack on stderr and into its record; the error
// has them all.
func TestDeathPrintsOneStack(t *testing.T) {
	for _, full := range []bool{false, true} {
		l := startLab(t, &multiprolab.Config{FullCrashes: full}, workers("prog", 1))
		_, err := runProgram(t, l, "crash-with-many", "print")
		require.NoError(t, err)
		eventually(
			t,
			"what it has printed itself",
			func() bool { return strings.Contains(l.stderr.String(), "it goes on\n") },
		)
		require.Greater(t, strings.Count(l.stderr.String(), "\ngoroutine "), 60)
		printed := len(l.stderr.String())
		_, err = runProgram(t, l, "crash-with-many", "")
		var died *multiprolab.WorkerDiedError
		require.ErrorAs(t, err, &died)
		require.Greater(t, strings.Count(died.Stderr, "\ngoroutine "), 60)
		waitEvent[*multiprolab.WorkerFailed](t, l, nil)
		crash := l.stderr.String()[printed:]
		require.Contains(t, crash, "printed by itself\nfatal error: ")
		if full {
			require.Greater(t, strings.Count(crash, "\ngoroutine "), 60)
			continue
		}
		require.Equal(t, 1, strings.Count(crash, "\ngoroutine "), "%s", crash)
		require.Less(t, strings.Count(crash, "\n"), 50)
		records := recordsOf(l, "worker failed")
		require.Len(t, records, 1)
		require.Contains(t, records[0], "fatal error: ")
		require.Contains(t, records[0], `stack="goroutine `)
	}
}
