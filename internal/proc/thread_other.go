// The functions of this file serve the worker process.

//go:build !linux && !windows

package proc

// onMainThread cannot ask the system: pthread_main_np is out of reach without cgo. See
// OnMainThread.
func onMainThread() bool {
	return self.role != nil && !self.released.Load()
}
