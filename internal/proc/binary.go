// The functions of this file serve both processes.

package proc

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// Executable returns the path by which this process's binary can be started again. On Linux that is
// possible even after the file was replaced or deleted; the path is then /proc/self/exe.
func Executable() (string, error) { return executable() }

// Identity returns a text that is equal in all processes that run the same binary file. It differs
// in a process that runs another version of the file, as happens after an update on platforms that
// start a program by its path. It is taken from the file's device, inode, size and time of
// modification, once, as early as the platform needs.
func Identity() (string, error) { return identity() }

// Replaced returns the path of this process's binary, and whether another file is there by now, as
// after an update. It reports false if the file is gone and no other is there.
func Replaced() (path string, yes bool) { return replaced() }

// IsTestBinary reports whether this process runs a binary made by go test.
func IsTestBinary() bool {
	if flag.Lookup("test.v") != nil {
		return true
	}
	name, err := os.Executable()
	if err != nil {
		name = os.Args[0]
	}
	name = strings.TrimSuffix(filepath.Base(name), ".exe")
	return strings.HasSuffix(name, ".test")
}

// testBinaryAllowed is a switch of the whole process, which AllowTestBinary sets.
var testBinaryAllowed atomic.Bool

// AllowTestBinary declares that this process may re-execute itself if it is a test binary, because
// its TestMain turns to the worker's work before it runs any test. It is for the package that helps
// with tests.
func AllowTestBinary() { testBinaryAllowed.Store(true) }

// TestBinaryAllowed reports whether this is a test binary for which AllowTestBinary was called.
func TestBinaryAllowed() bool { return testBinaryAllowed.Load() && IsTestBinary() }
