// The functions of this file serve both processes.

//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import (
	"fmt"
	"os"
	"syscall"
)

// executable is Executable. These systems start a program by its path.
func executable() (string, error) { return os.Executable() }

// identity is Identity, as it was at the start of the process: later, the path may lead to another
// file.
func identity() (string, error) { return early.id, early.err }

// early is the identity at the start of the process. It does not change.
var early = takeIdentity()

// identityResult is what takeIdentity has found.
type identityResult struct {
	id  string // the identity
	err error  // why the identity could not be taken, or nil
}

// takeIdentity takes the identity of the file that is at the path of this process's binary now.
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

// replaced is Replaced.
func replaced() (string, bool) {
	path, err := os.Executable()
	if err != nil || early.err != nil {
		return "", false
	}
	now := takeIdentity()
	return path, now.err == nil && now.id != early.id
}
