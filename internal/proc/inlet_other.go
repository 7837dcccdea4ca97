//go:build !linux

package proc

import (
	"io"
	"os"
)

// inletBlocks reports whether the worker's end of what main writes is a pipe in blocking mode, see
// Inlet.
func inletBlocks() bool { return false }

// Inlet returns the pipe, which has deadlines where the system has: only on Linux there is another
// way to wait.
func Inlet(pipe *os.File) io.Reader { return pipe }
