package multiprolab_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab"
)

// filesOf returns what the descriptors of a process lead to, by their numbers.
func filesOf(pid string) (map[string]string, error) {
	entries, err := os.ReadDir("/proc/" + pid + "/fd")
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, e := range entries {
		// that of ReadDir itself is gone
		if target, err := os.Readlink("/proc/" + pid + "/fd/" + e.Name()); err == nil {
			files[e.Name()] = target
		}
	}
	return files, nil
}

var _ = worker("descriptors", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(
		w,
		"files",
		func(context.Context, struct{}) (map[string]string, error) { return filesOf("self") },
	)
	return nil
})

// E05: each worker has the same number of descriptors, and no pipe of another one, the replacement
// of a dead one included.
func TestE05_DescriptorsOfWorkers(t *testing.T) {
	const count = 4
	inherited := map[string]bool{} // what this process got from its own parent, open for all
	mine, err := filesOf("self")
	require.NoError(t, err)
	for _, target := range mine {
		inherited[target] = true
	}
	l := startLab(t, nil, workers("descriptors", count))
	check := func() {
		owner := map[string]string{}
		sizes := map[int]bool{}
		for i := range count {
			name := fmt.Sprint("descriptors/", i)
			files, err := multiprolab.Call[map[string]string](bounded(t), l, name, "files", nil)
			require.NoError(t, err)
			var pipes []string
			for _, target := range files {
				if strings.HasPrefix(target, "pipe:") && !inherited[target] {
					pipes = append(pipes, target)
				}
			}
			slices.Sort(pipes)
			pipes = slices.Compact(pipes)
			require.Len(t, pipes, 4, "two of the wire, stdout and stderr: %v", files)
			for _, p := range pipes {
				require.Empty(t, owner[p], "%s has a pipe of", name)
				owner[p] = name
			}
			require.Equal(t, "/dev/null", files["0"])
			sizes[len(files)] = true
		}
		require.Len(t, sizes, 1, "numbers of descriptors: %v", sizes)
	}
	check()
	for life := 1; life <= 3; life++ {
		ready := waitEvent(
			t,
			l,
			func(e *multiprolab.WorkerReady) bool { return e.Worker == "descriptors/2" && e.Life == life },
		)
		require.NoError(t, killProcess(ready.PID))
		waitEvent(
			t,
			l,
			func(e *multiprolab.WorkerReady) bool { return e.Worker == "descriptors/2" && e.Life == life+1 },
		)
		check()
	}
}

// G06: two hundred workers start, answer a broadcast, and end; descriptors, goroutines and
// processes go back to where they were.
func TestG06_TwoHundredWorkers(t *testing.T) {
	const count = 200
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	require.Greater(t, int(limit.Cur), 6*count, "too few descriptors for this test: ulimit -n")
	warm := startLab(t, nil, workers("prog", 1)) // what the runtime opens once
	require.NoError(t, warm.Close())
	files, goroutines := openFiles(t), runtime.NumGoroutine()

	l := newLab(t, &multiprolab.Config{StartTimeout: 2 * time.Minute}, workers("prog", count))
	said := make(chan string, count)
	multiprolab.Handle(l, "note", func(_ context.Context, s string) error { said <- s; return nil })
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	require.NoError(t, multiprolab.Broadcast(bounded(t), l, "", "program-message", order{"note to main", "here"}))
	for range count {
		require.Equal(t, "here", await(t, said, "an answer"))
	}
	sum := 0
	for r, err := range multiprolab.Map[string](bounded(t), l, "program", orders(1000), &multiprolab.MapConfig{Window: 2 * count, Unordered: true}) {
		require.NoError(t, err)
		n, err := strconv.Atoi(r)
		require.NoError(t, err)
		sum += n
	}
	require.Equal(t, 499500, sum)
	require.NoError(t, l.Close())
	l.checkGone(t)
	require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
	require.Len(t, eventsOf[*multiprolab.WorkerStopped](l), count)
	// eventually has some of its own
	eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	require.Equal(t, files, openFiles(t))
}

func orders(n int) func(yield func(order) bool) {
	return func(yield func(order) bool) {
		for i := range n {
			if !yield(order{"echo", fmt.Sprint(i)}) {
				return
			}
		}
	}
}

