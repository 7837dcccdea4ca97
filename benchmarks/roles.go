package main

import (
	"fmt"
	"os"
)

// roleVariable is the environment variable that makes a copy of this binary a worker, with the role
// that it names.
const roleVariable = "MULTIPROLAB_BENCH_ROLE"

// roles are the lives of the worker processes. None of them starts processes.
var roles = map[string]func() error{}

// role adds a role; the files of the peers do.
func role(name string, life func() error) struct{} {
	roles[name] = life
	return struct{}{}
}

// becomeWorker makes this process a worker if it was started as one, and does not return then. It
// is the first thing that main does: a worker that went on would start workers.
func becomeWorker() {
	name, ok := os.LookupEnv(roleVariable)
	if !ok {
		return
	}
	role := roles[name]
	if role == nil {
		fmt.Fprintf(os.Stderr, "%s=%q is no role of a worker\n", roleVariable, name)
		os.Exit(2)
	}
	if err := role(); err != nil {
		fmt.Fprintf(os.Stderr, "worker %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}
