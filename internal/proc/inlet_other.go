//go:build !linux

package proc

import (
	"io"
	"os"
)

// inletBlocks reports whether the pipe from which a worker reads what main writes is in blocking
// mode, see Inlet.
func inletBlocks() bool { return false }

// Inlet returns the pipe, which has deadlines if the system offers them. Only Linux has another way
// to wait.
func Inlet(pipe *os.File) io.Reader { return pipe }
