package multiprolab_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/proc"
)

func init() {
	more := reportSystem
	reportSystem = func(m map[string]string) {
		more(m)
		m["cpus"] = fmt.Sprint(allowedCPUs())
		stats, _ := filepath.Glob("/proc/self/task/*/stat")
		nice := map[string]bool{}
		for _, name := range stats {
			if stat, err := os.ReadFile(name); err == nil {
				nice[strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[16]] = true // nice is field 19
			}
		}
		m["nice"] = fmt.Sprint(nice)
		score, _ := os.ReadFile("/proc/self/oom_score_adj")
		child, _ := exec.Command("cat", "/proc/self/oom_score_adj").Output()
		m["oom score"] = fmt.Sprint(proc.OOMScoreAdj(), " ", string(score), string(child))
	}
}

func allowedCPUs() (cpus []int) {
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	for i := range 1024 {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus
}

// TestSetup_Scheduling: the priority and the processors, of all threads.
func TestSetup_Scheduling(t *testing.T) {
	last := allowedCPUs()[len(allowedCPUs())-1:]
	r := survey(t, &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Nice: 7, CPUs: last}})
	require.Equal(t, fmt.Sprint(last), r.System["cpus"])
	require.Equal(t, "map[7:true]", r.System["nice"])

	start := startError(t, &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{CPUs: []int{last[0], 4095}}})
	require.ErrorContains(t, start, fmt.Sprintf("CPUs [%d 4095]: some of these CPUs do not exist", last[0]))
	require.NotZero(t, start.PID)
}

// TestSetup_OOMScore: the kernel takes a worker, and what it has started, before it takes main, or
// as the config says.
func TestSetup_OOMScore(t *testing.T) {
	own := proc.OOMScoreAdj()
	for config, want := range map[int]int{0: min(own+500, 1000), 1000: 1000, min(own+7, 999): min(own+7, 999)} {
		r := survey(t, &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{OOMScoreAdj: config}})
		require.Equal(t, fmt.Sprintf("%d %d\n%d\n", want, want, want), r.System["oom score"])
	}
	less := &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{OOMScoreAdj: own - 1}}
	if mayHaveLess() {
		require.Equal(t, fmt.Sprintf("%[1]d %[1]d\n%[1]d\n", own-1), survey(t, less).System["oom score"])
		return
	}
	err := startError(t, less)
	require.ErrorContains(
		t,
		err,
		fmt.Sprintf("OOMScoreAdj %d: the process is not allowed to have less than it started with", own-1),
	)
	require.ErrorContains(t, err, "CAP_SYS_RESOURCE")
	require.NotZero(t, err.PID)
}

// TestSetup_TooBig: what the system does not take as the environment and arguments of a process is
// named, and not tried again.
func TestSetup_TooBig(t *testing.T) {
	big := strings.Repeat("x", 128<<10)
	type config = multiprolab.WorkerConfig
	check := func(cfg *config, says string) {
		t.Helper()
		err := startError(t, cfg)
		require.ErrorIs(t, err, unix.E2BIG)
		require.Zero(t, err.PID)
		require.ErrorContains(t, err, says)
	}
	check(
		&config{Process: multiprolab.ProcessConfig{Env: []string{"SMALL=1", "BIG=" + big}}},
		"WorkerConfig.Process.Env[1] (BIG) has 131076 bytes, and one variable may have 131071",
	)
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprint("MANY", i, "=", big[:100<<10]))
	}
	check(&config{Process: multiprolab.ProcessConfig{Env: many}}, "of which WorkerConfig.Process.Env has 102")
	check(
		&config{Process: multiprolab.ProcessConfig{DropEnv: []string{"*"}, Env: many}, Count: 3},
		"give less in WorkerConfig.Process.Env, or name what it inherits in WorkerConfig.Process.DropEnv",
	)

	t.Setenv("INHERITED", big)
	check(
		nil,
		"the variable INHERITED, which it inherits, has 131082 bytes, and one may have 131071: name it in WorkerConfig.Process.DropEnv",
	)
	survey(t, &config{Process: multiprolab.ProcessConfig{DropEnv: []string{"INHERITED"}}})
	require.NoError(t, os.Unsetenv("INHERITED"))

	args := os.Args
	defer func() { os.Args = args }()
	os.Args = append(slices.Clone(args), big)
	check(nil, fmt.Sprintf("os.Args[%d] has 131072 bytes, and one argument may have 131071", len(args)))
}

