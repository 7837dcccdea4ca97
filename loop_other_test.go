//go:build !linux

package multiprolab_test

const knowsThreads = false

// threadOf would say on which thread of its process the caller runs.
func threadOf() string { return "some thread" }
