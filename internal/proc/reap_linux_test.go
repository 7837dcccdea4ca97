package proc_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab/internal/proc"
)

func init() {
	children["process 1"] = func() {
		r, w := proc.Wire()
		processOne(bufio.NewReader(r), w)
	}
	mains["process 1"] = func() {
		if os.Getenv("HOW") == "own /proc" {
			if err := mountProc(); err != nil {
				fmt.Println("skip:", err)
				return
			}
		}
		stop := proc.ReapOrphans()
		processOne(bufio.NewReader(os.Stdin), os.Stdout)
		stop()
		stop()
		// This one, and the one of os/signal. The other's last act is not yet its end.
		for end := time.Now().Add(limit); runtime.NumGoroutine() > 2 && time.Now().Before(end); {
			runtime.Gosched()
		}
		if n := runtime.NumGoroutine(); n > 2 {
			buf := make([]byte, 1<<16)
			fmt.Printf("%d goroutines: %s\n", n, buf[:runtime.Stack(buf, true)])
		}
	}
}

func mountProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("proc", "/proc", "proc", 0, "")
}

// processOne makes orphans and children of several kinds in process 1, and waits for the children
// only when it is told to.
func processOne(r *bufio.Reader, w io.Writer) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(w, err)
			os.Exit(1)
		}
	}
	late := exec.Command("sh", "-c", "exit 42") // its Wait comes very late
	fail(late.Start())
	found := exec.Command("sh", "-c", "exit 43")
	fail(found.Start())
	again, err := os.FindProcess(found.Process.Pid) // a second holder
	fail(err)
	given := exec.Command("sh", "-c", "exit 44") // nobody will wait for it
	fail(given.Start())
	fail(given.Process.Release())
	for range 5 {
		fail(exec.Command("sh", "-c", "sleep 0.05 & (sleep 0.1 & sleep 0.02 &)").Run()) // three orphans each
	}
	prompt, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 45"}, nil) // has no pidfd, but is waited for
	fail(err)
	var status syscall.WaitStatus
	_, err = syscall.Wait4(prompt, &status, 0, nil)
	fail(err)
	fmt.Fprintln(w, "made", late.Process.Pid, status.ExitStatus())

	_, err = r.ReadString('\n')
	fail(err)
	fmt.Fprintln(w, exitCode(late.Wait()), exitCode(found.Wait()), again.Release())
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// zombies counts the children of a process that nobody has reaped.
func zombies(t *testing.T, pid int) (n int) {
	t.Helper()
	for _, stat := range childrenOf(t, pid) {
		if strings.HasPrefix(stat[strings.LastIndexByte(stat, ')'):], ") Z ") {
			n++
		}
	}
	return n
}

// checkReaped follows what processOne does.
func checkReaped(t *testing.T, pid int, in io.Writer, out io.Reader) {
	t.Helper()
	r := bufio.NewReader(out)
	text, err := r.ReadString('\n')
	require.NoError(t, err)
	if strings.HasPrefix(text, "skip:") {
		t.Skip(text)
	}
	require.Regexp(t, `^made \d+ 45\n$`, text)
	eventually(
		t,
		"two zombies are left, those that somebody will wait for",
		func() bool { return len(childrenOf(t, pid)) == 2 },
	)
	// These two ended before the orphans, so the same looks have seen them.
	require.Equal(t, 2, zombies(t, pid))
	_, err = io.WriteString(in, "\n")
	require.NoError(t, err)
	text, err = r.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "42 43 <nil>\n", text)
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Empty(t, string(rest))
}

func TestWorkerReapsOrphans(t *testing.T) {
	needNamespace(t)
	t.Parallel()
	p := start(t, newSpawner(t), &proc.Spec{Role: role("process 1"), PIDNamespace: true})
	checkReaped(t, p.Pid, p.In, p.Out)
	require.Equal(t, 0, wait(t, p).ExitCode)
}

// TestContainerReapsOrphans has a main process that is process 1, with the /proc of this process or
// with one of its own.
func TestContainerReapsOrphans(t *testing.T) {
	needNamespace(t)
	needRoot(t)
	t.Parallel()
	for _, how := range []string{"outer /proc", "own /proc", "no privileges"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(childEnv("HOW="+how), mainVar+"=process 1")
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
			if how == "no privileges" {
				cmd = asNobody(publicBinary(t), "process 1")
				cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
			}
			cmd.Stderr = os.Stderr
			in, err := cmd.StdinPipe()
			require.NoError(t, err)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			checkReaped(t, cmd.Process.Pid, in, out)
		})
	}
}