// mayHaveLess reports whether this process has CAP_SYS_RESOURCE.
func mayHaveLess() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// The lair's worker has a child in a session of its own, which holds the visit open.
var _ = worker("lair", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "runaway", func(_ context.Context, v visit) (string, error) {
		c, err := net.Dial("tcp", v.Addr)
		if err != nil {
			return "", err
		}
		f, err := c.(*net.TCPConn).File()
		if err != nil {
			return "", err
		}
		cmd := exec.Command("/bin/sh", "-c", "trap '' TERM HUP INT; sleep 1000 & wait")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.ExtraFiles = []*os.File{f}
		if err := cmd.Start(); err != nil {
			return "", err
		}
		_ = f.Close()
		return v.talk(c)
	})
	return guest(ctx, w)
})

func lair() pool {
	return pool{"lair", &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{PIDNamespace: true, Env: []string{gateVar + "="}}, RestartLimit: multiprolab.RestartLimit{Restarts: 1000}}}
}

var _ = scenario("lair", func() {
	ctx := context.Background()
	app := multiprolab.New(&multiprolab.Config{Logger: inTheirOwnWords()})
	app.RegisterWorker("lair", setups["lair"], lair().cfg)
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	must(multiprolab.Submit[string](ctx, app, "runaway", visit{os.Getenv(gateVar), "runaway"}, nil))
	select {}
})

// TestSetup_PIDNamespace: nothing that the worker has started outlives it, however it ends.
func TestSetup_PIDNamespace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("whether a PID namespace can be had without root is up to the system")
	}
	for _, by := range []string{"the timeout", "a crash", "a kill", "the end"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			g, l := newGate(t), startLab(t, nil, lair())
			o := &multiprolab.TaskOptions{Grace: time.Millisecond}
			if by == "the timeout" {
				o.Timeout = time.Second
			}
			f := l.submit(t, "runaway", g.visit("runaway"), o)
			v := g.expect(t, "runaway")
			require.Equal(t, 1, v.pid, "as the worker sees itself")
			pid := waitEvent[*multiprolab.WorkerReady](t, l, nil).PID
			require.NotEqual(t, 1, pid)
			switch by {
			case "the timeout":
			case "a crash":
				v.tell("die exit 3")
			case "a kill":
				require.NoError(t, signalProcess(pid, "SIGKILL"))
			case "the end":
				v.tell("go on") // and nobody waits for the child
			}
			_, err := outcome(t, f)
			require.Equal(t, by == "the end", err == nil, "%v", err)
			if by == "the end" {
				require.NoError(t, l.Close())
			} else {
				require.Equal(t, 2, l.who(t).Life)
			}
			await(t, v.lost, "the end of all that has the connection")
			gone(t, "the worker", pid)
		})
	}
	t.Run("a kill of main and the worker at once", func(t *testing.T) {
		g := newGate(t)
		p := startMain(t, "lair", gateVar+"="+g.addr())
		v := g.expect(t, "runaway")
		pids := subprocesses(p.Process.Pid)
		require.Len(t, pids, 1)
		require.NoError(t, signalProcess(p.Process.Pid, "SIGSTOP"))
		require.NoError(t, signalProcess(pids[0], "SIGKILL"))
		require.NoError(t, signalProcess(p.Process.Pid, "SIGKILL"))
		_ = p.wait(t)
		await(t, v.lost, "the end of all that has the connection")
		gone(t, "the worker", pids...)
	})
}

// subprocesses returns the processes whose parent this is.
func subprocesses(pid int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		var child int
		_, _ = fmt.Sscan(string(stat), &child)
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == fmt.Sprint(pid) {
			pids = append(pids, child)
		}
	}
	slices.Sort(pids)
	return pids
}
