package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab"
)

// openTerminal opens a terminal that stops what writes to it from the background, and returns both
// its ends.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = slave.Close() })
	mode, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	require.NoError(t, err)
	mode.Lflag |= unix.TOSTOP
	require.NoError(t, unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, mode))
	return master, slave
}

// A worker, and what it starts, may write to the terminal of main although they are in its
// background, also under "stty tostop"; to read from it fails at once.
func TestTerminalDoesNotStopWorkers(t *testing.T) {
	path := testProgram(t, false)
	master, slave := openTerminal(t)
	cmd := exec.CommandContext(bounded(t), path, "tty")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	require.NoError(t, cmd.Start())
	require.NoError(t, slave.Close())
	var out buffer
	read := make(chan struct{})
	go func() { // ends with the last process on the terminal
		defer close(read)
		_, _ = io.Copy(&out, master) // EIO is its end
	}()
	require.NoError(t, cmd.Wait(), "%s", &out)
	await(t, read, "the terminal to be closed")
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(out.String()), "\r\n") {
		lines = append(lines, line)
	}
	require.Len(t, lines, 10, "%q", lines)
	require.Equal(t, []string{
		"the worker prints", "print: <nil>",
		"a command prints", "print by a command: <nil>",
		"the worker writes", "write to the terminal: <nil>",
		"read from the terminal: multiprolab: w/0: \"do\": read /dev/tty: input/output error",
	}, lines[:7])
	require.Contains(t, lines[7], "read by a command: ")
	require.NotContains(t, lines[7], "<nil>")
	require.Equal(t, []string{"set the terminal by a command: <nil>", "closed: <nil>"}, lines[8:])
}

var _ = worker("stopper", func(ctx context.Context, w *multiprolab.Worker) error {
	if os.Getenv("STOP_IN") == "setup" {
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
		<-ctx.Done()
	}
	multiprolab.HandleTask(w, "stop", func(ctx context.Context, name string) (int, error) {
		sig := unix.SignalNum(name)
		if sig != unix.SIGSTOP { // as C code does that wants a signal to do what it does by default
			var byDefault [4]uintptr
			if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0); errno != 0 {
				return 0, errno
			}
		}
		err := unix.Kill(os.Getpid(), sig)
		<-ctx.Done()
		return 0, err
	})
	multiprolab.HandleTask(w, "ok", func(context.Context, struct{}) (int, error) { return os.Getpid(), nil })
	return nil
})

// A worker whose process is stopped is reported as that, and by which signal, wherever it is found
// out.
func TestStoppedWorkerIsReportedAsStopped(t *testing.T) {
	for _, sig := range []string{"SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"} {
		t.Run(sig+", silent", func(t *testing.T) {
			t.Parallel()
			p := quickly("stopper", 1)
			p.cfg.HeartbeatTimeout = 300 * time.Millisecond
			l := startLab(t, nil, p)
			_, err := multiprolab.Do[int](bounded(t), l, "stop", sig)
			var hang *multiprolab.HangError
			require.ErrorAs(t, err, &hang)
			require.True(t, hang.Silent)
			require.Equal(t, sig, hang.Died.Stopped)
			require.ErrorContains(t, err, "its process was stopped by "+sig+": it gave no sign of life for 300ms")
		})
		t.Run(sig+", past its timeout", func(t *testing.T) {
			t.Parallel()
			l := startLab(t, nil, quickly("stopper", 1))
			_, err := multiprolab.DoWith[int](
				bounded(t),
				l,
				"stop",
				sig,
				&multiprolab.TaskOptions{Timeout: 50 * time.Millisecond, Grace: 50 * time.Millisecond},
			)
			var timeout *multiprolab.TimeoutError
			require.ErrorAs(t, err, &timeout)
			require.True(t, timeout.Killed)
			require.Equal(t, sig, timeout.Stopped)
			require.ErrorContains(t, err, "whose process was stopped by "+sig+", and which was killed")
			failed := waitEvent[*multiprolab.WorkerFailed](t, l, nil)
			require.ErrorContains(t, failed.Err, "its process was stopped by "+sig+": task")
		})
	}
	t.Run("in the setup function", func(t *testing.T) {
		t.Parallel()
		p := workers("stopper", 1)
		p.cfg.Process.Env = []string{"STOP_IN=setup"}
		l := newLab(t, &multiprolab.Config{SetupTimeout: 300 * time.Millisecond}, p)
		err := l.Start(bounded(t))
		var start *multiprolab.StartError
		require.ErrorAs(t, err, &start)
		require.ErrorContains(t, err, "its process was stopped by SIGSTOP: its setup function did not return")
		l.checkGone(t)
	})
	t.Run("at the end", func(t *testing.T) {
		t.Parallel()
		l := startLab(t, impatient(), workers("stopper", 1))
		pid, err := multiprolab.Do[int](bounded(t), l, "ok", nil)
		require.NoError(t, err)
		stop(t, pid)
		var killed *multiprolab.ShutdownError
		require.True(t, errors.As(l.Close(), &killed))
		require.Len(t, killed.Killed, 1)
		require.Contains(
			t,
			killed.Killed[0].Reason,
			"its process was stopped by SIGSTOP: it did not end within 50ms after the exit message",
		)
	})
	t.Run("not", func(t *testing.T) { // a spinning one is not
		t.Parallel()
		l := startLab(t, nil, quickly("lab", 1))
		_, err := multiprolab.DoWith[int](
			bounded(t),
			l,
			"spin",
			nil,
			&multiprolab.TaskOptions{Timeout: 50 * time.Millisecond, Grace: 50 * time.Millisecond},
		)
		var timeout *multiprolab.TimeoutError
		require.ErrorAs(t, err, &timeout)
		require.Empty(t, timeout.Stopped)
		require.ErrorContains(t, err, ", which was killed")
	})
}
