//go:build !linux && !windows

package proc_test

// onMainThread returns true: without cgo, these systems do not tell.
func onMainThread() bool { return true }
