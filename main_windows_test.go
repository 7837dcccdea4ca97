package multiprolab_test

import (
	"errors"
	"os"
	"syscall"
)

// heedSignals is for systems on which signals can be ignored.
func heedSignals() {}

// alive reports whether a process exists.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	_ = p.Release()
	return true
}

func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

func signalSelf(string) { os.Exit(137) }

// signalProcess ends a process of this test: Windows has no other signal.
func signalProcess(pid int, _ string) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// signalGroup is for tests that do not run on Windows.
func signalGroup(int, string) error { return errors.ErrUnsupported }

// blockInKernel waits in a system call that no context ends.
func blockInKernel() {
	_, _ = syscall.WaitForSingleObject(syscall.Handle(^uintptr(0)), syscall.INFINITE)
}
