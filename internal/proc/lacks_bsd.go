// The variable of this file serves both processes.

//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import "runtime"

// lacks holds the features that these systems do not have, or not within reach of Go.
var lacks = map[string]string{
	"CPUs":         noAffinity(),
	"PIDNamespace": osName() + " has no PID namespaces",
	"OOMScoreAdj":  osName() + " has no such number",
}

func noAffinity() string {
	switch runtime.GOOS {
	case "darwin", "openbsd":
		return osName() + " has no CPU affinity"
	}
	return "the CPU affinity of " + osName() + " is not within reach of golang.org/x/sys"
}

func osName() string {
	switch runtime.GOOS {
	case "darwin":
		return "macOS"
	case "freebsd":
		return "FreeBSD"
	}
	return runtime.GOOS
}
