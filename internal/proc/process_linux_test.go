package proc_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab/internal/proc"
)

func init() {
	mains["moved binary"] = movedBinary
	mains["childless"] = childless
}

// TestMainKilled kills a main process with SIGKILL, and expects its worker and the worker's own
// child to be gone soon, although the worker reads nothing that would tell it.
func TestMainKilled(t *testing.T) {
	for _, how := range []string{"idle", "busy", "busy on one thread", "stop", "stop, and its thread has ended"} {
		t.Run(how, func(t *testing.T) {
			env := childEnv("HOW=" + how)
			switch how {
			case "busy on one thread":
				env = childEnv("HOW=busy", "GOMAXPROCS=1")
			case "stop, and its thread has ended": // the kernel's signal comes from the threads that have got the worker after that
				env, how = childEnv("HOW=stop", "THREAD=ends"), "stop"
			}
			p := start(t, newSpawner(t), &proc.Spec{Role: role("middle"), Inherited: env})
			worker, grandchild := pids(t, p)
			require.NotEqual(t, p.Pid, worker)
			if how == "stop" {
				eventually(t, "the worker stops", func() bool { return state(worker) == "T" })
			}
			require.NoError(t, unix.Kill(p.Pid, unix.SIGKILL))
			require.Equal(t, "SIGKILL", wait(t, p).Signal)
			eventually(t, "the worker ends", func() bool { return !running(worker) })
			eventually(t, "the grandchild ends", func() bool { return !running(grandchild) })
		})
	}
}

// state returns the letter that stands for the process's state in /proc.
func state(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, after, _ := bytes.Cut(stat, []byte(") "))
	return string(after[:1])
}

// TestWithoutPidFD takes the way of old kernels.
func TestWithoutPidFD(t *testing.T) {
	proc.SetNoPidFD(true)
	defer proc.SetNoPidFD(false)
	t.Run("exit", TestExitCode)
	t.Run("signal", TestSignalStatus)
	t.Run("kill", TestKillReachesGrandchild)
	t.Run("race", TestKillRace)
}

// TestNothingLeft starts many processes that end in several ways, at once.
func TestNothingLeft(t *testing.T) {
	s := newSpawner(t)
	wait(t, start(t, s, &proc.Spec{Role: role("exit")})) // opens what the first start opens for good
	before := openFDs()
	threads := count(t, "/proc/self/task/*")
	var ps []*proc.Process
	for i := range 50 {
		p, err := s.Start(
			&proc.Spec{Role: role([]string{"exit", "echo", "hang", "family", "stderr"}[i%5]), Inherited: childEnv()},
		)
		require.NoError(t, err)
		ps = append(ps, p)
	}
	// Ten of each kind; those that wait for something cost no thread of ours.
	require.Less(t, count(t, "/proc/self/task/*")-threads, 15)
	for i, p := range ps {
		if i%5 == 1 {
			p.In.Close()
		} else {
			require.NoError(t, p.Kill())
		}
	}
	for _, p := range ps {
		wait(t, p)
		p.Close()
	}
	require.Equal(t, before, openFDs())
	require.Empty(t, childrenOf(t, os.Getpid()))
}

func count(t *testing.T, pattern string) int {
	t.Helper()
	names, err := filepath.Glob(pattern)
	require.NoError(t, err)
	return len(names)
}

// childrenOf lists the children of a process, zombies included.
func childrenOf(t *testing.T, pid int) (children []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // ended meanwhile
		}
		_, after, _ := bytes.Cut(stat, []byte(") "))
		if fields := strings.Fields(string(after)); len(fields) > 1 && fields[1] == fmt.Sprint(pid) {
			children = append(children, string(stat))
		}
	}
	return children
}

// TestWorkerDescriptors looks at what workers find open, with others running beside them and files
// open in main.
func TestWorkerDescriptors(t *testing.T) {
	s := newSpawner(t)
	var first []int
	for i := range 5 {
		r := getReport(t, s, new(proc.Spec)) // keeps running until the test ends
		require.True(t, r.Deadline, "the wire has deadlines")
		require.False(t, r.OnMainAside)
		fds := slices.Sorted(maps.Keys(r.FDs))
		if i == 0 {
			first = fds
		}
		require.Equal(t, first, fds)

		ours := maps.Clone(r.FDs)
		maps.DeleteFunc(ours, func(fd int, link string) bool {
			return inherited(fd) || // from whoever runs the tests, by any command in them
				// Go's runtime's
				strings.HasPrefix(link, "anon_inode:[event") || strings.HasPrefix(link, "/sys/fs/cgroup/")
		})
		maps.DeleteFunc(ours, func(fd int, link string) bool { // the parent's, if this architecture has it watched so
			return fd >= 10 && strings.Contains(link, "[pidfd]")
		})
		require.Len(t, ours, 5, "%v", ours)
		require.Equal(t, os.DevNull, ours[0])
		wire := slices.Sorted(maps.Keys(ours))
		require.Equal(t, []int{0, 1, 2}, wire[:3])
		for _, fd := range wire[3:] {
			require.GreaterOrEqual(t, fd, 10)
			require.Regexp(t, "^pipe:", ours[fd])
		}
		f, err := os.Open(os.DevNull)
		require.NoError(t, err)
		defer f.Close()
	}
}

// inherited reports whether this process has a descriptor that commands inherit from it, apart from
// the standard ones.
func inherited(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return fd > 2 && err == nil && flags&unix.FD_CLOEXEC == 0
}

