// The functions of this file serve the worker process.

package proc

import "golang.org/x/sys/unix"

// onMainThread compares the ids: the main thread's is the process's (gettid(2)).
func onMainThread() bool {
	return unix.Gettid() == unix.Getpid()
}