var _ = program("echo", func(_ context.Context, _ *multiprolab.Worker, arg string) (string, error) { return arg, nil })

// A body over what the wire can carry, two gigabytes, is refused without being looked at: it lies
// in memory that cannot be read.
func TestE04_TwoGigabytes(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("no such body fits into the address space")
	}
	l := startLab(t, &multiprolab.Config{MaxMessageSize: multiprolab.MaxMessageSize}, workers("lab", 1))
	size := int64(1) << 31
	huge, err := unix.Mmap(-1, 0, int(size), unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(huge)) }()
	_, doErr := multiprolab.Do[[]byte](bounded(t), l, "bytes", huge)
	_, callErr := multiprolab.Call[[]byte](bounded(t), l, "lab", "call-bytes", huge)
	for _, err := range []error{doErr, callErr, multiprolab.Send(bounded(t), l, "lab", "x", huge), multiprolab.Broadcast(bounded(t), l, "", "x", huge)} {
		var tooLarge *multiprolab.SizeError
		require.ErrorAs(t, err, &tooLarge)
		require.EqualValues(t, size, tooLarge.Size)
		require.EqualValues(t, multiprolab.MaxMessageSize, tooLarge.Limit)
		require.ErrorContains(t, err, "send it in parts")
	}
	n, err := multiprolab.Do[int](bounded(t), l, "double", 2)
	require.NoError(t, err)
	require.Equal(t, 4, n)
}

// usage is what the threads of a process have used: how often they were woken, and for how long
// they ran.
type usage struct {
	switches int
	ran      time.Duration
}

func usageOf(t *testing.T, pid int) usage {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	require.NoError(t, err)
	require.NotEmpty(t, threads)
	var u usage
	for _, thread := range threads {
		status, err := os.ReadFile(thread + "/status")
		require.NoError(t, err)
		for line := range strings.Lines(string(status)) {
			if n, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				woken, err := strconv.Atoi(strings.TrimSpace(n))
				require.NoError(t, err)
				u.switches += woken
			}
		}
		sched, err := os.ReadFile(thread + "/schedstat")
		require.NoError(t, err)
		ns, err := strconv.ParseInt(strings.Fields(string(sched))[0], 10, 64)
		require.NoError(t, err)
		u.ran += time.Duration(ns)
	}
	return u
}

var _ = scenario("idle", func() {
	app := multiprolab.New(nil)
	app.RegisterWorker("lab", setups["lab"], &multiprolab.WorkerConfig{Count: 2})
	app.RegisterWorker("host", setups["host"], nil)
	app.RegisterWorker("puller", setups["puller"], nil)
	app.After(time.Hour, func(context.Context) error { return nil })
	multiprolab.Handle(app, "note", func(context.Context, string) error { return nil })
	app.After(0, func(ctx context.Context) error {
		for range 100 {
			if _, err := multiprolab.Do[int](ctx, app, "double", 1); err != nil {
				return err
			}
		}
		fmt.Println("idle now")
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		panic(err)
	}
})

// X4: an idle program, main and its workers, is not woken by anything of its own, and uses no CPU.
func TestX4_IdleUsesNothing(t *testing.T) {
	p := startMain(t, "idle")
	eventually(t, "the program to be idle", func() bool { return strings.Contains(p.out.String(), "idle now") })
	pids := append(childrenOf(t, p.Process.Pid), p.Process.Pid)
	require.Len(t, pids, 5)
	// The runtime goes to sleep in steps after the last work: the first pause that is quiet counts.
	// A program that polls has none.
	const pause, woken, ran = time.Second, 10, 20 * time.Millisecond
	eventually(t, "a quiet second", func() bool {
		before := map[int]usage{}
		for _, pid := range pids {
			before[pid] = usageOf(t, pid)
		}
		time.Sleep(pause) // what is measured
		for _, pid := range pids {
			after := usageOf(t, pid)
			if after.switches-before[pid].switches > woken || after.ran-before[pid].ran > ran {
				t.Logf("process %d: %+v, then %+v", pid, before[pid], after)
				return false
			}
		}
		return true
	})
}

// childrenOf returns the processes whose parent is pid.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	var found []int
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	require.NoError(t, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			require.NoError(t, err)
			found = append(found, child)
		}
	}
	return found
}
