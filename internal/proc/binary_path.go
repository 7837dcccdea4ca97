// The functions of this file serve both processes, on systems that start a program by its path.

//go:build !linux

package proc

import "os"

// executable is Executable.
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
func takeIdentity() (r identityResult) {
	path, err := os.Executable()
	if err != nil {
		return identityResult{err: err}
	}
	r.id, r.err = identityOf(path)
	return r
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
