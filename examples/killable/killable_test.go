package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	// what the binaries are built of: a cached result of this test ends with a change of it
	_ "github.com/multiprolab/multiprolab"
)

// hanging bounds what would otherwise wait for ever. Nothing takes nearly as long.
const hanging = 3 * time.Minute

var binary string // the program, built by TestMain, with the race detector if this test has it

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "killable")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "killable.exe")
		args := []string{"build", "-ldflags=-w", "-o", binary}
		if info, ok := debug.ReadBuildInfo(); ok &&
			slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
			panic(string(out))
		}
		return m.Run()
	}())
}

// run runs the program to its end, checks that nothing of it is left, and returns its exit code and
// what it printed. With a line it is sent an interrupt once it has printed one that contains it.
func run(t *testing.T, line string) (code int, stdout, stderr string) {
	t.Helper()
	// A cached result ends with a change of these files, too: the go command notes what a test opens.
	_ = filepath.WalkDir(".", func(string, fs.DirEntry, error) error { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), hanging)
	defer cancel()
	// all processes of the run have it in their environment
	mark := fmt.Sprintf("KILLABLE_TEST_RUN=%s/%d", t.Name(), time.Now().UnixNano())
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", mark)
	cmd.WaitDelay = 10 * time.Second // then a process that is left holds its output open, and Wait returns an error
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if line != "" {
		cmd.Stdout = io.MultiWriter(&out, &watcher{text: line, then: func() { _ = cmd.Process.Signal(os.Interrupt) }})
	}
	err := cmd.Run()
	require.NoError(t, ctx.Err(), "the program does not end\nstdout:\n%s\nstderr:\n%s", &out, &errs)
	require.Empty(t, processesWith(t, mark), "processes are left after the end of main")
	if err != nil {
		require.IsType(t, (*exec.ExitError)(nil), err)
	}
	require.NotContains(t, errs.String(), "DATA RACE")
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// watcher calls then once, when what was written contains the text.
type watcher struct {
	text string
	then func()
	seen strings.Builder
}

func (w *watcher) Write(p []byte) (int, error) {
	w.seen.Write(p)
	if w.then != nil && strings.Contains(w.seen.String(), w.text) {
		w.then()
		w.then = nil
	}
	return len(p), nil
}

// processesWith returns the processes that have a variable in their environment. It can look only
// where there is a /proc; elsewhere the end of the output stands for it.
func processesWith(t *testing.T, variable string) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return nil
	}
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var found []string
	for _, file := range files {
		env, _ := os.ReadFile(file) // it fails for those that have ended since, and for those of others
		if slices.Contains(strings.Split(string(env), "\x00"), variable) {
			found = append(found, filepath.Dir(file))
		}
	}
	return found
}

const somebody = `worker/\d \(pid \d+\)`

// endings are the rows of the table.
var endings = map[string]string{
	"100 of 100 stamps":                          `done`,
	"loops for ever":                             `timed out after 500ms, and ` + somebody + ` was killed`,
	"takes all memory":                           `out of memory: ` + somebody + ` died of its limit of \d+ MiB`,
	"kills its worker":                           `its worker died: ` + somebody + ` exited with status 3`,
	"kills three workers":                        `given up after 3 attempts, the last of which: its worker died: ` + somebody + ` was killed by SIGKILL`,
	"returns an error":                           `failed on ` + somebody + `: no, not this one`,
	"cancelled in the queue":                     `cancelled`,
	"cancelled while it runs":                    `cancelled`,
	"one more than the 150 that the queue holds": `not accepted: the queue is full`,
	"still in the queue at the end":              `stopped with the program`,
}

