package multiprolab_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// killMains is how often main is killed; make soak does it a hundred times.
var killMains = flag.Int("killmain", 5, "how often TestKillMain kills a main process")

// treeVar marks the processes of one scenario: a main, its workers, and what they start inherit it,
// wherever they are in the tree.
const treeVar = "MULTIPROLAB_TEST_TREE"

// treeOf returns the processes, but for zombies, that have the mark in their environment.
func treeOf(mark string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile("/proc/" + e.Name() + "/environ") // that of a zombie is empty
		if slices.Contains(strings.Split(string(env), "\x00"), treeVar+"="+mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// emptyTree waits until nothing with the mark is left, and returns when it was found so.
func emptyTree(t testing.TB, mark string, except ...int) time.Time {
	t.Helper()
	deadline := time.Now().Add(patience)
	var empty time.Time
	// a process that is just being started may be between two programs, without an environment
	for looks := 0; looks < 3; {
		left := slices.DeleteFunc(treeOf(mark), func(pid int) bool { return slices.Contains(except, pid) })
		switch {
		case len(left) == 0 && looks == 0:
			empty = time.Now()
			looks++
		case len(left) == 0:
			looks++
		default:
			looks = 0
			if time.Now().After(deadline) {
				var who []string
				for _, pid := range left {
					line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
					who = append(who, fmt.Sprintf("%d (%s) %q", pid, processState(pid), line))
					_ = signalProcess(pid, "SIGKILL")
				}
				require.FailNow(t, "processes are left", "%v", who)
			}
		}
		time.Sleep(time.Millisecond) // nobody tells
	}
	return empty
}

// grandchild starts a `sleep`, in a session of its own or in the group of this process.
func grandchild(setsid bool) (int, error) {
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: setsid}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}

// The breeder has two children when it is ready, which have its process group; those of the hermit
// have sessions of their own.
var (
	_ = worker("breeder", breed)
	_ = worker("hermit", breed)
)

func breed(ctx context.Context, w *multiprolab.Worker) error {
	setsid := w.Pool() == "hermit"
	for range 2 {
		if _, err := grandchild(setsid); err != nil {
			return err
		}
	}
	ping := func(ctx context.Context, n int) (int, error) { return n, nil }
	multiprolab.HandleCall(w, "ping", ping)
	multiprolab.HandleTask(w, "work", func(ctx context.Context, n int) (int, error) {
		if n%50 == 0 {
			if _, err := grandchild(setsid); err != nil { // one more
				return 0, err
			}
		}
		return n, nil
	})
	multiprolab.Handle(
		w,
		"note",
		func(ctx context.Context, b []byte) error { return multiprolab.Send(ctx, w, "main", "note", b) },
	)
	return nil
}

// breedVar tells the scenario whether it is to have hermits.
const breedVar = "MULTIPROLAB_TEST_BREED"

// The loaded main works until it is killed.
var _ = scenario("loaded", func() {
	ctx := context.Background()
	app := multiprolab.New(&multiprolab.Config{Logger: inTheirOwnWords(), Window: 64 << 10})
	pools := []string{"breeder"}
	app.RegisterWorker("breeder", setups["breeder"], &multiprolab.WorkerConfig{Count: 4})
	if os.Getenv(breedVar) == "namespaces" {
		pools = append(pools, "hermit")
		app.RegisterWorker("hermit", setups["hermit"], &multiprolab.WorkerConfig{Count: 2, Process: multiprolab.ProcessConfig{PIDNamespace: true}})
	}
	multiprolab.Handle(app, "note", func(context.Context, []byte) error { return nil })
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	fmt.Println("loaded now")
	body := make([]byte, 500)
	for _, pool := range pools {
		for range 2 {
			go func() { // end with the process, as do the others
				for n := 0; ; n++ {
					must(multiprolab.Call[int](ctx, app, pool, "ping", n))
				}
			}()
			go func() {
				for {
					if err := multiprolab.Send(ctx, app, pool, "note", body); err != nil {
						panic(err)
					}
				}
			}()
		}
	}
	for n := 1; ; n++ {
		must(multiprolab.Submit[int](ctx, app, "work", n, nil))
	}
})

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestKillMain: SIGKILL to main, at any moment, leaves no process of its tree: no worker, no child
// of a worker in its process group, and of a worker with a PID namespace no child at all.
func TestKillMain(t *testing.T) {
	hermits := "namespaces"
	if os.Geteuid() != 0 {
		hermits = ""
		t.Log("not root: without workers in PID namespaces")
	}
	rng := rand.New(rand.NewPCG(*ledgerSeed, 3))
	if *ledgerSeed == 0 {
		rng = rand.New(rand.NewPCG(rand.Uint64(), 3))
	}
	var times []time.Duration
	early := 0
	for i := range *killMains {
		mark := fmt.Sprintf("%d-%d", os.Getpid(), i)
		p := startMain(t, "loaded", treeVar+"="+mark, breedVar+"="+hermits)
		if i%4 == 3 { // while it starts, as a rule
			time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond) // what is tested is any moment
		} else {
			eventually(t, "the load, or the end", func() bool { return strings.Contains(p.out.String(), "loaded now") || isClosed(p.exited) })
			require.Contains(t, p.out.String(), "loaded now")
			time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
			least := 1 + 4*3
			if hermits != "" {
				least += 2 * 3
			}
			require.GreaterOrEqual(t, len(treeOf(mark)), least, "main, its workers, and two children of each")
		}
		if !strings.Contains(p.out.String(), "loaded now") {
			early++
		}
		killed := time.Now()
		require.NoError(t, p.Process.Kill())
		times = append(times, emptyTree(t, mark).Sub(killed))
		require.EqualError(t, p.wait(t), "signal: killed")
	}
	slices.Sort(times)
	if len(times) > 0 {
		t.Logf(
			"%d kills of main, %d of them while it started: all was gone after %v at most, %v in the median",
			len(times),
			early,
			times[len(times)-1],
			times[len(times)/2],
		)
	}
}

