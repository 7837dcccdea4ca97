package multiprolab_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A data race that the race detector finds in a worker makes Run fail, and Wait and Close, however
// the worker ends. It costs nothing else: tasks have their results, planned replacements are none
// that count.
func TestDataRaceInAWorkerFailsRun(t *testing.T) {
	if !raceBuilt {
		t.Skip("go test -race has it: to build the standard library with the race detector takes half a minute")
	}
	path := testProgram(t, true)
	for _, c := range []struct {
		way, options, says string
		races              int
		start              bool
	}{
		{way: "task", says: "exited with status 66", races: 1},
		{way: "task", says: "exited with status 66", races: 1, start: true},
		{way: "at exit", says: "exited with status 66", races: 1},
		{way: "in setup", says: "exited with status 66", races: 1, start: true},
		{way: "loop", says: "exited with status 66", races: 1},
		{way: "with an error", says: "exited with status 1", races: 1},
		{way: "replaced", says: "exited with status 66", races: 1},
		{way: "replaced often", says: "exited with status 66", races: 10},
		{way: "killed", says: "killed by SIGKILL", races: 1},
		{way: "task", options: "exitcode=67", says: "exited with status 67", races: 1},
		{way: "task", options: "log_path=/dev/null", says: "exited with status 66", races: 1},
		{way: "task", options: "exitcode=0", races: 0}, // that is what it asks for
		{way: "clean", races: 0},
	} {
		t.Run(c.way+" "+c.options, func(t *testing.T) {
			args := []string{"race", c.way}
			if c.start {
				args = append(args, "start")
			}
			cmd := exec.CommandContext(bounded(t), path, args...)
			cmd.Env = append(os.Environ(), "RACE_OPTIONS="+c.options)
			b, err := cmd.CombinedOutput()
			out := string(b)
			require.NoError(t, err, out)
			require.NotContains(t, out, "FAIL")
			_, run, ok := strings.Cut(out, "Run: ")
			require.True(t, ok, out)
			require.Equal(t, c.races, strings.Count(run, "the race detector has found a data race in it"), run)
			if c.races == 0 {
				require.Contains(t, run, "<nil>")
				require.NotContains(t, out, "level=ERROR")
				return
			}
			require.Contains(t, run, "multiprolab: worker w/0 (pid ")
			require.Contains(t, run, c.says)
			require.NotContains(t, out, "failed again after", "planned replacements do not count")
			if c.start {
				require.Contains(t, out, "again: true")
			}
		})
	}
}
