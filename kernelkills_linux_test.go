package multiprolab_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// limitedGroup makes a control group with a limit of memory, below the one that this process is in,
// and returns its directory and its path in the hierarchy. It returns why not if this system, or
// its rights, do not let it.
func limitedGroup(t *testing.T, limit int64) (dir, name string, err error) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", "", err
	}
	var tried []error
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		base, file := "", "memory.max"
		switch {
		case parts[1] == "memory":
			base, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		case parts[0] == "0":
			base = "/sys/fs/cgroup"
		default:
			continue
		}
		name = filepath.Join(parts[2], fmt.Sprintf("multiprolab-test-%d", os.Getpid()))
		dir = filepath.Join(base, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			tried = append(tried, err)
			continue
		}
		t.Cleanup(func() {
			eventually(t, "the control group to be empty", func() bool { return os.Remove(dir) == nil })
		})
		if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
			tried = append(tried, err)
			continue
		}
		return dir, name, nil
	}
	return "", "", fmt.Errorf("no control group with a limit can be made: %v", tried)
}

// When the control group has no memory left, the kernel takes the workers that leak, and main
// lives. Each is reported as taken by the kernel.
func TestKernelTakesWorkersAndNotMain(t *testing.T) {
	path := testProgram(t, false)
	for _, who := range []string{"the program", "its workers"} {
		t.Run(who, func(t *testing.T) {
			const limit = 256 << 20
			dir, name, err := limitedGroup(t, limit)
			if err != nil {
				t.Logf("ONLY THE FAKE TREE OF TestDeathByTheKernelIsKnown WAS TRIED: %v", err)
				return
			}
			cmd := exec.CommandContext(
				bounded(t),
				"sh",
				"-c",
				`echo $$ >"$1/cgroup.procs" && exec "$0" leak`,
				path,
				dir,
			)
			if who == "its workers" { // which go there in their setup functions
				cmd = exec.CommandContext(bounded(t), path, "leak", dir)
			}
			b, err := cmd.CombinedOutput()
			out := string(b)
			require.NoError(t, err, out)
			require.Equal(t, 8, strings.Count(out, fmt.Sprintf("taken: %s %d true\n", name, limit)), out)
			require.Contains(t, out, "main lives: <nil>\n")
		})
	}
}

// A worker that has died of SIGKILL is the kernel's if the number of those that it took has grown
// meanwhile, and nobody else's death accounts for that.
func TestDeathByTheKernelIsKnown(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "proc"), 0o755))
	took := func(n int) {
		t.Helper()
		require.NoError(
			t,
			os.WriteFile(
				filepath.Join(root, "proc/vmstat"),
				fmt.Appendf(nil, "nr_free_pages 5\noom_kill %d\n", n),
				0o644,
			),
		)
	}
	took(7)
	defer multiprolab.LookForKernelKillsIn(root)()
	l := startLab(t, nil, quickly("lab", 1))
	die := func(worker, how string) (byKernel bool) {
		t.Helper()
		_, err := multiprolab.Call[int](bounded(t), l, worker, "call-die", how)
		var memory *multiprolab.MemoryLimitError
		var died *multiprolab.WorkerDiedError
		require.ErrorAs(t, err, &died)
		require.Equal(t, `call "call-die"`, died.During)
		if !errors.As(err, &memory) {
			return false
		}
		require.True(t, memory.Kernel)
		require.Empty(t, memory.Group)
		require.ErrorContains(
			t,
			err,
			"the kernel's out-of-memory killer took a worker, for the machine has no memory left: worker "+worker,
		)
		require.ErrorContains(t, err, "killed by SIGKILL while running call")
		return true
	}
	require.False(t, die("lab/0", "SIGKILL"), "somebody else has killed it")
	took(9)
	require.False(t, die("lab/0", "panic"))
	require.False(t, die("lab/0", "SIGKILL"), "the others were taken before it lived")
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 4 })
	took(10)
	require.False(t, die("lab/0", "SIGTERM"), "the kernel sends another signal")
	for i := range 3 {
		waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 5+i })
		took(11 + i)
		require.True(t, die("lab/0", "SIGKILL"))
	}
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 8 })
	require.NoError(t, os.Remove(filepath.Join(root, "proc/vmstat")))
	require.False(t, die("lab/0", "SIGKILL"), "the kernel does not tell")

	// One was taken: only one of two that die is that one.
	took(15)
	l = startLab(t, nil, quickly("lab", 2))
	took(16)
	require.True(t, die("lab/0", "SIGKILL"))
	require.False(t, die("lab/1", "SIGKILL"))

	// Main's own kills are its own.
	took(20)
	l = startLab(t, nil, quickly("lab", 1))
	took(21)
	_, err := multiprolab.DoWith[int](bounded(t), l, "spin", nil, &multiprolab.TaskOptions{Timeout: 1, Grace: 1})
	var timeout *multiprolab.TimeoutError
	require.ErrorAs(t, err, &timeout)
	failed := waitEvent[*multiprolab.WorkerFailed](t, l, nil)
	require.NotContains(t, failed.Err.Error(), "the kernel")
}
