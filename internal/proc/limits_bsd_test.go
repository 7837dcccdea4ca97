//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc_test

func (r *limitsReport) threads() {}
