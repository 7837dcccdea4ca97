//go:build !linux

package thumbs

func onMainThread() bool { return true } // it cannot tell
