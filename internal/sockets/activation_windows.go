package sockets

import "os"

// passedFile returns nil: there is no such service manager on Windows.
func passedFile(int, string) *os.File { return nil }
