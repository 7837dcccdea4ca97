package proc_test

import "golang.org/x/sys/unix"

// onMainThread reports whether the caller runs on the main thread, whose id is that of the process
// (gettid(2)).
func onMainThread() bool { return unix.Gettid() == unix.Getpid() }
