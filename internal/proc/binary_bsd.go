// The functions of this file serve both processes.

//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import (
	"fmt"
	"os"
	"syscall"
)

func executable() (string, error) {
	return os.Executable()
}

// identity is taken at the start of the process: later, the path may lead to another file.
func identity() (string, error) { return early.id, early.err }

var early = takeIdentity()

type identityResult struct {
	id  string
	err error
}

func takeIdentity() identityResult {
	path, err := os.Executable()
	if err != nil {
		return identityResult{err: err}
	}
	info, err := os.Stat(path)
	if err != nil {
		return identityResult{err: err}
	}
	st := info.Sys().(*syscall.Stat_t)
	return identityResult{id: fmt.Sprintf("%x-%x-%x-%x", st.Dev, st.Ino, st.Size, info.ModTime().UnixNano())}
}

func replaced() (string, bool) {
	path, err := os.Executable()
	if err != nil || early.err != nil {
		return "", false
	}
	now := takeIdentity()
	return path, now.err == nil && now.id != early.id
}
