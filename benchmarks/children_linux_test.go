//go:build !solo

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// childProcesses returns the children of this process, those that nobody has waited for included.
// See proc_pid_stat(5).
func childProcesses(t *testing.T) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatal("/proc is not readable: ", err)
	}
	parent := []byte(strconv.Itoa(os.Getpid()))
	var children []string
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended
		}
		// The name, in parentheses, may have anything in it.
		if f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]); len(f) > 1 && bytes.Equal(f[1], parent) {
			children = append(children, fmt.Sprintf("%.60s", b))
		}
	}
	return children
}