// The worker that has one child in its group and one in a session of its own, and tells their pids.
var _ = worker("truant", func(ctx context.Context, w *multiprolab.Worker) error {
	var pids [2]int
	for i := range pids {
		var err error
		if pids[i], err = grandchild(i == 1); err != nil {
			return err
		}
	}
	multiprolab.HandleCall(w, "children", func(context.Context, struct{}) ([2]int, error) { return pids, nil })
	return nil
})

var _ = scenario("truancy", func() {
	app := multiprolab.New(&multiprolab.Config{Logger: inTheirOwnWords()})
	app.RegisterWorker("truant", setups["truant"], nil)
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	pids := must(multiprolab.Call[[2]int](ctx, app, "truant/0", "children", nil))
	fmt.Println("children", pids[0], pids[1], "end")
	select {}
})

// TestKillMainLeavesSessions shows what the guarantee does not hold: without
// WorkerConfig.Process.PIDNamespace, a process that a worker has started in a session of its own outlives a
// main that is killed.
func TestKillMainLeavesSessions(t *testing.T) {
	mark := fmt.Sprintf("%d-sessions", os.Getpid())
	p := startMain(t, "truancy", treeVar+"="+mark)
	var ordinary, truant int
	eventually(t, "the children", func() bool {
		_, after, ok := strings.Cut(p.out.String(), "children ")
		if !ok || !strings.Contains(after, "end") {
			return false
		}
		_, err := fmt.Sscan(after, &ordinary, &truant)
		return err == nil
	})
	require.True(t, running(ordinary) && running(truant))
	defer func() {
		if running(truant) && slices.Contains(treeOf(mark), truant) {
			require.NoError(t, signalProcess(truant, "SIGKILL"))
		}
		emptyTree(t, mark)
	}()
	require.NoError(t, p.Process.Kill())
	require.EqualError(t, p.wait(t), "signal: killed")
	emptyTree(t, mark, truant)
	require.False(t, running(ordinary))
	require.True(t, running(truant), "nothing reaches it: update the documentation")
	require.Equal(t, []int{truant}, treeOf(mark))
}
