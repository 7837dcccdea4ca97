package multiprolab_test

import (
	"os"

	"golang.org/x/sys/unix"
)

const knowsThreads = true

// threadOf says on which thread of its process the caller runs.
func threadOf() string {
	if unix.Gettid() == os.Getpid() {
		return "main thread"
	}
	return "another thread"
}
