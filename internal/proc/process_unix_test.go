//go:build unix

package proc_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab/internal/proc"
)

func sleepCommand() *exec.Cmd { return exec.Command("sleep", "1000") }

func stopSelf() { _ = unix.Kill(os.Getpid(), unix.SIGSTOP) }

// running reports whether the process exists and is no zombie. (An orphan's zombie is init's to
// reap, not ours.)
func running(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", fmt.Sprint(pid)).Output()
	if stat, perr := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); perr == nil {
		_, after, _ := bytes.Cut(stat, []byte(") "))
		out, err = after, nil
	} else if os.IsNotExist(perr) && exists("/proc/self/stat") {
		return false
	}
	return err == nil && len(out) > 0 && out[0] != 'Z' && out[0] != 'X'
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// eventually polls for what no event tells: the end of a process that is not our child.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, limit, 5*time.Millisecond, what)
}

// pids reads the pids of a worker and of its grandchild.
func pids(t *testing.T, p *proc.Process) (worker, grandchild int) {
	t.Helper()
	text := line(t, p)
	_, err := fmt.Sscan(text, &worker, &grandchild)
	require.NoError(t, err, "%q", text)
	require.True(t, running(grandchild))
	return worker, grandchild
}

func TestSignalStatus(t *testing.T) {
	s := newSpawner(t)
	for _, tt := range []struct {
		name string
		send func(*proc.Process) error
	}{
		{"SIGKILL", (*proc.Process).Kill},
		{"SIGTERM", (*proc.Process).Terminate},
	} {
		p := start(t, s, &proc.Spec{Role: role("hang")})
		line(t, p)
		require.NoError(t, tt.send(p))
		st := wait(t, p)
		require.Equal(t, tt.name, st.Signal)
		require.Equal(t, -1, st.ExitCode)
		require.NotZero(t, st.MaxRSS)
	}
}

func TestQuitDumpsStacks(t *testing.T) {
	p := start(t, newSpawner(t), &proc.Spec{Role: role("hang")})
	line(t, p)
	require.NoError(t, p.Quit())
	text, err := io.ReadAll(p.Err)
	require.NoError(t, err)
	require.Contains(t, string(text), "SIGQUIT")
	require.Contains(t, string(text), "proc_test.hang")
	require.Equal(t, 2, wait(t, p).ExitCode)
}

func TestInterruptIsIgnored(t *testing.T) {
	p := start(t, newSpawner(t), &proc.Spec{Role: role("echo")})
	for i := range 3 {
		if i > 0 { // the first round shows that the child is there
			require.NoError(t, unix.Kill(p.Pid, unix.SIGINT))
			require.NoError(t, unix.Kill(p.Pid, unix.SIGHUP), "the parent lives, so it means nothing")
		}
		_, err := p.In.WriteString("ping\n")
		require.NoError(t, err)
		require.Equal(t, "ping", line(t, p))
	}
}

func TestKillReachesGrandchild(t *testing.T) {
	p := start(t, newSpawner(t), &proc.Spec{Role: role("family")})
	worker, grandchild := pids(t, p)
	require.Equal(t, p.Pid, worker)
	require.NoError(t, p.Kill())
	require.Equal(t, "SIGKILL", wait(t, p).Signal)
	eventually(t, "the grandchild ends", func() bool { return !running(grandchild) })
	_, err := io.ReadAll(p.Err) // which the grandchild held open
	require.NoError(t, err)
}

func TestKillReachesStoppedWorker(t *testing.T) {
	p := start(t, newSpawner(t), &proc.Spec{Role: role("family"), Inherited: childEnv("HOW=stop")})
	_, grandchild := pids(t, p)
	require.NoError(t, p.Kill())
	require.Equal(t, "SIGKILL", wait(t, p).Signal)
	eventually(t, "the grandchild ends", func() bool { return !running(grandchild) })
}

func TestExitTakesGrandchildAlong(t *testing.T) {
	p := start(t, newSpawner(t), &proc.Spec{Role: role("orphans")})
	_, err := fmt.Fscan(p.Out, new(int))
	require.NoError(t, err)
	var grandchild int
	_, err = fmt.Fscan(p.Out, &grandchild)
	require.NoError(t, err)
	require.Equal(t, 0, wait(t, p).ExitCode)
	eventually(t, "the grandchild ends", func() bool { return !running(grandchild) })
}

// TestOrphanRefusesToStart gives the worker a parent that is not its parent, as it finds if that
// died meanwhile.
func TestOrphanRefusesToStart(t *testing.T) {
	checkRefused(t, proc.MarkerText(role("exit"), os.Getppid()), proc.ExitOrphan)
}

func TestEmptyMarkerIsRefused(t *testing.T) { // Windows cannot tell it from none
	checkRefused(t, "", proc.ExitTakeover)
}

// TestNonBlockingStdout has the worker print more than fits to an output that some parent of main
// left in this mode.
func TestNonBlockingStdout(t *testing.T) {
	var fds [2]int
	require.NoError(t, unix.Pipe(fds[:]))
	require.NoError(t, unix.SetNonblock(fds[1], true))
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	defer r.Close()
	text := strings.Repeat("x", 100_000) // more than a pipe holds, less than the largest environment entry
	p := start(t, newSpawner(t), &proc.Spec{Role: role("print"), Stdout: w, Inherited: childEnv("TEXT=" + text)})
	w.Close()
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, len(text)+1, len(out))
	require.Equal(t, 0, wait(t, p).ExitCode)
}

func init() { children["signals"] = signals }

// signals tells what SIGINT and SIGHUP do to this worker, to a command of it, and to it again once
// it wants them.
func signals() {
	_, w := proc.Wire()
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGHUP} {
		_ = unix.Kill(os.Getpid(), sig)
		command := exec.Command("sh", "-c", fmt.Sprintf("kill -%d $$; exit 0", sig)).Run()
		wanted := make(chan os.Signal, 1)
		signal.Notify(wanted, sig)
		_ = unix.Kill(os.Getpid(), sig)
		fmt.Fprintf(w, "%v; %v\n", command, <-wanted)
		signal.Stop(wanted)
	}
}

// TestSignalsOfCommands: the worker is deaf, but its commands are not, nor is code of it that wants
// a signal.
func TestSignalsOfCommands(t *testing.T) {
	if signal.Ignored(unix.SIGINT) || signal.Ignored(unix.SIGHUP) {
		t.Skip("the tests themselves are deaf, and so are commands")
	}
	p := start(t, newSpawner(t), &proc.Spec{Role: role("signals")})
	text, err := io.ReadAll(p.Out)
	require.NoError(t, err)
	require.Equal(t, "signal: interrupt; interrupt\nsignal: hangup; hangup\n", string(text))
	require.Equal(t, 0, wait(t, p).ExitCode)
}
