// The functions of this file serve the worker process.

package proc

import "golang.org/x/sys/unix"

// onMainThread is OnMainThread. The id of the main thread is that of the process (gettid(2)).
func onMainThread() bool { return unix.Gettid() == unix.Getpid() }
