//go:build unix

package multiprolab_test

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// heedSignals makes the processes that are started heed SIGHUP and SIGINT, even where this one was
// started by nohup(1), in the background of a shell or by test2json: what is caught here is not
// ignored there.
func heedSignals() {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}

// alive reports whether a process exists, be it as a zombie.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func signalSelf(name string) { _ = syscall.Kill(os.Getpid(), unix.SignalNum(name)) }

// signalProcess sends a signal, given by its name, to a process of this test.
func signalProcess(pid int, name string) error { return syscall.Kill(pid, unix.SignalNum(name)) }

// signalGroup sends a signal to a process group of this test.
func signalGroup(pgid int, name string) error { return syscall.Kill(-pgid, unix.SignalNum(name)) }

// blockInKernel waits in a system call that no context ends: a read of a pipe that nobody writes
// to.
func blockInKernel() {
	var p [2]int
	if err := syscall.Pipe(p[:]); err == nil {
		_, _ = syscall.Read(p[0], make([]byte, 1))
	}
}
