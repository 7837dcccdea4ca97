// The function of this file serves the worker process.

//go:build unix && !(linux && (amd64 || arm64))

package proc

// guardQuietly returns false: guardLoudly does the work.
func guardQuietly(*marker, int) bool { return false }
