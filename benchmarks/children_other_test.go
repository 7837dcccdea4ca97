//go:build !solo && !linux

package main

import "testing"

// childProcesses is known on Linux only.
func childProcesses(*testing.T) []string { return nil }