func TestKillable(t *testing.T) {
	if runtime.GOOS == "windows" {
		endings["kills three workers"] = strings.Replace(
			endings["kills three workers"],
			"was killed by SIGKILL",
			`exited with status \d+`,
			1,
		)
	}
	code, out, stderr := run(t, "")
	require.Zero(t, code, "stdout:\n%s\nstderr:\n%s", out, stderr)
	require.Empty(t, stderr)

	// Four workers are there, and each process has a pid of its own.
	worker := map[string]string{} // by pid, of every life
	for _, m := range all(`(?m)^main \(pid \d+\): (worker/\d) \(pid (\d+)\) is ready, life \d$`, out) {
		require.NotContains(t, worker, m[2], "two processes have one pid")
		worker[m[2]] = m[1]
	}
	for i := range 4 {
		require.Regexp(t, fmt.Sprintf(`(?m)^main \(pid \d+\): worker/%d \(pid \d+\) is ready, life 1$`, i), out)
	}
	main := all(`(?m)^main \(pid (\d+)\): `, out)[0][1]
	require.NotContains(t, worker, main)

	// Whoever does something is one of them.
	for _, m := range all(`(worker/\d) \(pid (\d+)\)`, out) {
		if worker[m[2]] == "" {
			require.Fail(t, "never ready", "%s\n%s", m[0], out)
		}
		require.Equal(t, worker[m[2]], m[1], "the worker with pid %s", m[2])
	}
	for typ, begun := range map[string]int{"spin": 1, "hoard": 1, "die": 4, "refuse": 1, "wait": 1} {
		require.Len(
			t,
			all(`(?m)^`+somebody+`: begins task "`+typ+`", attempt \d$`, out),
			begun,
			"how often %q began\n%s",
			typ,
			out,
		)
	}

	// Everything ended as it should: once on the way, and once in the table.
	for what, end := range endings {
		require.Len(t, all(`(?m)^main \(pid \d+\): `+what+`: `+end+`$`, out), 1, "%s\n%s", what, out)
		require.Len(t, all(`(?m)^`+what+` +ok +`+end+`$`, out), 1, "%s\n%s", what, out)
	}
	require.NotContains(t, out, "WRONG")

	// The stacks say where it span, unless the processors are so busy that the Go runtime cannot
	// stop the thread in its time.
	require.Regexp(t, `(?m)^main \(pid \d+\): `+somebody+` was killed here:`+
		`(\n    main\.spin\(.*\n    \t\S+main\.go:\d+.*\n    main\.worker\..*\n    \t\S+main\.go:\d+.*\n.*\n.*\n| the Go runtime could not tell\n)`, out)

	// The dead letter has the reason of each attempt.
	reasons := []string{`exited with status 3`, `exited with status 2 .*: panic: as a bug would`, `killed by SIGKILL`}
	if runtime.GOOS == "windows" {
		reasons[2] = `exited with status \d+`
	}
	letter := `(?m)^dead letter: task "die", id \d+: .* failed in all of its 3 attempts:`
	for i, reason := range reasons {
		letter += fmt.Sprintf(`\n  %d\. worker %s: %s.*`, i+1, somebody, reason)
	}
	require.Regexp(t, letter, out)
	require.Equal(t, 1, strings.Count(out, "dead letter: "))

	// The table of the workers has every life, and every stamp is somebody's.
	stamps, lives := 0, 0
	for _, m := range all(`(?m)^(worker/\d) +(\d+) +\[([\d ]+)\]$`, out) {
		n, err := strconv.Atoi(m[2])
		require.NoError(t, err)
		stamps += n
		for _, pid := range strings.Fields(m[3]) {
			require.Equal(t, worker[pid], m[1])
			lives++
		}
	}
	require.Equal(t, 100, stamps)
	require.Equal(t, len(worker), lives)
	require.GreaterOrEqual(t, lives, 4+2, "those who died before the last attempt of a task have been replaced")
}

func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a single process cannot be sent an interrupt here")
	}
	code, out, stderr := run(t, `begins task "spin"`)
	require.Equal(t, 1, code, "stdout:\n%s\nstderr:\n%s", out, stderr)
	require.Regexp(t, `(?m)^loops for ever +`, out, "stderr:\n%s", stderr)
	require.Contains(t, stderr, "tasks did not end as they should")
}

func all(pattern, text string) [][]string {
	return regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1)
}
