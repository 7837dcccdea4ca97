package multiprolab_test

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

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
