package multiprolab_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// This file is upgrades of programs in places where it counts which process they are.

// Process 1 of a PID namespace stays that, and what it reaps is not the trial.
func TestUpgradeOfProcessOne(t *testing.T) {
	t.Parallel()
	l := startUpgradeLabAs(t, 1, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Setpgid: true}
		if uid := os.Getuid(); uid != 0 {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		}
	}, "UPGRADE_TIMEOUT=2s")
	for _, version := range []int{2, 1} {
		l.upgrade(t, version)
		l.serves(t, version)
		l.workersAlone(t)
	}
	l.fail(t, "stuck")
	l.replace(t, 2)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	eventually(t, "the error", func() bool { return strings.Contains(l.out.String(), "the program is not upgraded") })
	l.serves(t, 1)
	l.end(t)
	require.NotContains(t, l.out.String(), "no child processes")
}

// A program in the foreground of a terminal stays there: the keys of the terminal, and its end,
// reach the new version, and also a trial that is not ready.
func TestUpgradeInForeground(t *testing.T) {
	t.Parallel()
	for how, c := range map[string]struct {
		end   func(t *testing.T, master *os.File)
		stuck bool
		cause string
	}{
		"interrupted":            {interrupt, false, "SIGINT"},
		"interrupted in a trial": {interrupt, true, "SIGINT"},
		"the terminal is closed": {func(t *testing.T, m *os.File) { require.NoError(t, m.Close()) }, false, "SIGHUP"},
	} {
		t.Run(how, func(t *testing.T) {
			master, terminal := openTerminal(t)
			l := startUpgradeLabAs(t, 0, func(cmd *exec.Cmd) {
				cmd.Stdin = terminal
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			})
			require.NoError(t, terminal.Close())
			for _, version := range []int{2, 1} {
				l.upgrade(t, version)
				l.workersAlone(t)
				foreground, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPGRP)
				require.NoError(t, err)
				require.Equal(t, l.Process.Pid, foreground)
			}
			left := childrenOf(t, l.Process.Pid)
			if c.stuck {
				l.fail(t, "stuck")
				l.replace(t, 2)
				require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
				eventually(t, "the trial", func() bool { return len(childrenOf(t, l.Process.Pid)) == 4 })
				left = childrenOf(t, l.Process.Pid)
			}
			c.end(t, master)
			require.NoError(t, l.wait(t))
			gone(t, "a child", left...)
			require.Contains(t, l.out.String(), "end <nil> multiprolab: the program was ended by "+c.cause)
		})
	}
}

// interrupt types what interrupts a program.
func interrupt(t *testing.T, master *os.File) {
	t.Helper()
	_, err := master.Write([]byte{3})
	require.NoError(t, err)
}

// With a Backend, tasks stay there while the program goes on as its new version: each is done,
// once, and no lease is left.
func TestUpgradeWithBackend(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := startUpgradeLab(t, "UPGRADE_BACKEND="+dir)
	l.command(t, "many")
	eventually(t, "the first tasks", func() bool { return strings.Contains(l.out.String(), "begun quick") })
	for _, version := range []int{2, 1, 2} {
		l.upgrade(t, version)
	}
	done := regexp.MustCompile(`(?m)^done (quick \d+ of 1) by \d$`)
	count := func(of *regexp.Regexp) map[string]int {
		n := map[string]int{}
		for _, line := range of.FindAllStringSubmatch(l.out.String(), -1) {
			n[line[1]]++
		}
		return n
	}
	eventually(t, "all tasks", func() bool { return len(count(done)) == 60 })
	for what, n := range count(done) {
		require.Equal(t, 1, n, what)
	}
	for what, n := range count(regexp.MustCompile(`(?m)^begun (quick \d+ of 1) by \d$`)) {
		require.Equal(t, 1, n, what)
	}
	l.end(t)
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	require.NoError(t, err)
	require.Empty(t, left)
	require.NotContains(t, l.out.String(), "level=WARN")
}