// TestMovedBinary runs a copy of this binary that deletes or replaces itself and then starts a
// worker.
func TestMovedBinary(t *testing.T) {
	for _, how := range []string{"keep", "delete", "replace"} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.Command(copyBinary(t))
			cmd.Env = append(childEnv("HOW="+how), mainVar+"=moved binary")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			want := "/proc/self/exe\n"
			if how == "keep" {
				want = cmd.Path + "\n"
			}
			require.Equal(t, want+"last words\n", string(out))
		})
	}
}

func movedBinary() {
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	path, err := os.Executable()
	check(err)
	switch os.Getenv("HOW") {
	case "delete":
		check(os.Remove(path))
	case "replace":
		check(os.WriteFile(path+".new", []byte("#!/bin/false\n"), 0o700))
		check(os.Rename(path+".new", path))
	}
	start, err := proc.Executable()
	check(err)
	fmt.Println(start)

	s := proc.NewSpawner()
	defer s.Close()
	p, err := s.Start(&proc.Spec{Role: role("stderr")})
	check(err)
	defer p.Close()
	_, err = os.Stdout.ReadFrom(p.Err)
	check(err)
	<-p.Done()
}

// TestStatusTakenByOthers: where somebody else takes the exit status, or nobody keeps it, the
// process group is killed all the same, and the status says who took it.
func TestStatusTakenByOthers(t *testing.T) {
	for _, pidfd := range []bool{true, false} {
		for how, says := range map[string]string{
			"ignored":                 "this program ignores SIGCHLD",
			"ignored after the start": "this program ignores SIGCHLD",
			"reaped":                  "another part of this program waits for all its children",
			"inherited as ignored":    "", // the Go runtime catches it from the start
			"kept":                    "",
		} {
			t.Run(fmt.Sprint(how, ", pidfd ", pidfd), func(t *testing.T) {
				path, err := os.Executable()
				require.NoError(t, err)
				cmd := exec.Command(path)
				if how == "inherited as ignored" {
					cmd = exec.Command("sh", "-c", `trap "" CHLD; exec "$0"`, path)
				}
				cmd.Env = append(childEnv("HOW="+how, fmt.Sprint("PIDFD=", pidfd)), mainVar+"=childless")
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", out)
				var grandchild, code int
				_, err = fmt.Sscan(string(out), &grandchild, &code)
				require.NoError(t, err, "%s", out)
				switch {
				case says == "", how == "reaped" && code == 5: // it was seen before it was taken
					require.Equal(t, 5, code)
				default:
					require.Equal(t, -1, code)
					require.Contains(t, string(out), says)
				}
			})
		}
	}
}

// childless starts a worker that leaves a child behind, has its exit status taken as HOW says, and
// prints the child's pid, which has to be dead, and the status.
func childless() {
	how := os.Getenv("HOW")
	proc.SetNoPidFD(os.Getenv("PIDFD") == "false")
	if how == "ignored" {
		signal.Ignore(unix.SIGCHLD)
	}
	s := proc.NewSpawner()
	p, err := s.Start(&proc.Spec{Role: role("orphans at the word"), Inherited: childEnv()})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var worker, grandchild int
	_, _ = fmt.Fscan(p.Out, &worker, &grandchild)
	switch how {
	case "ignored after the start":
		signal.Ignore(unix.SIGCHLD)
	case "reaped":
		go func() { // ends with the process
			for {
				_, _ = unix.Wait4(-1, nil, 0, nil) // waits in the kernel, and so is mostly there first
			}
		}()
		for range 100 {
			runtime.Gosched()
		}
	}
	_ = p.In.Close() // the word
	<-p.Done()
	for deadline := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		if st := state(grandchild); st == "" || st == "Z" {
			break
		}
		if time.Now().After(deadline) {
			fmt.Println("the grandchild lives")
			os.Exit(1)
		}
	}
	st := p.Status()
	fmt.Println(grandchild, st.ExitCode, st.Unknown, st.Signal)
}

// TestStoppedBy: a process that is stopped says by which signal, whoever has sent it, and again
// after it was continued.
func TestStoppedBy(t *testing.T) {
	for _, pidfd := range []bool{true, false} {
		proc.SetNoPidFD(!pidfd)
		p := start(t, newSpawner(t), &proc.Spec{Role: role("hang")})
		proc.SetNoPidFD(false)
		line(t, p)
		require.Empty(t, p.Stopped())
		for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGTSTP, unix.SIGSTOP} {
			require.NoError(t, unix.Kill(p.Pid, sig))
			eventually(t, "the process stops", func() bool { return p.Stopped() != "" })
			require.Equal(t, unix.SignalName(sig), p.Stopped())
			require.Equal(t, unix.SignalName(sig), p.Stopped(), "to ask changes nothing")
			require.NoError(t, unix.Kill(p.Pid, unix.SIGCONT))
			require.Empty(t, p.Stopped())
		}
		require.NoError(t, unix.Kill(p.Pid, unix.SIGSTOP))
		var ws unix.WaitStatus
		_, err := unix.Wait4(p.Pid, &ws, unix.WUNTRACED, nil) // somebody takes the report
		require.NoError(t, err)
		require.True(t, ws.Stopped())
		require.Equal(t, "a signal that is not known any more", p.Stopped())
		require.NoError(t, p.Kill())
		require.Equal(t, "SIGKILL", wait(t, p).Signal)
		require.Empty(t, p.Stopped())
	}
}
