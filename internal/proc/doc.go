// Package proc starts, watches and ends worker processes, and prepares a process that finds itself
// to be a worker. It knows processes and no frames.
//
// A main process re-executes its own binary. What makes the copy a worker is one environment
// variable, which the worker reads and removes in a package-level initialiser, before main.main and
// before the initialisers of the packages that import this one. The pipes on the worker's standard
// input and standard output are the wire; the initialiser moves them to private descriptors and
// points the standard ones elsewhere, so that a print cannot corrupt the wire.
//
// The files role.go, takeover_*.go, thread_*.go, memory_*.go and limits*.go serve the worker;
// spawner.go, process*.go, pipe_*.go, credential*.go and namespace_*.go serve the process that
// starts workers, which may itself be a worker; binary*.go, lacks*.go,
// handed*.go, inherit_*.go and reap_*.go serve both.
package proc

import _ "github.com/multiprolab/multiprolab/internal/platform" // which says where multiprolab runs
