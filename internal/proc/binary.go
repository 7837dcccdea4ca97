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
func Executable() (string, error) {
	return executable()
}

// Identity returns a text that is equal in all processes that run the same binary file, and differs
// in one that runs another version of it, as happens after an update on platforms that start a
// program by its path. It is taken from the file's device, inode, size and time of modification,
// once, as early as the platform needs.
func Identity() (string, error) {
	return identity()
}

// Replaced returns the path of this process's binary, and whether another file is there by now, as
// after an update. A file that is only gone is not another one.
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

// testBinaryAllowed is the one switch that spans a process: TestMain sets it.
var testBinaryAllowed atomic.Bool

// AllowTestBinary declares that this process may re-execute itself although it is a test binary:
// that its TestMain turns to the worker's work before it runs any test. It is the hook of the test
// helper package.
func AllowTestBinary() {
	testBinaryAllowed.Store(true)
}

// TestBinaryAllowed reports whether AllowTestBinary was called.
func TestBinaryAllowed() bool {
	return testBinaryAllowed.Load()
}