// What the service manager hears comes from the main process alone, in an order that is true, and
// its watchdog hears of the new version at once.
func TestUpgradeKeepsMainPID(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer conn.Close()
	raw, err := conn.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	}))
	require.NoError(t, err)
	l := startUpgradeLab(t, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=7200000000", "UPGRADE_TIMEOUT=2s")
	said := func(want string) {
		t.Helper()
		b, oob := make([]byte, 1000), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
		n, on, _, _, err := conn.ReadMsgUnix(b, oob)
		require.NoError(t, err)
		messages, err := unix.ParseSocketControlMessage(oob[:on])
		require.NoError(t, err)
		from, err := unix.ParseUnixCredentials(&messages[0])
		require.NoError(t, err)
		require.EqualValues(t, l.Process.Pid, from.Pid)
		require.Regexp(t, "^"+want, string(b[:n]))
	}
	said("READY=1$")
	for _, version := range []int{2, 1} {
		l.upgrade(t, version)
		for _, want := range []string{"RELOADING=1", "WATCHDOG=1$", "WATCHDOG=1$", "READY=1$"} {
			said(want)
		}
	}
	l.fail(t, "panic") // the old version is ready again
	l.replace(t, 2)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	said("RELOADING=1")
	said("READY=1$")
	l.fail(t, "stuck") // the end counts more
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	said("RELOADING=1")
	eventually(t, "the trial", func() bool { return len(childrenOf(t, l.Process.Pid)) == 4 })
	require.NoError(t, signalProcess(l.Process.Pid, "SIGTERM"))
	said("STOPPING=1$")
	require.NoError(t, l.wait(t))
}

// A program that is told to end when its trial is ready, and its tasks are still being finished,
// ends, and says so.
func TestEndBehindTrial(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	l := startUpgradeLab(t, "NOTIFY_SOCKET="+m.path)
	require.Equal(t, "READY=1", await(t, m.said, "the start"))
	l.command(t, "long")
	eventually(t, "the task", func() bool { return strings.Contains(l.out.String(), "begun long") })
	l.replace(t, 2)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	eventually(t, "the trial to be ready", func() bool {
		return strings.Contains(l.out.String(), "goes on as its new version")
	})
	require.Regexp(t, "^RELOADING=1", await(t, m.said, "the upgrade"))
	left := childrenOf(t, l.Process.Pid)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGTERM"))
	require.Equal(t, "STOPPING=1", await(t, m.said, "the end"))
	require.NoError(t, os.WriteFile(l.base+".go", nil, 0o600)) // the task may end
	require.NoError(t, l.wait(t))
	require.Empty(t, m.mark(t))
	for _, pid := range left {
		require.False(t, running(pid), "of a child of a program that has ended")
	}
	require.Contains(t, l.out.String(), "done long by 1\n")
	require.Contains(t, l.out.String(), "end <nil> multiprolab: the program was ended by SIGTERM of ")
}

// A trial that prints nothing, because it has sent its stderr elsewhere, is led to its end, and no
// other descriptor is taken for its stderr.
func TestUpgradeToVersionWithoutStderr(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	l.fail(t, "redirect")
	for _, version := range []int{2, 1} {
		l.upgrade(t, version)
		l.workersAlone(t)
		require.Contains(t, l.command(t, "stdin"), "stdin <nil>")
	}
	l.end(t)
}

// A new version that ends is known to have ended, also if it has left a process that holds what the
// trial has open.
func TestUpgradeToProgramThatLeavesAProcess(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	script := "#!/bin/sh\nwhile [ ! -e " + l.base + ".go ]; do sleep 0.01; done >/dev/null 2>&1 &\nexit 0\n"
	require.NoError(t, os.WriteFile(l.base+".new", []byte(script), 0o755))
	require.NoError(t, os.Rename(l.base+".new", l.program()))
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	eventually(t, "the error", func() bool {
		return strings.Contains(l.out.String(), "it ended before its workers were ready (exit status 0)")
	})
	require.NoError(t, os.WriteFile(l.base+".go", nil, 0o600))
	l.end(t)
}

// A trial that is not ready does not outlive the old version of the program, whatever that dies of.
func TestTrialEndsWithOldVersion(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{true, false} {
		l := startUpgradeLab(t)
		l.fail(t, "stuck")
		l.replace(t, 2)
		require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
		eventually(t, "the trial", func() bool {
			begun := early || strings.Contains(l.out.String(), "the new version is stuck")
			return begun && len(childrenOf(t, l.Process.Pid)) == 4
		})
		left := childrenOf(t, l.Process.Pid)
		require.NoError(t, signalProcess(l.Process.Pid, "SIGKILL"))
		require.Error(t, l.wait(t))
		gone(t, "a child", left...)
	}
}
