// The functions of this file serve the worker process.

//go:build !linux && !windows

package proc

// onMainThread is OnMainThread. It cannot ask the system, because pthread_main_np needs cgo.
func onMainThread() bool { return self.role != nil && !self.released.Load() }
